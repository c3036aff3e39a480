"""fsck: a healthy store is clean, and each broken invariant is found and named."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from msgspec.msgpack import encode

import vfs
from vfs.backing.storage import DirectoryStorage
from vfs.inode.extents import ChunkRange, Fill
from vfs.limits import CHUNK_BYTES


def fill(store: Path) -> None:
    """A store with some of everything."""
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        fs.make_directory("/a/b", parents=True)
        fs.write_bytes("/a/file", bytes(range(256)) * 64)
        fs.write_bytes("/a/b/small", b"small")
        fs.link(fs.resolve("/a/file").ino, fs.resolve("/a/b").ino, b"hard")
        fs.symlink(fs.resolve("/a").ino, b"soft", b"file")
        fs.set_xattr(fs.resolve("/a/file").ino, b"user.note", b"value")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fill(tmp_path / "store")
    return tmp_path / "store"


def damage(store: Path, sql: str, *arguments: object) -> None:
    """Change rows behind the back of the file system, with right page checksums."""
    storage = DirectoryStorage(store)
    connection = storage.index_connection("index.db", read_only=False)
    connection.execute(sql, arguments)
    assert connection.changes(), f"the statement changed nothing: {sql}"
    connection.close()
    storage.close()


def ino(store: Path, path: str) -> int:
    with vfs.open(store, read_only=True) as fs:
        return fs.resolve(path, follow=False).ino


def kinds(store: Path) -> set[str]:
    return {problem.kind for problem in vfs.check(store).problems}


def test_a_healthy_store_is_clean(store: Path) -> None:
    report = vfs.check(store)
    assert report.clean, report.problems
    assert report.counts == {
        "files": 3,
        "directories": 3,
        "logical_bytes": 256 * 64 + 5,
        "segments": 2,
        "frames": 2,
        "packs": 0,
        "blocks": 0,
        "blobs": 0,
    }


def test_what_only_the_log_has_is_checked_too_and_nothing_is_written(store: Path) -> None:
    fs = vfs.open(store)
    for n in range(50):
        fs.write_bytes(f"/a/new{n}", b"some text %d" % n)
        fs.write(fs.resolve(f"/a/new{n}").ino, 100, b"more")
    fs.sync()
    fs.store.close()  # a crash: no checkpoint
    before = {path.name: path.read_bytes() for path in store.glob("log/*")}
    report = vfs.check(store)
    assert report.clean, report.problems
    assert report.counts["files"] == 53
    assert {path.name: path.read_bytes() for path in store.glob("log/*")} == before
    with vfs.open(store) as fs:
        assert fs.replayed_records > 100


def test_progress_is_told(store: Path) -> None:
    told: list[tuple[int, int, str]] = []
    vfs.check(store, lambda done, total, what: told.append((done, total, what)))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]


ROW_DAMAGE: dict[str, tuple[str, Callable[[Path], tuple[object, ...]], str]] = {
    "an entry without an inode": (
        "UPDATE entry SET ino=999999 WHERE name=x'736d616c6c'",
        lambda store: (),
        "entry",
    ),
    "a lost entry": ("DELETE FROM entry WHERE name=x'736d616c6c'", lambda store: (), "links"),
    "an entry in a file": (
        "UPDATE entry SET parent=? WHERE name=x'736d616c6c'",
        lambda store: (ino(store, "/a/file"),),
        "entry",
    ),
    "an entry of another kind": (
        "UPDATE entry SET kind=4 WHERE name=x'736d616c6c'",
        lambda store: (),
        "entry",
    ),
    "a name with a slash": (
        "UPDATE entry SET name=x'612f62' WHERE name=x'736d616c6c'",
        lambda s: (),
        "entry",
    ),
    "a name that is dots": ("UPDATE entry SET name=x'2e2e' WHERE name=x'736d616c6c'", lambda s: (), "entry"),
    "a cookie too large": ("UPDATE entry SET cookie=77 WHERE name=x'736d616c6c'", lambda s: (), "cookie"),
    "a wrong number of entries": ("UPDATE inode SET size=size+1 WHERE mode>>12=4", lambda s: (), "directory"),
    "no root": ("DELETE FROM inode WHERE ino=1", lambda store: (), "index"),
    "a directory of its own below itself": (
        "UPDATE entry SET parent=?, cookie=99 WHERE name=x'62'",
        lambda store: (ino(store, "/a/b"),),
        "directory",
    ),
    "a parent that is not": (
        "UPDATE inode SET parent=1 WHERE ino=?",
        lambda s: (ino(s, "/a/b"),),
        "directory",
    ),
    "links of a file": ("UPDATE inode SET nlink=9 WHERE ino=?", lambda s: (ino(s, "/a/file"),), "links"),
    "links of a directory": ("UPDATE inode SET nlink=9 WHERE ino=?", lambda s: (ino(s, "/a/b"),), "links"),
    "a segment without a file": (
        "UPDATE extent SET ino=888 WHERE ino=(SELECT min(ino) FROM extent)",
        lambda store: (),
        "extent",
    ),
    "allocated bytes": ("UPDATE inode SET allocated=1 WHERE ino=?", lambda s: (ino(s, "/a/file"),), "extent"),
    "allocated bytes of a segment": ("UPDATE extent SET allocated=allocated+1", lambda s: (), "extent"),
    "a size below the extents": (
        "UPDATE inode SET size=10 WHERE ino=?",
        lambda s: (ino(s, "/a/file"),),
        "extent",
    ),
    "no extents at all": ("UPDATE extent SET map=x'c1'", lambda store: (), "extent"),
    "a count of references": ("UPDATE chunk SET referenced=referenced+1", lambda store: (), "chunk"),
    "an attribute of nobody": ("UPDATE xattr SET ino=777", lambda store: (), "xattr"),
    "a link without a target": ("UPDATE inode SET target=NULL WHERE target NOT NULL", lambda s: (), "inode"),
    "a mode without a type": (
        "UPDATE inode SET mode=420 WHERE ino=?",
        lambda s: (ino(s, "/a/file"),),
        "inode",
    ),
    "a sequence behind": ("UPDATE sequence SET next=2", lambda store: (), "sequence"),
    "wrong totals": ("UPDATE meta SET value=value+1 WHERE key='files'", lambda store: (), "totals"),
    "an index ahead of the log": ("UPDATE meta SET value=10000 WHERE key='lsn'", lambda store: (), "log"),
}


@pytest.mark.parametrize("name", ROW_DAMAGE)
def test_damage_to_a_row_is_found(store: Path, name: str) -> None:
    sql, arguments, kind = ROW_DAMAGE[name]
    damage(store, sql, *arguments(store))
    assert kind in kinds(store)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (ChunkRange(16384, 99, 64, 200), "chunk 99, which does not exist"),
        (ChunkRange(16384, 1, 64, CHUNK_BYTES), "are not in its data"),
        (ChunkRange(16384, 1, 65, 200), "damaged data"),
    ],
)
def test_an_extent_that_points_nowhere_is_found(store: Path, place: ChunkRange, text: str) -> None:
    damage(store, "UPDATE extent SET map=? WHERE ino=?", encode([place]), ino(store, "/a/file"))
    assert any(text in problem.message for problem in vfs.check(store).problems)


def test_a_hole_too_many_is_found(store: Path) -> None:
    damage(store, "UPDATE extent SET map=? WHERE ino=?", encode([Fill(5, 0)]), ino(store, "/a/b/small"))
    assert "extent" in kinds(store)


def test_a_flipped_bit_in_an_index_page_is_found(store: Path) -> None:
    path = store / "index.db"
    data = bytearray(path.read_bytes())
    page = data.index(b"small") // 4096
    data[page * 4096 + 2000] ^= 1
    path.write_bytes(data)
    storage = DirectoryStorage(store)
    connection = storage.index_connection("index.db", read_only=True)
    # Without the page checksums this bit would go unnoticed.
    with pytest.raises(apsw.Error):
        connection.execute("SELECT * FROM entry, inode").fetchall()
    connection.close()
    storage.close()
    assert "index" in kinds(store)


def test_a_damaged_frame_that_was_synced_is_found(store: Path) -> None:
    fs = vfs.open(store)
    fs.write_bytes("/first", b"secret" * 1000)
    fs.sync()
    fs.write_bytes("/second", b"y" * 5000)
    fs.store.close()
    path = store / "log" / "chunk-00000001"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"secret" * 10, b"sECRET" * 10, 1))
    report = vfs.check(store)
    assert [problem.kind for problem in report.problems] == ["log"]
    assert "chunk 1 at offset" in report.problems[0].message


def test_many_problems_are_counted_and_not_all_told(store: Path) -> None:
    with vfs.open(store) as fs:
        for n in range(1200):
            fs.mknod(1, b"f%d" % n, 0o644)
    damage(store, "UPDATE inode SET nlink=3 WHERE mode>>12=8")
    report = vfs.check(store)
    assert report.problem_count > 1200
    assert len(report.problems) == 1000
