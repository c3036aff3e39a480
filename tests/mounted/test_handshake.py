"""What the kernel no longer asks for since it was told in the handshake, and that there is a mount whatever
happens in it."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mounted import spoilt_handshake
from tests.mounted.conftest import Mounter
from tests.mounted.mounting import ROOT, MountedStore, copy_of_an_empty_store, is_mounted, vfs
from tests.mounted.namespace import in_namespace
from tests.mounted.programs import as_nobody, needs_root, run
from vfs.mount.init_messages import WANTED

pytestmark = pytest.mark.mounted

APPENDS = 1000
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep
SINCE = {"parallel_dirops": (4, 7), "cache_symlinks": (4, 20), "handle_killpriv_v2": (5, 11)}


def offered(name: str) -> bool:
    """Whether this machine's kernel knows of it."""
    return tuple(int(number) for number in os.uname().release.split(".")[:2]) >= SINCE[name]


def facts_of(mounted: MountedStore) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(vfs("info", "--json", mounted.path))
    return facts


def count_of(mounted: MountedStore, request: str) -> int:
    """How often the kernel has asked for that since the mount."""
    count: int = facts_of(mounted)["requests"].get(request, {"count": 0})["count"]
    return count


def append(path: Path, times: int = APPENDS) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(times):
        os.write(handle, b"x" * 100)
    os.close(handle)


@pytest.mark.skipif(not offered("handle_killpriv_v2"), reason="a kernel before 5.11")
def test_appends_do_not_ask_for_capabilities(mounted: MountedStore) -> None:
    for part in (1, 2):
        append(mounted.path / "file")
        assert os.path.getsize(mounted.path / "file") == part * APPENDS * 100
    assert count_of(mounted, "getxattr") <= 3
    assert count_of(mounted, "write") >= 2


@pytest.mark.serial  # a test beside it may have the kernel drop all that it keeps, of every mount
@pytest.mark.skipif(not offered("cache_symlinks"), reason="a kernel before 4.20")
def test_a_symlink_is_read_once(mounted: MountedStore) -> None:
    targets = ["x", "ä" * 255, "y" * 4095]
    for number, target in enumerate(targets):
        os.symlink(target, mounted.path / f"{number}")
    for _ in range(100):
        assert [os.readlink(mounted.path / f"{number}") for number in range(len(targets))] == targets
    # Another one of the same name is another one.
    os.unlink(mounted.path / "0")
    os.symlink("z", mounted.path / "0")
    assert os.readlink(mounted.path / "0") == "z"
    assert count_of(mounted, "readlink") == len(targets) + 1


def test_the_daemon_says_what_was_agreed_on_and_nothing_of_the_detour_stays(mounted: MountedStore) -> None:
    kernel = facts_of(mounted)["kernel"]
    assert kernel["protocol"].startswith("7.")
    assert "auto_inval_data" not in kernel["on"]
    wanted = {name for name in WANTED if offered(name)}
    assert wanted | {"writeback_cache", "do_readdirplus", "max_pages"} <= set(kernel["on"])
    assert set(kernel["added"]) <= wanted
    open_files = []
    for entry in os.scandir(f"/proc/{mounted.pid}/fd"):
        try:
            open_files.append(os.readlink(entry.path))
        except OSError:
            continue  # closed in between
    assert open_files.count("/dev/fuse") == 1


def test_whatever_happens_in_it_there_is_a_mount(mount_store: Mounter) -> None:
    mounted = mount_store()
    ways = {
        "no sockets": "the handshake is left to libfuse: [Errno 24]",
        "no session": "the handshake is left to libfuse: 0 new sessions",
        "a strange request": "the handshake is unexpected: passed on as it is",
        "nothing offered": "; added \n",
    }
    for number, (way, logged) in enumerate(ways.items(), start=1):
        mounted.unmount()
        mounted.log.unlink()
        mounted.command = (sys.executable, "-m", spoilt_handshake.__name__, way)
        mounted.mount("debug")
        append(mounted.path / "file", 10)
        assert os.path.getsize(mounted.path / "file") == number * 1000
        assert logged in mounted.log_text()


def mounted_to_the_end(tmp_path: Path, way: str) -> tuple[int, str]:
    """How a daemon ended whose handshake was spoilt that way: its exit code and what it said."""
    store, point = tmp_path / "store", tmp_path / "mnt"
    point.mkdir()
    copy_of_an_empty_store(store)
    command = (sys.executable, "-m", spoilt_handshake.__name__, way, "mount", "--foreground", store, point)
    daemon = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if is_mounted(point):
        vfs("umount", "--lazy", point)
        pytest.fail(f"it is still mounted:\n{daemon.stderr}")
    return daemon.returncode, daemon.stderr


def test_a_request_that_was_taken_and_cannot_be_answered_ends_the_mount(tmp_path: Path) -> None:
    """The kernel does not ask twice: whoever looked into such a mount would wait for ever."""
    code, said = mounted_to_the_end(tmp_path, "no loop")
    assert code == 1
    assert "the handshake with the kernel failed: [Errno 24]" in said


def test_a_signal_in_the_middle_unmounts_once_that_can_be_done(tmp_path: Path) -> None:
    code, said = mounted_to_the_end(tmp_path, "a signal")
    assert code == 0
    assert "SIGTERM: unmounting" in said


@needs_root
def test_it_goes_the_same_way_in_the_background_and_for_an_ordinary_user(tmp_path: Path) -> None:
    said = in_namespace(
        tmp_path,
        """
        mkdir "$work/mnt"
        chown 65534:65534 "$work" "$work/mnt"
        mount --rbind "$work" /mnt  # the folders around it are closed to others
        store=/mnt/store mnt=/mnt/mnt
        nobodys() { "${as_nobody[@]}" "$bin/python" -m vfs "$@"; }
        nobodys mkfs "$store"
        nobodys mount "$store" "$mnt"
        "${as_nobody[@]}" bash -c 'echo content >"$0"' "$mnt/file"
        nobodys info --json "$mnt"
        nobodys umount "$mnt"
        """,
    )
    facts = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert set(facts["kernel"]["on"]) >= {name for name in WANTED if offered(name)}


@needs_root
def test_capabilities_go_with_a_write_also_of_a_file_that_had_none_for_long(shared: MountedStore) -> None:
    """The kernel remembers that it has none: set_xattr and a rollback have to make it forget."""
    file = shared.path / "file"
    for _ in range(2):
        append(file, 3)
        os.setxattr(file, "security.capability", CAPABILITY)
        append(file, 1)
        assert os.listxattr(file) == []
    os.setxattr(file, "security.capability", CAPABILITY)
    vfs("snapshot", "create", shared.path, "before")
    append(file, 3)
    vfs("rollback", shared.path, "before")
    assert os.listxattr(file) == ["security.capability"]
    append(file, 1)
    assert os.listxattr(file) == []
    assert os.path.getsize(file) == 900


@needs_root
def test_a_program_that_was_emptied_or_written_anew_has_no_rights(mount_store: Mounter) -> None:
    """The answers to O_TRUNC and to a write have no mode in them: the kernel must be told that it changed."""
    mounted = mount_store("allow_other,suid")
    mounted.path.chmod(0o777)
    for flags in ("O_WRONLY | os.O_TRUNC", "O_WRONLY"):
        program = mounted.path / "program"
        program.write_bytes(b"x" * 10)
        program.chmod(0o4777)
        assert os.stat(program).st_mode & 0o4000
        user = as_nobody(
            f"""
            handle = os.open("program", os.{flags})
            with open("/usr/bin/id", "rb") as other:
                os.write(handle, other.read())
            os.close(handle)
            os.execv("./program", ["program", "-u"])
            """,
            cwd=mounted.path,
        )
        assert user == "65534\n"
        program.chmod(0o4777)
        as_nobody("os.open('program', os.O_WRONLY | os.O_TRUNC)", cwd=mounted.path)
        assert run("stat", "-c", "%a", program) == "777\n"  # asks the kernel for nothing but the mode
