"""Parts of a store that are links to elsewhere, or no files at all."""

import os
import shutil
import socket
import struct

from tests.hostile.crafting import Workshop, hostile

LINKS = "symbolic|Too many levels|Not a directory|regular|not a"


@hostile(LINKS, opens=False)
def places_log_elsewhere(shop: Workshop) -> None:
    shutil.move(shop.store / "log", shop.folder / "log elsewhere")
    (shop.store / "log").symlink_to(shop.folder / "log elsewhere")


@hostile(LINKS, opens=None)
def places_packs_elsewhere(shop: Workshop) -> None:
    shutil.move(shop.store / "packs", shop.folder / "packs elsewhere")
    (shop.store / "packs").symlink_to(shop.folder / "packs elsewhere")


@hostile(LINKS, opens=None)
def places_packs_are_the_outside(shop: Workshop) -> None:
    """The index says that packs are on their way out: what is in the folder would be removed."""
    shop.sql("UPDATE pack SET state=2")
    shop.sql("DELETE FROM block")
    shutil.rmtree(shop.store / "packs")
    (shop.store / "packs").symlink_to(shop.outside)


@hostile(LINKS, opens=False)
def places_log_is_a_file(shop: Workshop) -> None:
    shutil.rmtree(shop.store / "log")
    (shop.store / "log").write_bytes(b"")


@hostile("No such|missing", opens=False)
def places_log_is_missing(shop: Workshop) -> None:
    shutil.rmtree(shop.store / "log")


@hostile(LINKS, opens=False)
def places_index_elsewhere(shop: Workshop) -> None:
    shutil.copy(shop.store / "index.db", shop.outside / "index.db")
    os.unlink(shop.store / "index.db")
    (shop.store / "index.db").symlink_to(shop.outside / "index.db")


@hostile("", opens=None)
def places_index_has_a_second_name(shop: Workshop) -> None:
    os.link(shop.store / "index.db", shop.folder / "index elsewhere")


@hostile(LINKS, opens=False)
def places_index_is_a_fifo(shop: Workshop) -> None:
    os.unlink(shop.store / "index.db")
    os.mkfifo(shop.store / "index.db")


@hostile(LINKS, opens=False)
def places_index_log_elsewhere(shop: Workshop) -> None:
    (shop.store / "index.db-wal").symlink_to(shop.outside / "victim")


@hostile(LINKS, opens=False)
def places_index_memory_elsewhere(shop: Workshop) -> None:
    (shop.store / "index.db-shm").symlink_to(shop.outside / "victim")


@hostile("second name|hard link", opens=False)
def places_index_log_has_a_second_name(shop: Workshop) -> None:
    os.link(shop.outside / "victim", shop.store / "index.db-wal")


@hostile("journal", opens=False)
def places_index_journal_names_a_victim(shop: Workshop) -> None:
    """A rollback journal that names a file outside as its superior."""
    victim = bytes(shop.outside / "victim")
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = (shop.store / "index.db").stat().st_size // 4096
    head = magic + struct.pack(">IIIII", 0, 0, pages, 512, 4096)
    superior = struct.pack(">I", 0x40000000 // 4096 + 1) + victim
    superior += struct.pack(">II", len(victim), sum(victim)) + magic
    (shop.store / "index.db-journal").write_bytes(head.ljust(512, b"\0") + superior)


@hostile(LINKS, opens=False)
def places_lock_elsewhere(shop: Workshop) -> None:
    (shop.store / "lock").unlink()
    (shop.store / "lock").symlink_to(shop.outside / "victim")


@hostile("second name|hard link", opens=False)
def places_lock_has_a_second_name(shop: Workshop) -> None:
    (shop.store / "lock").unlink()
    os.link(shop.outside / "victim", shop.store / "lock")


@hostile(LINKS, opens=False)
def places_lock_is_a_fifo(shop: Workshop) -> None:
    (shop.store / "lock").unlink()
    os.mkfifo(shop.store / "lock")


@hostile(LINKS, opens=False)
def places_lock_is_a_folder(shop: Workshop) -> None:
    (shop.store / "lock").unlink()
    (shop.store / "lock").mkdir()


@hostile("", opens=True)
def places_lock_of_text(shop: Workshop) -> None:
    (shop.store / "lock").write_text("-1" * 100_000)


@hostile("symbolic link", opens=None)
def places_control_socket_elsewhere(shop: Workshop) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        os.chdir(shop.folder)
        other.bind("other.sock")
        os.chdir("/")
    (shop.store / "control.sock").symlink_to(shop.folder / "other.sock")


@hostile("", opens=True)
def places_control_socket_is_a_file(shop: Workshop) -> None:
    (shop.store / "control.sock").write_bytes(b"")


@hostile("", opens=None)
def places_new_packs_are_links(shop: Workshop) -> None:
    for number in range(1, 40):
        (shop.store / "packs" / f"new-{number}").symlink_to(shop.outside / "victim")
    (shop.store / "packs" / "new-50").mkdir()
    shop.sql("INSERT INTO pack VALUES(50, 0, '', 0)")


@hostile("", opens=None)
def places_strangers(shop: Workshop) -> None:
    (shop.store / "packs" / ("cd" * 32)).symlink_to(shop.outside / "victim")
    (shop.store / "strange\nname\x1b[2J").write_bytes(b"")
