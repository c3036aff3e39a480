"""What `diff` calls a difference, what it costs, and that it sees one state whatever happens beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vfs
from tests.losing import lose
from vfs.backing.index_view import IndexView
from vfs.backing.transaction import Transaction
from vfs.errors import NotADirectory, SnapshotError
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO
from vfs.snapshots.diff import Difference

BLOCK = bytes(range(256)) * 400


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        yield opened


def brief(found: Iterator[Difference]) -> list[tuple[Any, ...]]:
    return [
        (each.kind, each.path, *([each.old_path] if each.old_path else []), *each.changes) for each in found
    ]


def test_only_other_bytes_are_other_content(fs: FileSystem) -> None:
    for name in ("again", "packed", "shifted", "touched", "sparse", "last"):
        fs.write_bytes(name, BLOCK)
    fs.flush()
    fs.create_snapshot("then")
    for start in range(0, len(BLOCK), 777):
        fs.write(fs.resolve("again").ino, start, BLOCK[start : start + 777])
    fs.write_bytes("packed", BLOCK)
    fs.flush()
    fs.write_bytes("shifted", BLOCK[1:] + BLOCK[:1])
    fs.set_attributes(fs.resolve("touched").ino, mtime_ns=5)
    fs.write_bytes("sparse", bytes(50_000) + BLOCK[50_000:])
    fs.write(fs.resolve("last").ino, len(BLOCK) - 1, b"?")
    assert brief(fs.diff("then")) == [
        ("changed", b"last", "content"),
        ("changed", b"shifted", "content"),
        ("changed", b"sparse", "content"),
    ]


def test_large_files_are_compared_where_they_changed(fs: FileSystem) -> None:
    large = fs.mknod(ROOT_INO, b"large", 0o644).ino
    fs.truncate(large, 10**12)
    fs.write(large, 5 * 10**11, BLOCK)
    fs.create_snapshot("then")
    fs.write(large, 5 * 10**11, BLOCK)
    fs.set_attributes(large, mode=0o600)
    assert brief(fs.diff("then")) == [("changed", b"large", "mode")]
    fs.write(large, 7 * 10**11, b"x")
    assert brief(fs.diff("then")) == [("changed", b"large", "content", "mode")]


def test_one_file_under_several_names(fs: FileSystem) -> None:
    fs.make_directory("a")
    file = fs.write_bytes("a/one", b"1").ino
    other = fs.write_bytes("a/other", b"1").ino
    fs.link(file, ROOT_INO, b"two")
    fs.link(other, ROOT_INO, b"far")
    fs.remove("a/other")  # the only folder that the inode knows of has it no more
    fs.create_snapshot("then")
    fs.link(file, ROOT_INO, b"three")
    fs.remove("two")
    fs.write(file, 0, b"2")
    fs.write(other, 0, b"2")
    assert brief(fs.diff("then")) == [
        ("changed", b"a/one", "content"),
        ("changed", b"far", "content"),
        ("renamed", b"three", b"two", "content"),
    ]
    fs.remove("a/one")
    assert ("removed", b"a/one") in brief(fs.diff("then"))


def test_a_file_without_a_name_is_not_told(fs: FileSystem) -> None:
    for name in ("kept", "gone"):
        fs.write_bytes(name, b"1")
    fs.create_snapshot("then")
    ino = fs.resolve("gone").ino
    fs.open(ino)
    fs.remove("gone")
    assert brief(fs.diff("then")) == [("removed", b"gone")]
    fs.create_snapshot("meanwhile")
    fs.write(ino, 0, b"2")
    fs.set_attributes(fs.resolve("kept").ino, mode=0o600)
    assert brief(fs.diff("meanwhile")) == [("changed", b"kept", "mode")]
    fs.release(ino)
    assert brief(fs.diff("meanwhile")) == [("changed", b"kept", "mode")]


def test_what_replaces_something(fs: FileSystem) -> None:
    fs.make_directory("modules/inner", parents=True)
    fs.write_bytes("modules/inner/same", b"same")
    fs.write_bytes("modules/inner/other", b"other")
    fs.write_bytes("modules/kind", b"a file")
    fs.create_snapshot("then")
    for name in ("modules/inner/same", "modules/inner/other", "modules/kind", "modules/inner", "modules"):
        fs.remove(name)
    fs.make_directory("modules/inner", parents=True)
    fs.write_bytes("modules/inner/same", b"same")
    fs.write_bytes("modules/inner/other", b"OTHER")
    fs.make_directory("modules/kind")
    assert brief(fs.diff("then")) == [
        ("changed", b"modules/inner/other", "content"),
        ("added", b"modules/kind"),
        ("removed", b"modules/kind"),
    ]


def test_a_renamed_folder_in_the_place_of_another(fs: FileSystem) -> None:
    fs.make_directory("old")
    fs.make_directory("taker")
    fs.write_bytes("old/file", b"1")
    fs.write_bytes("taker/file", b"2")
    fs.create_snapshot("then")
    fs.remove("old/file")
    fs.remove("old")
    fs.move("taker", "old")
    fs.write_bytes("old/new", b"3")
    fs.move("old/new", "old/file")  # in the place of the one that was in this folder then
    assert brief(fs.diff("then")) == [
        ("removed", b"old"),
        ("renamed", b"old", b"taker"),
        ("changed", b"old/file", "content"),
        ("removed", b"old/file"),
    ]


def test_clones(fs: FileSystem) -> None:
    fs.make_directory("src/deep", parents=True)
    fs.write_bytes("src/deep/file", b"1")
    fs.create_snapshot("then")
    for name in (b"one", b"two"):
        fs.clone("then", ROOT_INO, name)
    fs.write_bytes("one/src/deep/file", b"one")
    fs.write_bytes("two/src/new", b"two")
    assert brief(fs.diff("then")) == [("added", b"one"), ("added", b"two")]
    assert brief(fs.diff("/one", "/two")) == [("changed", b"src/deep/file", "content"), ("added", b"src/new")]
    assert brief(fs.diff("then:src", "/two/src")) == [("added", b"new")]
    fs.create_snapshot("later")
    fs.write_bytes("one/src/deep/file", b"two")
    fs.move("two", "moved")
    assert brief(fs.diff("later")) == [
        ("renamed", b"moved", b"two"),
        ("changed", b"one/src/deep/file", "content"),
    ]
    assert brief(fs.diff("later:one", "/moved")) == [
        ("changed", b"src/deep/file", "content"),
        ("added", b"src/new"),
    ]
    fs.clone("later", ROOT_INO, b"third")  # with clones of the two clones in it
    assert brief(fs.diff("later", "/third")) == []
    fs.write_bytes("third/one/src/deep/file", b"3")
    assert brief(fs.diff("later", "/third")) == [("changed", b"one/src/deep/file", "content")]


def test_a_clone_in_a_clone_is_told_with_it(fs: FileSystem) -> None:
    fs.write_bytes("file", b"1")
    fs.create_snapshot("then")
    fs.clone("then", ROOT_INO, b"outer")
    fs.clone("then", fs.resolve("outer").ino, b"inner")
    fs.write_bytes("outer/inner/file", b"2")
    fs.create_snapshot("later")
    fs.write_bytes("outer/inner/file", b"3")
    assert brief(fs.diff("later")) == [("changed", b"outer/inner/file", "content")]
    assert brief(fs.diff("later:outer", "/outer")) == [("changed", b"inner/file", "content")]
    assert brief(fs.diff("later", "/outer")) == [("added", b"inner"), ("removed", b"outer")]


def test_different_folders_are_compared_by_path(fs: FileSystem) -> None:
    fs.make_directory("a/sub", parents=True)
    fs.make_directory("b/sub", parents=True)
    for name in ("a/sub/same", "b/sub/same", "a/only", "b/sub/other"):
        fs.write_bytes(name, b"x")
    fs.write_bytes("a/sub/other", b"y")
    assert brief(fs.diff("/a", "/b")) == [("removed", b"only"), ("changed", b"sub/other", "content")]
    fs.move("b", "c")
    fs.create_snapshot("then")
    fs.move("c", "a/c")
    assert brief(fs.diff("then:c", "/a/c")) == []
    assert [each[:2] for each in brief(fs.diff("then:a", "/a"))] == [
        ("added", b"c"),
        ("added", b"c/sub"),
        ("added", b"c/sub/other"),
        ("added", b"c/sub/same"),
    ]


def test_what_cannot_be_compared(fs: FileSystem) -> None:
    fs.symlink(ROOT_INO, b"link", b"/")
    fs.create_snapshot("then")
    for old, new, error in (
        ("never", None, SnapshotError),
        ("/", None, SnapshotError),
        ("then:link", "/", NotADirectory),
    ):
        with pytest.raises(error):
            fs.diff(old, new)


def test_content_that_cannot_be_read_may_be_another(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        fs.write_bytes("file", BLOCK)
        fs.write_bytes("lost", BLOCK)
        lose(fs, fs.write_bytes("lost before", BLOCK), 0, 100)
        fs.flush()
        fs.create_snapshot("then")
        fs.write(fs.resolve("file").ino, 0, BLOCK)
        fs.write(fs.resolve("lost before").ino, 200, BLOCK[200:300])
        assert brief(fs.diff("then")) == []
        lose(fs, fs.resolve("lost"), 0, 100)
        assert brief(fs.diff("then")) == [("changed", b"lost", "content")]
    for pack in (path / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[100] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    with vfs.open(path) as fs:
        assert brief(fs.diff("then")) == [("changed", b"file", "content"), ("changed", b"lost", "content")]


def test_what_happens_beside_it_does_not_show(fs: FileSystem) -> None:
    """Files change, are packed and collected in the middle of a comparison."""
    for number in range(600):
        fs.write_bytes(f"file-{number:03}", BLOCK[:5000] + bytes(number))
    fs.create_snapshot("then")
    for number in range(600):
        fs.write_bytes(f"file-{number:03}", bytes(number) + BLOCK[:5000])
    expected = brief(fs.diff("then"))
    steps: list[None] = []
    packs, folder = fs.store.storage.path / "packs", fs.store.storage.path
    fs.flush()
    before = {*packs.iterdir(), *(folder / "log").iterdir()}

    def disturb() -> None:
        steps.append(None)
        if len(steps) == 2:
            for number in range(600):
                fs.write_bytes(f"file-{number:03}", b"disturbed")
            fs.remove("file-000")
            fs.flush()
            fs.delete_snapshots(["then"])
            fs.collect()
            fs.checkpoint()
            assert before <= {*packs.iterdir(), *(folder / "log").iterdir()}

    plan = fs.begin_diff("then", "/")
    try:
        assert brief(iter(fs.run_diff(plan, disturb))) == expected
    finally:
        fs.end_diff(plan)
    fs.collect()
    assert before - {*packs.iterdir(), *(folder / "log").iterdir()}, "what only this kept is gone"
    assert len(expected) == 599
    assert len(steps) > 2


def test_a_hundred_snapshots(fs: FileSystem) -> None:
    fs.make_directory("a")
    for number in range(100):
        fs.write_bytes(f"a/{number:03}", b"new")
        fs.write_bytes("a/changing", str(number).encode())
        fs.create_snapshot(f"s{number}")
    for number in (0, 37, 98):
        assert brief(fs.diff(f"s{number}", f"s{number + 1}")) == [
            ("added", f"a/{number + 1:03}".encode()),
            ("changed", b"a/changing", "content"),
        ]
    assert len(brief(fs.diff("s10", "s60"))) == 51
    assert brief(fs.diff("s99")) == []
    fs.delete_snapshots([f"s{number}" for number in range(11, 60)])
    assert len(brief(fs.diff("s60", "s10"))) == 51
    fs.rollback("s10")
    assert len(brief(fs.diff("s99"))) == 90
    assert brief(fs.diff("s10")) == []


class Cost:
    """What SQLite did for comparisons: statements, rows, and tens of its instructions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements = self.rows = self.instructions = 0
        begin, read = IndexView.__init__, IndexView._all

        def count() -> bool:
            self.instructions += 1
            return False

        def begin_counted(view: IndexView, transaction: Transaction, shown: str | None = None) -> None:
            begin(view, transaction, shown)
            transaction._connection.set_progress_handler(count, 10)

        def read_counted(view: IndexView, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
            rows = read(view, sql, arguments)
            self.statements += 1
            self.rows += len(rows)
            return rows

        monkeypatch.setattr(IndexView, "__init__", begin_counted)
        monkeypatch.setattr(IndexView, "_all", read_counted)


def test_cost_grows_with_what_changed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    for folders in (10, 200):
        path = tmp_path / str(folders)
        vfs.mkfs(path)
        with vfs.open(path) as fs:
            top, other = fs.make_directory("top").ino, fs.make_directory("other").ino
            for number in range(folders):
                folder = fs.mkdir(top if number < 10 else other, b"folder-%d" % number, 0o755).ino
                for name in range(50):
                    fs.mknod(folder, b"file-%d" % name, 0o644)
            fs.create_snapshot("then")
            for number in range(10):
                fs.write_bytes(f"top/folder-{number}/file-7", b"changed")
                fs.move(f"top/folder-{number}/file-8", f"top/folder-{number}/renamed")
                fs.remove(f"top/folder-{number}/file-9")
                fs.write_bytes(f"top/folder-{number}/new", b"new")
            fs.checkpoint()
            with monkeypatch.context() as patching:
                cost = Cost(patching)
                assert len(list(fs.diff("then"))) == 40
            costs.append(cost)
    small, large = costs
    assert (large.statements, large.rows) == (small.statements, small.rows)
    assert large.instructions < 1.05 * small.instructions
