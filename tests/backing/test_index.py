"""The index's connections: readers and the writer do not stand in each other's way."""

from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
from vfs.backing.index import INDEX_NAME, Index

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
