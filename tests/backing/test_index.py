"""The index's connections: readers and the writer do not stand in each other's way."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import vfs
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.index import Index
from vfs.errors import IndexDamaged, NoSpace
from vfs.repair.repair import repairing

LOOK_UPS: dict[str, Callable[[Index], object]] = {
    "inode": lambda index: index.inode(1),
    "entry": lambda index: index.entry(1, b"file"),
    "segment": lambda index: index.load_segment(2, 0),
    "listing": lambda index: index.entries_after(1, 0, 1),
}


@pytest.mark.parametrize("look_up", LOOK_UPS.values(), ids=LOOK_UPS.keys())
def test_a_look_up_leaves_no_view_open(tmp_path: Path, look_up: Callable[[Index], object]) -> None:
    """An open one makes SQLite's own log grow with every commit, for as long as the store is open."""
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.write_bytes("/file", b"text")
        fs.checkpoint()
        assert look_up(fs.store.index)
        with fs.store.index.transaction() as transaction:
            transaction.put_meta({"files": 1})
        other = fs.store.storage.index_connection(INDEX_NAME, read_only=False)
        busy, pages, moved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()[0]
        other.close()
        assert (busy, moved) == (0, pages)


def test_statements_are_not_made_anew_for_other_numbers(tmp_path: Path) -> None:
    """SQLite would do so by itself wherever a plan might depend on what is bound."""
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        for number in range(4):
            fs.write_bytes(f"/file-{number}", bytes([number]) * 5000)
    with vfs.open(tmp_path / "store") as fs:
        index = fs.store.index
        made: list[int] = []

        def look(number: int) -> None:
            assert index.entry(1, b"file-%d" % number)
            assert index.inode(2 + number)
            index.load_segment(2 + number, 0)
            index.xattrs(2 + number)
            index.allocated_from(2 + number, 0)
            assert index.entries_after(1, 2 + number, 1)
            assert index.inode_rows([1, 2 + number])

        def note(operation: int, *_: str | None) -> int:
            made.append(operation)
            return apsw.SQLITE_OK

        index._reader.authorizer = note  # SQLite asks it whenever it makes a statement
        look(0)
        assert made
        made.clear()
        for number in range(1, 4):
            look(number)
        assert not made
        index._reader.authorizer = None


def test_a_foreign_reader_leaves_the_index_alone(tmp_path: Path) -> None:
    """Whoever opens it last folds SQLite's log in and removes it: our locks must say that we are there."""
    vfs.mkfs(tmp_path / "store")
    reading = (
        "import sqlite3, sys; index = sqlite3.connect(sys.argv[1]);"
        "print(index.execute('SELECT count(*) FROM inode').fetchone()[0]); index.close()"
    )
    with vfs.open(tmp_path / "store") as fs:
        fs.write_bytes("/a", b"1")
        fs.checkpoint()
        fs.info()
        command = [sys.executable, "-c", reading, str(tmp_path / "store" / "index.db")]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"2\n"
        assert (tmp_path / "store" / "index.db-wal").exists()
        fs.write_bytes("/b", b"2")
        fs.checkpoint()
    with vfs.open(tmp_path / "store") as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/b") == b"2"


@pytest.mark.parametrize("missing", [1, 494, 4095])
def test_an_index_that_ends_amid_a_page_is_damaged(tmp_path: Path, missing: int) -> None:
    """SQLite would make up zeros, and find out only when it has written behind them."""
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        fs.write_bytes("/file", b"text")
    index = store / INDEX_NAME
    os.truncate(index, index.stat().st_size - missing)
    for read_only in (True, False):
        with pytest.raises(IndexDamaged, match="ends amid a page"):
            vfs.open(store, read_only=read_only)
    assert not vfs.check(store).clean
    with repairing(store) as work:
        work.look()
        assert work.needed
        assert work.act().clean
    with vfs.open(store) as fs:
        assert fs.read_bytes("/file") == b"text"


def test_no_room_to_undo_a_commit_is_told_by_the_next_reading_as_well() -> None:
    """A file system that copies on write needs room for that; the index is as it was when there is some."""
    disk = SimulatedStorage()
    index = Index.create(disk)
    with index.transaction() as transaction:
        transaction.put_meta({f"key {number}": 1 for number in range(2000)})
    disk.faults = [Fault(errno.ENOSPC, "write", INDEX_NAME, times=1 << 30)]
    with pytest.raises(NoSpace):
        with index.transaction() as transaction:
            transaction.put_meta({f"key {number}": 2 for number in range(2000)})
    with pytest.raises(NoSpace):
        index.meta()
    after = disk.kill()
    after.faults = [Fault(errno.ENOSPC, "write", INDEX_NAME, times=1 << 30)]
    with pytest.raises(NoSpace):
        Index.open(after, read_only=False)
    disk.faults = []
    assert index.meta()["key 7"] == 1
    index.close()


@pytest.mark.parametrize("code", [apsw.SQLITE_FULL, apsw.SQLITE_IOERR_SHMSIZE])
def test_no_room_is_told_as_such_whatever_sqlite_calls_it(tmp_path: Path, code: int) -> None:
    """Its shared memory grows with its own log, and is a file, too."""
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        index = fs.store.index
        with pytest.raises(NoSpace), index.transaction():
            raise apsw.exception_for(code)
        with pytest.raises(NoSpace), index.checking(writable=True):
            raise apsw.exception_for(code)
