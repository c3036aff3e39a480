"""A loose index is written anew: smaller, with the same rows, and not again before it has grown."""

from pathlib import Path

import apsw
import pytest

import vfs
from vfs.backing.file_names import INDEX_NAME
from vfs.filesystem import FileSystem

FILES = 4500


def loose_store(store: Path) -> Path:
    """A store whose names came in no order, with every third file removed, left by a crash: closing it would
    have mended it."""
    vfs.mkfs(store)
    fs = vfs.open(store)
    fs.autopilot = False
    for step in range(0, FILES, 300):
        for number in range(step, step + 300):
            fs.write_bytes(f"/{number * 7919 % 100_003:06}-name", b"x" * 100)
        fs.checkpoint()
    for number in range(0, FILES, 3):
        fs.remove(f"/{number * 7919 % 100_003:06}-name")
    fs.checkpoint()
    fs.log.sync()
    fs.store.close()
    return store


def pages(store: Path) -> int:
    return (store / INDEX_NAME).stat().st_size // 4096


def listing(fs: FileSystem) -> list[tuple[bytes, bytes]]:
    return [(name, fs.read_bytes(b"/" + name)) for name in sorted(fs.listdir("/"))]


def test_closing_writes_a_loose_index_anew(tmp_path: Path) -> None:
    store = loose_store(tmp_path / "store")
    before = pages(store)
    with vfs.open(store) as fs:
        expected = listing(fs)
    assert pages(store) < 0.9 * before
    assert vfs.check(store).clean
    with vfs.open(store, read_only=True) as fs:
        assert listing(fs) == expected
        assert not fs.store.index.is_loose()


def test_readers_go_on_meanwhile(tmp_path: Path) -> None:
    with vfs.open(loose_store(tmp_path / "store")) as fs:
        other = fs.store.index.reading_connection()
        other.execute("BEGIN")
        seen = other.execute("SELECT count(*) FROM inode").fetchall()
        fs.store.index.shrink()
        assert other.execute("SELECT count(*) FROM inode").fetchall() == seen
        other.execute("COMMIT")
        other.close()
        assert not fs.store.index.is_loose()
        fs.write_bytes("/afterwards", b"text")
        fs.checkpoint()
    assert vfs.check(tmp_path / "store").clean


def test_without_room_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vfs.open(loose_store(tmp_path / "store")) as fs:
        space = fs.store.storage.space()._replace(free_bytes=4096)
        monkeypatch.setattr(fs.store.storage, "space", lambda: space)
        fs.store.index.shrink()
        assert fs.store.index.is_loose()


def test_page_checksums_are_kept(tmp_path: Path) -> None:
    store = loose_store(tmp_path / "store")
    vfs.open(store).close()
    connection = apsw.Connection(str(store / INDEX_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.reserve_bytes(None, -1) == 8
    assert connection.pragma("auto_vacuum") == 2
    connection.close()
    data = bytearray((store / INDEX_NAME).read_bytes())
    data[len(data) // 2] ^= 1
    (store / INDEX_NAME).write_bytes(data)
    assert not vfs.check(store).clean
