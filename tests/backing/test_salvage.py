"""Rows out of the pages of an index: those that SQLite gives, from a whole file and beside its own log; of a
damaged one those of sound pages, and never rows that were removed.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
from tests.packed_stores import noise
from vfs.backing.pages import PageFile
from vfs.backing.salvage import TABLES, PageRows, SoundRows, open_rows
from vfs.backing.storage import DirectoryStorage

PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with trees of several levels and rows that go on in other pages; it was killed."""
    path = tmp_path_factory.mktemp("made") / "open"
    vfs.mkfs(path)
    fs = vfs.open(path, pack_workers=0)
    fs.autopilot = False
    ino = 0
    for number in range(1500):
        ino = fs.mknod(1, b"%d" % number * 20, 0o644).ino
        fs.write(ino, 0, noise(number, 100))
    fs.set_xattr(ino, b"user.long", noise(1, 30_000))
    for number in range(300):
        fs.write(ino, number * 9000, noise(number, 5000))
    fs.flush()
    fs.checkpoint()
    for number in range(700):
        fs.unlink(1, b"%d" % number * 20)
    fs.checkpoint()
    killed = path.parent / "killed"
    shutil.copytree(path, killed)  # as a kill leaves it; closing would empty SQLite's own log
    fs.store.close()
    return killed


@pytest.fixture(params=["killed", "closed"])
def storage(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> DirectoryStorage:
    """With SQLite's own log beside the index, and without."""
    copy = tmp_path / "store"
    shutil.copytree(made, copy)
    if request.param == "closed":
        vfs.open(copy).close()
        assert not (copy / "index.db-wal").exists()
    else:
        assert (copy / "index.db-wal").stat().st_size > 100_000
    return DirectoryStorage(copy)


def rows_of(rows: SoundRows | PageRows) -> dict[str, list[str]]:
    return {table: sorted(map(repr, rows.rows(table))) for table in TABLES}


def test_pages_give_what_sqlite_gives(storage: DirectoryStorage) -> None:
    sound, reason = open_rows(storage)
    assert reason is None
    assert isinstance(sound, SoundRows)
    pages = PageRows(storage, "index.db")
    assert rows_of(pages) == rows_of(sound)
    assert pages.lost_pages == 0
    assert len(list(pages.rows("inode"))) == 801
    pages.close()
    sound.close()


def spoil(path: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    data = bytearray(path.read_bytes())
    at = (number - 1) * PAGE_BYTES
    data[at : at + PAGE_BYTES] = change(bytes(data[at : at + PAGE_BYTES]))
    path.write_bytes(data)


@pytest.mark.parametrize(
    "change", [lambda page: bytes(PAGE_BYTES), lambda page: page[:100] + b"?" + page[101:]]
)
def test_each_damaged_page_costs_its_own_rows_and_no_others(
    made: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    copy = tmp_path / "store"
    shutil.copytree(made, copy)
    vfs.open(copy).close()
    storage = DirectoryStorage(copy)
    sound, _ = open_rows(storage)
    expected = {table: set(rows) for table, rows in rows_of(sound).items()}
    sound.close()
    index = copy / "index.db"
    whole = index.read_bytes()
    for number in range(1, len(whole) // PAGE_BYTES + 1, 5):
        spoil(index, number, change)
        pages = PageRows(storage, "index.db")
        found = {table: set(rows) for table, rows in rows_of(pages).items()}
        pages.close()
        missing = {table: len(rows - found[table]) for table, rows in expected.items()}
        assert all(found[table] <= rows for table, rows in expected.items()), f"page {number} made rows"
        assert sum(missing.values()) < 250, f"page {number}: {missing}"
        index.write_bytes(whole)


def test_an_empty_page_is_told(made: Path, tmp_path: Path) -> None:
    """Its checksum is right, and SQLite does not look into every page."""
    copy = tmp_path / "store"
    shutil.copytree(made, copy)
    vfs.open(copy).close()
    storage = DirectoryStorage(copy)
    pages = PageFile(storage, "index.db")
    assert pages.emptied() == []
    number = max(number for number, (kind, _) in pages.parents().items() if kind == 5)
    pages.close()
    spoil(copy / "index.db", number, lambda page: bytes(PAGE_BYTES))
    pages = PageFile(storage, "index.db")
    assert pages.emptied() == [number]
    assert pages.page(number) is None
    pages.close()
