"""Attributes that are set to what they are: no record, and nothing is lost by that."""

from pathlib import Path
from typing import Any

import pytest

import vfs
from vfs.filesystem import FileSystem

ALL = ("mode", "uid", "gid", "atime_ns", "mtime_ns", "ctime_ns")


def attributes(fs: FileSystem, ino: int) -> dict[str, Any]:
    inode = fs.get(ino)
    return {name: getattr(inode, name) for name in ALL}


def test_what_is_so_already_is_not_recorded(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        ino = fs.write_bytes("file", b"content").ino
        before, lsn, version = attributes(fs, ino), fs.log.last_lsn, fs.get(ino).version
        fs.set_attributes(ino, **before)
        fs.set_attributes(ino, mtime_ns=before["mtime_ns"], ctime_ns=before["ctime_ns"])
        assert (attributes(fs, ino), fs.log.last_lsn, fs.get(ino).version) == (before, lsn, version)


@pytest.mark.parametrize("name", ALL)
def test_each_attribute_that_differs_is_recorded(tmp_path: Path, name: str) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        ino = fs.write_bytes("file", b"content").ino
        wanted = attributes(fs, ino)
        wanted[name] ^= 1
        lsn = fs.log.last_lsn
        fs.set_attributes(ino, **wanted)
        assert fs.log.last_lsn == lsn + 1
    with vfs.open(tmp_path / "store") as fs:
        assert attributes(fs, ino) == wanted


def test_a_change_of_nothing_is_stamped_with_now(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        ino = fs.write_bytes("file", b"content").ino
        fs.set_attributes(ino, ctime_ns=1)
        fs.set_attributes(ino, mode=fs.get(ino).mode)
        assert fs.get(ino).ctime_ns > 1
