"""`vfs copy` on the real mount: at once, without moving data, with what the kernel still kept; then both
diverge."""

import json
import mmap
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.trees.material import describe, make_everything
from vfs.cli import copy as copy_command
from vfs.errors import MountError, NoEntry, VfsError
from vfs.mount.client import ControlClient, Refused

pytestmark = pytest.mark.mounted

MIB = 1 << 20


def copied(source: Path | str, dest: Path | str, store: Path | None = None) -> dict[str, Any]:
    """What the command does, in this process."""
    return copy_command.copy(str(source), str(dest), store, lambda *_: None, replace=False)


def daemon_seconds(mounted: MountedStore) -> float:
    """What the daemon has computed so far."""
    fields = Path(f"/proc/{mounted.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored(mounted: MountedStore) -> int:
    """What log and packs take on the disk."""
    info = mounted.info()
    return int(info["log_bytes"] + info["pack_bytes"])


def test_a_tree(mounted: MountedStore) -> None:
    top = mounted.path / "tree"
    make_everything(top, sockets=True)
    for number in range(300):
        (top / "folder" / f"{number}").write_bytes(b"content of %d\n" % number * 300)
    before = describe(top)
    assert not (mounted.path / "copy").exists(), "the kernel keeps that it is not there"
    assert os.listdir(mounted.path) == ["tree"]
    used, links = stored(mounted), os.stat(mounted.path).st_nlink
    out = json.loads(vfs("copy", "--json", top, mounted.path / "copy"))
    assert (out["path"], out["links"]) == (str(mounted.path / "copy"), 2)
    assert stored(mounted) - used < MIB
    assert describe(mounted.path / "copy") == before
    assert sorted(os.listdir(mounted.path)) == ["copy", "tree"]
    assert os.stat(mounted.path).st_nlink == links + 1
    subprocess.run(["cp", "-a", top, mounted.path / "by cp"], check=True)
    assert describe(mounted.path / "by cp") == before, "as cp -a does it"
    shutil.rmtree(top)
    mounted.remount()
    assert describe(mounted.path / "copy") == before


def test_a_large_file(mount_store: Mounter) -> None:
    mounted = mount_store("nopack")
    block = os.urandom(MIB)
    with open(mounted.path / "1 GiB", "wb") as file:
        for number in range(1024):
            file.write(number.to_bytes(8, "big") + block[8:])
    mounted.fsck()  # after it the daemon has nothing left to do for what was written
    used, seconds = stored(mounted), daemon_seconds(mounted)
    out = json.loads(vfs("copy", "--json", mounted.path / "1 GiB", mounted.path / "copy"))
    assert daemon_seconds(mounted) - seconds < 1, "nothing is moved"
    assert (out["files"], out["bytes"]) == (1, 1024 * MIB)
    assert stored(mounted) - used < MIB
    (mounted.path / "1 GiB").unlink()
    with open(mounted.path / "copy", "rb") as file:
        for number in (0, 511, 1023):
            file.seek(number * MIB)
            assert file.read(MIB) == number.to_bytes(8, "big") + block[8:]


def test_what_the_kernel_keeps_and_files_in_use(mounted: MountedStore) -> None:
    source, copy = mounted.path / "file", mounted.path / "copy"
    with open(source, "w+b", buffering=0) as file:
        file.write(b"a" * 10_000 + b"b" * 10_000)
        os.utime(source, ns=(1, 2))
        with mmap.mmap(file.fileno(), 20_000) as mapped:
            mapped[:4] = b"map!"  # no call tells anybody
            vfs("copy", source, copy)
            assert copy.read_bytes() == b"map!" + b"a" * 9996 + b"b" * 10_000
            mapped[:4] = b"then"
            file.seek(0, os.SEEK_END)
            file.write(b"more")
            with open(copy, "r+b") as other:
                other.seek(10_000)
                other.write(b"changed")
            mapped.flush()
    vfs("copy", mounted.path / "copy", mounted.path / "second")
    old, new = mounted.path / "old", mounted.path / "new"
    old.write_bytes(b"old content")
    new.write_bytes(b"new")
    os.link(old, mounted.path / "second name")
    with pytest.raises(Refused, match="--force"):
        copied(new, old)
    with open(old, "r+b", buffering=0) as held:
        held.write(b"OLD")
        vfs("copy", "--force", new, old)
        assert old.read_bytes() == b"new"
        assert os.pread(held.fileno(), 99, 0) == b"OLD content"
        held.write(b" Content")
    assert (mounted.path / "second name").read_bytes() == b"OLD Content"
    os.link(new, mounted.path / "third name")
    assert os.stat(mounted.path / "third name").st_nlink == 2
    vfs("copy", "--force", old, new)
    assert os.stat(mounted.path / "third name").st_nlink == 1, "the kernel was told"
    mounted.remount()
    assert source.read_bytes() == b"then" + b"a" * 9996 + b"b" * 10_000 + b"more"
    changed = b"map!" + b"a" * 9996 + b"changed" + b"b" * 9993
    assert copy.read_bytes() == (mounted.path / "second").read_bytes() == changed


def test_where_it_goes(mounted: MountedStore, tmp_path: Path) -> None:
    (mounted.path / "folder").mkdir()
    (mounted.path / "file").write_bytes(b"content")
    (mounted.path / "way").symlink_to(mounted.path / "folder")  # absolute, as the mount is seen from here
    (mounted.path / "out").symlink_to(tmp_path)
    (tmp_path / "in").symlink_to(mounted.path / "folder")
    assert vfs("copy", mounted.path / "file", mounted.path / "way").startswith(
        f"copied {mounted.path}/file to {mounted.path}/way/file: 1 file, 0 folders, 7 bytes shared"
    )
    copied(mounted.path / "way/file", tmp_path / "in" / "second")
    copied(mounted.path / "way", mounted.path / "folder" / "third")
    assert sorted(os.listdir(mounted.path / "folder")) == ["file", "second", "third"]
    assert os.readlink(mounted.path / "folder" / "third") == str(mounted.path / "folder")
    copied("/file", "/fourth", mounted.store)
    with pytest.raises(Refused, match="there is no"):
        copied(mounted.path / "out" / "x", mounted.path / "x")
    mounted.unmount()
    vfs("copy", "--store", mounted.store, "/folder", "/fifth")
    with pytest.raises(NoEntry, match="there is no /x"):
        copied("/x", "/y", mounted.store)
    with pytest.raises(MountError, match="does not lie inside"):
        copied(mounted.path / "file", mounted.path / "x")
    mounted.mount()
    assert (mounted.path / "fourth").read_bytes() == b"content"
    assert sorted(os.listdir(mounted.path / "fifth")) == ["file", "second", "third"]


def test_what_is_refused(mount_store: Mounter, tmp_path: Path) -> None:
    mounted, other = mount_store(), mount_store()
    top = mounted.path
    (top / "folder" / "inner").mkdir(parents=True)
    (top / "file").write_bytes(b"content")
    (top / "covered").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", top / "covered"], check=True)
    try:
        for source, dest in ((top / "covered" / "x", top / "x"), (top / "file", top / "covered")):
            with pytest.raises(MountError, match="does not lie inside"):
                copied(source, dest)
    finally:
        subprocess.run(["umount", top / "covered"], check=True)
    for source, dest, words in (
        (top / "missing", top / "x", f"there is no {top}/missing"),
        (top / "file", top / "missing" / "x", f"there is no folder {top}/missing"),
        (top / "file", tmp_path / "x", "does not lie inside a mounted store"),
        (tmp_path, top / "x", "does not lie inside a mounted store"),
        (top / "file", other.path, "different stores"),
        (top / "folder", top / "folder" / "inner", "into itself"),
        (top, top / "folder" / "inner" / "x", "into itself"),
        (top / "folder" / "inner", top / "folder", "a folder"),
    ):
        with pytest.raises(VfsError, match=words):
            copied(source, dest)
    done = subprocess.run(
        [*VFS, "copy", top / "missing", top / "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vfs: there is no {top}/missing; give the path of what is there\n"
    assert sorted(os.listdir(top)) == ["covered", "file", "folder"]
    mounted.remount("ro")
    with pytest.raises(Refused, match="read-only; mount it without that"):
        copied(top / "file", top / "x")


def test_others_go_on_and_a_client_that_goes_leaves_all_or_nothing(mounted: MountedStore) -> None:
    top = mounted.path / "tree"
    top.mkdir()
    for number in range(2000):
        (top / f"{number}").touch()
    stop, slowest = threading.Event(), 0.0

    def use() -> None:
        nonlocal slowest
        number = 0
        while not stop.is_set():
            since = time.monotonic()
            path = mounted.path / f"used{number % 20}"
            path.write_bytes(b"%d" % number)
            assert path.read_bytes() == b"%d" % number
            number += 1
            slowest = max(slowest, time.monotonic() - since)

    user = threading.Thread(target=use)
    user.start()
    try:
        for number in range(3):
            copied(top, mounted.path / f"copy {number}")
        for number in range(10):
            client = ControlClient.connect(mounted.store)
            assert client is not None
            with client:
                client.send("copy", source="/tree", dest=f"/copy left {number}", top=str(mounted.path))
                time.sleep(number / 100)
    finally:
        stop.set()
        user.join()
    assert slowest < 30, "others wait"
    mounted.remount()  # waits for those that are being undone
    found = os.listdir(mounted.path)
    assert [name for name in found if name.startswith(".")] == []
    copies = [name for name in found if name.startswith("copy ")]
    assert {"copy 0", "copy 1", "copy 2"} <= {*copies}
    for name in copies:
        assert len(os.listdir(mounted.path / name)) == 2000
