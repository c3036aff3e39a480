"""Memory under its bound, whatever fills it: reading, listing and writing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs import FileSystem
from vfs.errors import AttributeTooLarge
from vfs.inode.limiter import MemoryLimiter
from vfs.limits import XATTR_VALUE_BYTES

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


def test_walking_gives_back_attributes(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    values = {b"user.%d" % number: bytes([number]) * 20_000 for number in range(4)}
    with vfs.open(tmp_path / "store", cache_bytes=MIB) as fs:
        for number in range(60):
            file = fs.write_bytes(f"/{number}", b"").ino
            for name, value in values.items():
                fs.set_xattr(file, name, value)
        most = loaded_attribute_bytes(fs)
        assert most < 8 * MIB, (
            "changed attributes stay until a checkpoint, which is asked for when they are many"
        )
        file = fs.resolve("/30").ino
    for read_only in (True, False):
        with vfs.open(tmp_path / "store", cache_bytes=MIB, read_only=read_only) as fs:
            for number in range(60):
                file = fs.resolve(f"/{number}").ino
                assert fs.list_xattrs(file) == sorted(values)
                assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
                assert {name: fs.get_xattr(file, name) for name in values} == values
                assert loaded_attribute_bytes(fs) <= fs.limiter.used_bytes <= fs.limiter.limit_bytes
            if not read_only:
                fs.remove_xattr(file, b"user.1")
                fs.unlink(1, b"0")
                for inode in fs.table.loaded():
                    fs.table.shed_xattrs(inode)
                assert loaded_attribute_bytes(fs) == 3 * 20_000, "what the index does not have as it is stays"
                fs.checkpoint()
                fs.write_bytes("/0", b"")
                fs.set_xattr(fs.resolve("/0").ino, b"user.0", values[b"user.0"])
    with vfs.open(tmp_path / "store") as fs:
        assert fs.list_xattrs(file) == [b"user.0", b"user.2", b"user.3"]
        assert fs.list_xattrs(fs.resolve("/0").ino) == [b"user.0"]


def loaded_attribute_bytes(fs: FileSystem) -> int:
    return sum(len(value) for inode in fs.table.loaded() for value in (inode.xattrs or {}).values())


def test_attributes_of_an_inode_are_bounded_in_all(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        file = fs.write_bytes("/file", b"").ino
        for number in range(15):
            fs.set_xattr(file, b"user.%d" % number, bytes(XATTR_VALUE_BYTES))
        fs.set_xattr(file, b"user.0", b"x" * XATTR_VALUE_BYTES)
        with pytest.raises(AttributeTooLarge):
            fs.set_xattr(file, b"user.last", bytes(XATTR_VALUE_BYTES))
        fs.set_xattr(file, b"user.last", b"small")
        assert len(fs.list_xattrs(file)) == 16
