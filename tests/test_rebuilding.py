"""Tables of packed data that were lost come back from the packs, with every reference."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

import vfs
from tests.packed_stores import flip, noise, packs, text
from tests.test_checker import damage
from vfs.backing.creation import CreationOptions
from vfs.backing.rebuild import read_blobs
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import Superblock
from vfs.errors import DataDamaged
from vfs.rebuilding import rebuild_packed_tables

KIB = 1024
TABLES = ("blob", "block", "pack")


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {
        "/noise": noise(1, 70_000),
        "/text": text(1, 50_000),
        "/copy": text(1, 50_000),
        "/late": text(2, 30_000),
    }


@pytest.fixture
def store(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    """Two packs, one of them with dead blobs, and something in the log."""
    path = tmp_path / "store"
    vfs.mkfs(path, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    with vfs.open(path, pack_workers=0) as fs:
        fs.write_bytes("/noise", contents["/noise"])
        fs.write_bytes("/gone", noise(2, 30_000))
        fs.flush()
        for name, content in contents.items():
            fs.write_bytes(name, content)
        fs.remove("/gone")
        fs.flush()
        contents["/raw"] = noise(3, 10_000)
        fs.write_bytes("/raw", contents["/raw"])
    return path


@contextmanager
def connection(store: Path) -> Iterator[apsw.Connection]:
    storage = DirectoryStorage(store)
    opened = storage.index_connection("index.db", read_only=False)
    yield opened
    opened.close()
    storage.close()


def rows(store: Path) -> dict[str, list[Any]]:
    with connection(store) as opened:
        found = {table: opened.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in TABLES}
        keys = "('blob_bytes', 'referenced_bytes', 'next_blob', 'next_block', 'next_pack')"
        sql = f"SELECT key, value FROM meta WHERE key IN {keys} ORDER BY key"
        found["meta"] = opened.execute(sql).fetchall()
        return found


def check(store: Path, contents: dict[str, bytes]) -> None:
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
    with vfs.open(store, read_only=True) as fs:
        for name, content in contents.items():
            assert fs.read_bytes(name) == content, name


def test_every_blob_is_listed_from_the_packs_alone(store: Path) -> None:
    expected = rows(store)
    storage = DirectoryStorage(store)
    listed = sorted((blob.id, blob.block, blob.offset) for blob, _ in read_blobs(storage, uuid(storage)))
    storage.close()
    assert listed == [(blob, block, offset) for blob, _, block, offset, _, _ in expected["blob"]]


def uuid(storage: DirectoryStorage) -> bytes:
    return Superblock.read(storage).uuid


def test_rows_are_the_same_when_they_are_made_anew(store: Path, contents: dict[str, bytes]) -> None:
    before = rows(store)
    assert any(row[5] == 0 for row in before["blob"]), "some are dead"
    assert any(row[5] == 2 for row in before["blob"]), "some are shared"
    with vfs.open(store) as fs:
        rebuild_packed_tables(fs.store.index, fs.store.storage, fs.store.superblock.uuid)
    assert rows(store) == before
    check(store, contents)


LOSSES = {
    "all rows": [f"DELETE FROM {table}" for table in TABLES],
    "rows of blobs": ["DELETE FROM blob"],
    "rows of blocks": ["DELETE FROM block"],
    "rows of packs": ["DELETE FROM pack"],
    "all tables": [f"DROP TABLE {table}" for table in TABLES],
    "the table of blobs": ["DROP TABLE blob"],
    "the table of packs": ["DROP TABLE pack"],
    "rows and numbers": [
        *(f"DELETE FROM {table}" for table in TABLES),
        "DELETE FROM meta WHERE key LIKE 'next_%' OR key LIKE '%blob_bytes'",
    ],
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_lost_comes_back_at_the_next_opening(
    store: Path, contents: dict[str, bytes], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = rows(store)
    with connection(store) as opened:
        for sql in LOSSES[name]:
            opened.execute(sql)
    assert not vfs.check(store).clean
    with vfs.open(store, pack_workers=0) as fs:
        assert any("made anew" in record.message for record in caplog.records)
        for path, content in contents.items():
            assert fs.read_bytes(path) == content
    after = rows(store)
    assert [after[table] for table in TABLES] == [before[table] for table in TABLES]
    check(store, contents)
    with vfs.open(store, pack_workers=0) as fs:
        fs.write_bytes("/more", noise(7, 20_000))
        fs.flush()
        fs.remove("/text")
        fs.collect()
    check(
        store,
        {**{name: each for name, each in contents.items() if name != "/text"}, "/more": noise(7, 20_000)},
    )


def test_an_opening_for_reading_changes_nothing(store: Path) -> None:
    damage(store, "DELETE FROM blob")
    before = rows(store)
    with vfs.open(store, read_only=True) as fs, pytest.raises(DataDamaged):
        fs.read_bytes("/noise")
    assert rows(store) == before


def test_a_sound_store_is_left_alone(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    with vfs.open(store):
        pass
    assert not any("anew" in record.message for record in caplog.records)


def test_packs_that_all_go_are_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store"
    vfs.mkfs(path)
    fs = vfs.open(path, pack_workers=0)
    fs.write_bytes("/file", noise(1, 30_000))
    fs.flush()
    fs.begin_read(fs.resolve("/file").ino, 0, 30_000)
    fs.remove("/file")
    fs.collect()
    fs.store.close()  # killed: rows of blobs and blocks are gone, the pack is not
    assert len(packs(path)) == 1
    with vfs.open(path):
        assert packs(path) == []
    assert not any("anew" in record.message for record in caplog.records)


def test_a_pack_that_was_being_written_goes(store: Path, contents: dict[str, bytes]) -> None:
    (store / "packs" / "new-99").write_bytes(b"half of it")
    for table in TABLES:
        damage(store, f"DELETE FROM {table}")
    with vfs.open(store):
        pass
    assert not (store / "packs" / "new-99").exists()
    check(store, contents)


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_replaced_pack_that_was_not_gone_yet(
    store: Path, contents: dict[str, bytes], newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = vfs.open(store, pack_workers=0)
    fs.remove("/text")
    fs.begin_read(fs.resolve("/noise").ino, 0, 70_000)
    assert fs.collect().packs_rewritten == 2
    fs.sync()
    fs.store.close()
    assert len(packs(store)) == 3
    del contents["/text"]
    for table in TABLES:
        damage(store, f"DELETE FROM {table}")
    by_age = sorted(packs(store), key=lambda path: path.stat().st_mtime_ns, reverse=newest_first)
    monkeypatch.setattr("vfs.backing.rebuild.pack_names", lambda _: [path.name for path in by_age])
    with vfs.open(store, pack_workers=0) as fs:
        with fs.store.index.checking(writable=False) as transaction:
            sql = "SELECT DISTINCT k.pack FROM blob b JOIN block k ON k.id=b.block WHERE b.refs>0"
            newest = max(row.id for row in fs.store.rows.packs())
            assert list(transaction.query(sql)) == [(newest,)]
        found = fs.collect()
        assert found.packs_kept == 0
        assert len(packs(store)) == 1
    check(store, contents)


def test_what_a_damaged_pack_held_stays_lost_and_all_else_comes_back(
    store: Path, contents: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = packs(store)[-1]
    flip(path, path.stat().st_size - 3)
    for table in TABLES:
        damage(store, f"DELETE FROM {table}")
    with vfs.open(store, pack_workers=0) as fs:
        assert fs.read_bytes("/noise") == contents["/noise"]
        with pytest.raises(DataDamaged):
            fs.read_bytes("/text")
        fs.write_bytes("/new", noise(9, 50_000))
        fs.flush()
        assert fs.read_bytes("/new") == noise(9, 50_000)
    assert any(path.name in record.getMessage() for record in caplog.records)
    assert vfs.check(store).files_damaged == ["/copy", "/late", "/text"]
