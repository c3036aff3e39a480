"""The disk below a store has no byte left, since other programs have filled it: that is no damage."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs as library
from tests.mounted.disks import LoopDisk
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.mounted.programs import needs_root

pytestmark = [pytest.mark.mounted, needs_root]

DISK_MIB = 48


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MountedStore]:
    """A store with one file, mounted, on a disk of its own."""
    with LoopDisk(tmp_path, DISK_MIB) as disk:
        mounted = MountedStore(tmp_path, disk=disk.path)
        mounted.mount()
        try:
            (mounted.path / "kept").write_bytes(b"kept")
            yield mounted
            mounted.finish()
        finally:
            mounted.abandon()


def hog(mounted: MountedStore) -> Path:
    """Take all that the disk has left, to the last byte."""
    path = mounted.store.parent / "hog"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    assert os.statvfs(mounted.store).f_bavail == 0
    return path


def refused(*words: str | Path) -> str:
    """The last line of what a command that fails says."""
    done = subprocess.run(
        [*VFS, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("killed", [False, True])
def test_it_is_told_as_a_full_disk_and_nothing_is_called_damaged(
    store: MountedStore, tmp_path: Path, killed: bool
) -> None:
    if killed:
        store.kill()
    else:
        store.unmount()
    taken = hog(store)
    # What needs SQLite's shared memory and has no room for it says so.
    for words in (
        ("snapshot", "create", store.store, "one"),
        *[("mount", store.store, store.path)] * (not killed),
    ):
        assert "the disk that holds the store is full; make room there" in refused(*words)
    # What only reads goes on.
    store.fsck()
    with library.open(store.store, read_only=True) as fs:
        assert fs.read_bytes("/kept") == b"kept"
    vfs("export", store.store, tmp_path / "out")
    assert (tmp_path / "out" / "kept").read_bytes() == b"kept"
    if killed:
        store.mount()  # whose shared memory is there still
        assert (store.path / "kept").read_bytes() == b"kept"
        noted = (
            "note: what changed since the last checkpoint was not looked at: the disk that holds the store"
        )
        assert noted in vfs("fsck", store.path)
        store.unmount()
    store.mount("ro")
    assert (store.path / "kept").read_bytes() == b"kept"
    store.unmount()
    taken.unlink()
    store.mount()
    assert (store.path / "kept").read_bytes() == b"kept"
