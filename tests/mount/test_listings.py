"""Rows that wait for the kernel's next request: of a bounded number of directories, and never needed. One
request brings all that it has room for."""

import math
from pathlib import Path
from typing import Any

import pyfuse3
import pytest

import vfs
from vfs.errors import IndexDamaged
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.listings import LISTINGS, READDIR_ROWS, Listings
from vfs.mount.options import MountOptions

FOLDERS = 3 * LISTINGS
BUFFER_ENTRIES = READDIR_ROWS // 2 - 3
NOBODY: Any = None
TOKEN: Any = None


def test_rows_of_many_open_directories_are_not_kept(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        folders = [fs.make_directory(f"/{number}").ino for number in range(FOLDERS)]
        for folder in folders:
            for name in range(10):
                fs.mknod(folder, b"%d" % name, 0o644)
        listings = Listings(fs)
        for cookie in (0, 1, 2):
            for folder in folders:
                names = [row[0] for row in listings.rows(folder, cookie)]
                assert names == [b".", b"..", *(b"%d" % name for name in range(10))][cookie:]
                assert len(listings) <= LISTINGS


def test_the_first_listing_after_a_change_fetches_rows_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted as an access, which makes the directory another one, but none of its rows."""
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        for number in range(100):
            fs.mknod(ROOT_INO, b"%d" % number, 0o644)
        fetched: list[int] = []
        fetch = fs.readdir

        def count(ino: int, cookie: int, limit: int) -> Any:
            fetched.append(cookie)
            return fetch(ino, cookie, limit)

        monkeypatch.setattr(fs, "readdir", count)
        listings = Listings(fs)
        for cookie in range(0, 100, 10):
            assert listings.rows(ROOT_INO, cookie)[0][2] == cookie + 1
        assert fetched == [0]


async def test_each_request_fills_the_kernels_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []
    room = last = 0

    def reply(token: Any, name: bytes, entry: Any, cookie: int) -> bool:
        nonlocal room, last
        if room:
            room, last = room - 1, cookie
            told.append(name)
            return True
        return False

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    names = [b"%04d" % number for number in range(2 * READDIR_ROWS + 100)]
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        for name in names:
            fs.mknod(ROOT_INO, name, 0o100644)
        adapter = Adapter(fs, MountOptions())
        handle = await adapter.opendir(ROOT_INO, NOBODY)
        before, requests = -1, 0
        while last != before:
            before, room = last, BUFFER_ENTRIES
            await adapter.readdir(handle, last, TOKEN)
            requests += 1
        await adapter.releasedir(handle)
    assert told == [b".", b"..", *names]
    assert requests == math.ceil(len(told) / BUFFER_ENTRIES) + 1  # the last finds nothing


async def test_a_program_with_a_large_buffer_keeps_nobody_waiting_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def reply(token: Any, name: bytes, entry: Any, cookie: int) -> bool:
        told.append(cookie)
        return True

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        for number in range(5 * READDIR_ROWS):
            fs.mknod(ROOT_INO, b"%04d" % number, 0o100644)
        adapter = Adapter(fs, MountOptions())
        handle = await adapter.opendir(ROOT_INO, NOBODY)
        before, last = -1, 0
        while last != before:
            before = last
            await adapter.readdir(handle, last, TOKEN)
            last = told[-1]
            assert last - before < 2 * READDIR_ROWS + 2
        assert len(set(told)) == len(told) == 5 * READDIR_ROWS + 2
        await adapter.releasedir(handle)


async def test_what_was_listed_before_a_damaged_row_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    room = BUFFER_ENTRIES

    def reply(token: Any, name: bytes, entry: Any, cookie: int) -> bool:
        if len(told) < room:
            told.append(cookie)
            return True
        return False

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        inodes = [fs.mknod(ROOT_INO, b"%04d" % number, 0o100644) for number in range(2 * READDIR_ROWS)]
        sound = fs.readdir

        def damaged(ino: int, cookie: int, limit: int) -> Any:
            if cookie:
                raise IndexDamaged("a page of the index")
            return sound(ino, cookie, limit)

        monkeypatch.setattr(fs, "readdir", damaged)
        adapter = Adapter(fs, MountOptions())
        handle = await adapter.opendir(ROOT_INO, NOBODY)
        await adapter.readdir(handle, 0, TOKEN)
        room = 2 * READDIR_ROWS
        await adapter.readdir(handle, told[-1], TOKEN)
        listed = len(told) - 2  # `.` and `..`
        assert listed == READDIR_ROWS
        with pytest.raises(pyfuse3.FUSEError):
            await adapter.readdir(handle, told[-1], TOKEN)
        assert sum(inode.lookups for inode in inodes) == listed  # the kernel will forget just as many
        await adapter.releasedir(handle)
