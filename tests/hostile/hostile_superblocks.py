"""Superblocks that nobody should trust."""

import json
import os

from tests.hostile.crafting import Workshop, hostile

NAME = "superblock.json"


@hostile("too long", opens=False)
def superblock_of_gigabytes(shop: Workshop) -> None:
    with open(shop.store / NAME, "r+b") as file:
        file.truncate(1 << 40)


@hostile("not JSON|damaged", opens=False)
def superblock_deep(shop: Workshop) -> None:
    (shop.store / NAME).write_text("[" * 30_000 + "]" * 30_000)


@hostile("damaged|not JSON", opens=False)
def superblock_options_deep(shop: Workshop) -> None:
    fields = shop.superblock | {"options": "X"}
    text = json.dumps(fields).replace('"X"', '{"a":' * 900 + "1" + "}" * 900)
    (shop.store / NAME).write_text(text)


@hostile("not JSON|damaged", opens=False)
def superblock_long_number(shop: Workshop) -> None:
    fields = json.dumps(shop.superblock | {"created": "X"})
    (shop.store / NAME).write_text(fields.replace('"X"', "9" * 50_000))


@hostile("names no format", opens=False)
def superblock_format_negative(shop: Workshop) -> None:
    shop.put_superblock(format=-1)


@hostile("names no format", opens=False)
def superblock_format_infinite(shop: Workshop) -> None:
    (shop.store / NAME).write_text('{"magic": "vfs store", "format": 1e999}')


@hostile("newer", opens=False)
def superblock_format_newer(shop: Workshop) -> None:
    shop.put_superblock(format=10**30)


@hostile("uuid", opens=False)
def superblock_uuid_long(shop: Workshop) -> None:
    shop.put_superblock(uuid="00" * 20_000)


@hostile("lacks a field", opens=False)
def superblock_wrong_types(shop: Workshop) -> None:
    shop.put_superblock(uuid=["00"], created="yesterday", options=[])


@hostile("option|size", opens=None)
def superblock_options_impossible(shop: Workshop) -> None:
    shop.put_superblock(options={"compression": "zstd:3", "block_bytes": -5, "blob_bytes": 2**70})


@hostile("option|compression", opens=None)
def superblock_options_unknown(shop: Workshop) -> None:
    shop.put_superblock(options={"compression": ["zstd"], "nonsense": {"a": None}})


@hostile("another store", opens=False)
def superblock_uuid_of_another_store(shop: Workshop) -> None:
    shop.put_superblock(uuid="11" * 16)


@hostile("symbolic link|not a regular file|Too many levels", opens=False)
def superblock_symlink(shop: Workshop) -> None:
    os.rename(shop.store / NAME, shop.outside.parent / "superblock elsewhere")
    (shop.store / NAME).symlink_to(shop.outside.parent / "superblock elsewhere")


@hostile("not a regular file", opens=False)
def superblock_fifo(shop: Workshop) -> None:
    (shop.store / NAME).unlink()
    os.mkfifo(shop.store / NAME)


@hostile("not a regular file", opens=False)
def superblock_folder(shop: Workshop) -> None:
    (shop.store / NAME).unlink()
    (shop.store / NAME).mkdir()


@hostile("JSON", opens=False)
def superblock_empty(shop: Workshop) -> None:
    (shop.store / NAME).write_bytes(b"")


@hostile("JSON", opens=False)
def superblock_of_bytes(shop: Workshop) -> None:
    (shop.store / NAME).write_bytes(bytes(range(256)) * 200)


@hostile(opens=True)
def superblock_being_renewed_elsewhere(shop: Workshop) -> None:
    (shop.store / "superblock.json.new").symlink_to(shop.outside / "victim")
