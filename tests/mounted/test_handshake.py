"""What the kernel no longer asks for since it was told in the handshake, and that there is a mount whatever
happens in it."""

import json
import os
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.mounted import counting_daemon
from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.namespace import in_namespace
from tests.mounted.programs import as_nobody, needs_root
from vfs.mount.init_messages import WANTED

pytestmark = pytest.mark.mounted

APPENDS = 1000
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep


def offered(name: str) -> bool:
    """Whether this machine's kernel knows of it."""
    release = tuple(int(number) for number in os.uname().release.split(".")[:2])
    return release >= {"handle_killpriv_v2": (5, 11), "cache_symlinks": (4, 20)}[name]


def kernel_of(mounted: MountedStore) -> dict[str, Any] | None:
    kernel: dict[str, Any] | None = json.loads(vfs("info", "--json", mounted.path))["kernel"]
    return kernel


@pytest.fixture
def counted(mount_store: Mounter, tmp_path: Path) -> MountedStore:
    """A mount whose daemon counts requests; `counts_of` ends it."""
    mounted = mount_store()
    mounted.unmount()
    mounted.command = (sys.executable, "-m", counting_daemon.__name__)
    mounted.mount(environment={"VFS_COUNTS": str(tmp_path / "counts")})
    return mounted


def counts_of(mounted: MountedStore, tmp_path: Path) -> Counter[str]:
    """What was counted since it was mounted, and it is mounted again."""
    mounted.unmount()
    counts = Counter(json.loads((tmp_path / "counts").read_text()))
    mounted.mount(environment={"VFS_COUNTS": str(tmp_path / "counts")})
    return counts


def append(path: Path, times: int = APPENDS) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(times):
        os.write(handle, b"x" * 100)
    os.close(handle)


@pytest.mark.skipif(not offered("handle_killpriv_v2"), reason="a kernel before 5.11")
def test_appends_do_not_ask_for_capabilities(counted: MountedStore, tmp_path: Path) -> None:
    append(counted.path / "new")
    counts = counts_of(counted, tmp_path)
    assert counts["getxattr"] <= 3
    assert counts["write"] >= 1
    append(counted.path / "new")
    assert counts_of(counted, tmp_path)["getxattr"] <= 3
    assert os.path.getsize(counted.path / "new") == 2 * 100 * APPENDS


@pytest.mark.skipif(not offered("cache_symlinks"), reason="a kernel before 4.20")
def test_a_symlink_is_read_once(counted: MountedStore, tmp_path: Path) -> None:
    targets = ["x", "ä" * 255, "y" * 4095]
    for number, target in enumerate(targets):
        os.symlink(target, counted.path / f"{number}")
    counts_of(counted, tmp_path)
    for _ in range(100):
        assert [os.readlink(counted.path / f"{number}") for number in range(len(targets))] == targets
    # Another one of the same name is another one.
    os.unlink(counted.path / "0")
    os.symlink("z", counted.path / "0")
    assert os.readlink(counted.path / "0") == "z"
    assert counts_of(counted, tmp_path)["readlink"] == len(targets) + 1


def test_the_daemon_says_what_was_agreed_on(mounted: MountedStore) -> None:
    kernel = kernel_of(mounted)
    assert kernel is not None
    assert kernel["protocol"].startswith("7.")
    assert "auto_inval_data" not in kernel["on"]
    assert {"writeback_cache", "do_readdirplus", "max_pages"} <= set(kernel["on"])
    wanted = {name for name in WANTED if offered(name)}
    assert wanted <= set(kernel["on"])
    assert set(kernel["added"]) <= wanted
    mounted.unmount()
    assert kernel_of_store(mounted) is None
    mounted.mount()


def kernel_of_store(mounted: MountedStore) -> object:
    return json.loads(vfs("info", "--json", mounted.store))["kernel"]


def test_nothing_of_the_detour_stays(mounted: MountedStore) -> None:
    open_files = []
    for entry in os.scandir(f"/proc/{mounted.pid}/fd"):
        try:
            open_files.append(os.readlink(entry.path))
        except OSError:
            continue  # closed in between
    assert open_files.count("/dev/fuse") == 1


def test_whatever_happens_in_it_there_is_a_mount(mount_store: Mounter) -> None:
    mounted = mount_store("debug")
    mounted.command = (sys.executable, "-m", counting_daemon.__name__)
    ways = {
        "": "added " + " ".join(name for name in WANTED if offered(name)),
        "no sockets": "the handshake is left to libfuse: [Errno 24]",
        "no session found": "the handshake is left to libfuse: 0 new sessions",
        "a strange reply": "libfuse's answer in the handshake is unexpected",
        "nothing offered": "; added \n",
    }
    for number, (way, logged) in enumerate(ways.items()):
        mounted.unmount()
        mounted.log.unlink()
        mounted.mount("debug", environment={"VFS_HANDSHAKE": way})
        append(mounted.path / "file", 10)
        assert os.path.getsize(mounted.path / "file") == (number + 1) * 1000
        assert logged in mounted.log_text()


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
    assert set(facts["kernel"]["added"]) >= {name for name in WANTED if offered(name)}


# --- the kernel remembers that a file has no capabilities: until it gets some ---------------------------


@needs_root
def test_capabilities_that_come_later_go_with_the_next_write(shared: MountedStore) -> None:
    file = shared.path / "file"
    for _ in range(3):
        append(file, 3)
        os.setxattr(file, "security.capability", CAPABILITY)
        append(file, 1)
        assert os.listxattr(file) == []


@needs_root
def test_capabilities_that_a_rollback_brings_back_go_with_the_next_write(shared: MountedStore) -> None:
    file = shared.path / "file"
    append(file, 3)
    os.setxattr(file, "security.capability", CAPABILITY)
    vfs("snapshot", "create", shared.path, "before")
    append(file, 3)
    vfs("rollback", shared.path, "before")
    assert os.listxattr(file) == ["security.capability"]
    append(file, 1)
    assert os.listxattr(file) == []
    assert os.path.getsize(file) == 400


@needs_root
def test_a_program_that_was_emptied_and_written_anew_has_no_rights(mount_store: Mounter) -> None:
    """The answers to O_TRUNC and to the writes after it have no mode in them, and nobody asks for it."""
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
