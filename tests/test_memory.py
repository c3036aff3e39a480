"""Memory under its bound, whatever fills it: reading, listing and writing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs import FileSystem
from vfs.inode.limiter import MemoryLimiter

MIB = 1 << 20
SEGMENT = 16 * MIB
SEGMENTS = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a file of many extents and a tree of many names; nothing of that is a change any more."""
    store = tmp_path_factory.mktemp("memory") / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        file = fs.write_bytes("/file", os.urandom(MIB)).ino
        for number in range(1000):  # every other 4 KiB is a hole
            fs.clone_range(file, 8192 * (number % 100), 4096, file, SEGMENT + 8192 * number)
        for number in range(2, SEGMENTS):
            fs.clone_range(file, SEGMENT, SEGMENT, file, SEGMENT * number)
        for number in range(40):
            folder = fs.make_directory(f"/{number}").ino
            for name in range(100):
                fs.mknod(folder, b"%d" % name, 0o644)
    return store


@pytest.fixture(params=[False, True], ids=["read-write", "read-only"])
def fs(store: Path, request: pytest.FixtureRequest) -> Iterator[FileSystem]:
    with vfs.open(store, read_only=request.param, cache_bytes=MIB) as opened:
        opened.autopilot = False
        yield opened


def test_reading_gives_back_maps(fs: FileSystem) -> None:
    file = fs.resolve("/file").ino
    for number in range(1, SEGMENTS):
        fs.read(file, SEGMENT * number, 4096)
        assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
        fs.read_resident(file, SEGMENT * number, 4096)
        assert fs.limiter.used_bytes <= fs.limiter.limit_bytes


def test_listing_gives_back_names(fs: FileSystem) -> None:
    for number in range(40):
        assert len(fs.listdir(f"/{number}")) == 100
        assert fs.limiter.used_bytes <= fs.limiter.limit_bytes


def test_relief_lasts_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for what can be given back costs as much as there is in memory, so no write needs it anew."""
    asked = 0
    owners = MemoryLimiter.owners

    def counted(limiter: MemoryLimiter) -> list[int]:
        nonlocal asked
        asked += 1
        return owners(limiter)

    monkeypatch.setattr(MemoryLimiter, "owners", counted)
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store", cache_bytes=MIB) as fs:
        for number in range(2000):
            fs.write_bytes(f"/{number}", b"%d" % number * 250)
            assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
        assert 0 < asked < 60


def test_replay_keeps_no_more_of_small_files_than_may_be(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    fs = vfs.open(tmp_path / "store")
    data = os.urandom(3000)
    for number in range(10):
        fs.make_directory(f"/{number}")
        for name in range(100):
            fs.write_bytes(f"/{number}/{name}", data)
    fs.store.close()  # as a kill leaves it
    with vfs.open(tmp_path / "store", cache_bytes=MIB) as fs:
        assert fs.replayed_records > 2000
        assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
        assert all(fs.read_bytes(f"/{number}/{name}") == data for number in range(10) for name in range(100))
    assert vfs.check(tmp_path / "store").clean
