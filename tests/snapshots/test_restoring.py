"""Copies out of snapshots, and restores: all as it was, the snapshot untouched, and no content moved."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vfs
from tests.trees.inside import names, room_for, told
from tests.trees.test_copying import build, stored
from vfs.errors import InvalidArgument, NoEntry, NoSpace, NotADirectory, ReadOnly, SnapshotError, Stale
from vfs.limits import MIB
from vfs.trees import copier as copier_module
from vfs.trees import remover
from vfs.trees.copier import Copier
from vfs.trees.copies import run
from vfs.trees.restorer import Restorer

FS = vfs.FileSystem


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FS]:
    """An open file system; afterwards its store must be sound, and show the same."""
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as opened:
        yield opened
        opened.table.check_invariants()
        last = told(opened, 1)
    with vfs.open(store, read_only=True) as again:
        assert told(again, 1) == last
    report = vfs.check(store, data=True)
    assert report.clean, report.problems


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier_module, "SLICE_EXTENTS", 4)
    monkeypatch.setattr(copier_module, "SLICE_ENTRIES", 4)
    monkeypatch.setattr(remover, "ROWS", 2)


def at(fs: FS, snapshot: str, path: str) -> int:
    inode = fs.snapshot_root(snapshot)
    for name in path.encode().split(b"/")[1:]:
        inode = fs.lookup(inode.ino, name)
    return inode.ino


def wreck(fs: FS) -> None:
    """What was built is other and elsewhere now."""
    fs.write(fs.resolve("/tree/packed").ino, 5, b"changed")
    fs.truncate(fs.resolve("/tree/logged").ino, 10)
    fs.remove("/tree/merged")
    fs.move("/tree/folder", "/folder elsewhere")
    fs.write_bytes("/tree/folder", b"a file now")
    fs.set_attributes(fs.resolve("/tree").ino, mode=0o700, mtime_ns=99)


def test_a_copy_out_of_a_snapshot(fs: FS) -> None:
    build(fs)
    before = told(fs, fs.resolve("/tree").ino)
    fs.create_snapshot("one")
    wreck(fs)
    vfs.copy_tree(fs, "/.snapshots/one/tree", "/copy")
    assert told(fs, fs.resolve("/copy").ino) == before
    used = stored(fs)
    for name in ("packed", "logged", "merged"):
        vfs.copy_tree(fs, f"/.snapshots/one/tree/{name}", f"/{name}")
    assert stored(fs) - used < 10_000, "no content is moved"
    assert told(fs, at(fs, "one", "/tree")) == before
    fs.delete_snapshots(["one"])
    assert fs.collect().pruned_rows, "of what nothing else shows"
    assert told(fs, fs.resolve("/copy").ino) == before
    fs.flush()
    fs.collect()
    assert told(fs, fs.resolve("/copy").ino) == before
    fs.write(fs.resolve("/copy/packed").ino, 0, b"writable")


def test_nothing_is_copied_into_a_snapshot(fs: FS) -> None:
    fs.make_directory("/d")
    fs.write_bytes("/file", b"x")
    fs.create_snapshot("one")
    for dest in ("/.snapshots/one/d", "/.snapshots/one/new", "/.snapshots/new"):
        with pytest.raises(ReadOnly, match="snapshots do not change"):
            vfs.copy_tree(fs, "/file", dest)


def test_files_and_folders_come_back(fs: FS) -> None:
    build(fs)
    before = told(fs, fs.resolve("/tree").ino)
    fs.create_snapshot("one")
    wreck(fs)
    fs.create_snapshot("two")
    held = fs.open(fs.resolve("/tree/packed").ino)
    vfs.restore_tree(fs, "one", ["/tree/packed", "tree/folder/", "/tree/merged"])
    now = told(fs, fs.resolve("/tree").ino)
    assert now[b"/packed"] == before[b"/packed"]
    assert {path: entry for path, entry in now.items() if path.startswith(b"/folder/s")} == {
        path: entry for path, entry in before.items() if path.startswith(b"/folder/s")
    }
    assert now[b"/merged"]["content"] == before[b"/merged"]["content"]
    assert now[b"/logged"] != before[b"/logged"], "nobody asked for it"
    assert bytes(fs.read(held.ino, 0, 12))[5:] == b"changed", "who holds the old one keeps it"
    fs.release(held.ino)
    vfs.restore_tree(fs, "one", ["/tree"])
    assert told(fs, fs.resolve("/tree").ino) == before == told(fs, at(fs, "one", "/tree"))
    assert names(fs) == [b"folder elsewhere", b"other", b"tree"]
    vfs.restore_tree(fs, "two", ["/tree/folder"])
    assert fs.read_bytes("/tree/folder") == b"a file now"


def test_folders_above_are_made_as_they_were(fs: FS) -> None:
    fs.make_directory("/a/b/c", parents=True)
    fs.write_bytes("/a/b/c/file", b"content")
    fs.write_bytes("/a/b/beside", b"x")
    fs.set_xattr(fs.resolve("/a/b").ino, b"user.x", b"value")
    fs.set_attributes(fs.resolve("/a/b/c").ino, mode=0o2750, uid=4, atime_ns=5, mtime_ns=6)
    fs.set_attributes(fs.resolve("/a/b").ino, mode=0o711, uid=3, atime_ns=7, mtime_ns=8)
    before = told(fs, fs.resolve("/a").ino)
    fs.create_snapshot("one")
    for _ in remover.remove(fs, fs.resolve("/a").ino, b"b", fs.resolve("/a/b").ino, []):
        pass
    vfs.restore_tree(fs, "one", ["/a/b/c/file"])
    now = told(fs, fs.resolve("/a").ino)
    assert sorted(now) == [b"", b"/b", b"/b/c", b"/b/c/file"]
    for path in (b"/b", b"/b/c", b"/b/c/file"):
        for entry in (now[path], before[path]):
            entry.pop("size")
        assert now[path] == before[path]


def test_what_lies_in_a_clone(fs: FS) -> None:
    folder = fs.make_directory("/work")
    fs.write_bytes("/work/file", b"first")
    fs.create_snapshot("one")
    fs.clone("one:work", 1, b"clone")
    fs.write_bytes("/clone/file", b"second")
    fs.write_bytes("/clone/new", b"new")
    fs.create_snapshot("two")
    fs.remove("/clone/new")
    fs.write_bytes("/clone/file", b"third")
    vfs.restore_tree(fs, "two", ["/clone/new", "/clone/file"])
    assert (fs.read_bytes("/clone/new"), fs.read_bytes("/clone/file")) == (b"new", b"second")
    vfs.copy_tree(fs, "/clone", "/work")  # from one tree into another
    assert fs.read_bytes("/work/clone/file") == b"second"
    fs.write_bytes("/clone/file", b"fourth")
    vfs.restore_tree(fs, "two", ["/clone"])
    assert fs.read_bytes("/clone/file") == b"second"
    vfs.copy_tree(fs, "/.snapshots/two", "/all")
    assert fs.listdir("/all/clone") == [b"file", b"new"]
    assert folder.ino == fs.resolve("/work").ino


Wrong = tuple[str, list[str], type[Exception], str]
WRONG: list[Wrong] = [
    ("none", ["/a"], SnapshotError, "no snapshot is called 'none'"),
    ("one", ["/missing"], NoEntry, "no /missing in snapshot 'one'"),
    ("one", ["/file", "/file/x"], NoEntry, "no /file/x in snapshot 'one'"),
    ("one", ["/link/x"], NoEntry, "no /link/x in"),
    ("one", ["/"], InvalidArgument, "vfs rollback"),
    ("one", ["/a/../file"], InvalidArgument, "vfs rollback"),
    ("one", ["/a/x"], NotADirectory, "a is no folder now"),
    ("one", ["/file", "/a/x"], SnapshotError, r"a is no folder now.*\(restored before that: /file\)"),
]


@pytest.mark.parametrize(("snapshot", "paths", "error", "words"), WRONG)
def test_what_is_refused(fs: FS, snapshot: str, paths: list[str], error: type[Exception], words: str) -> None:
    fs.make_directory("/a")
    fs.write_bytes("/a/x", b"x")
    fs.write_bytes("/file", b"file")
    fs.symlink(1, b"link", b"a")
    fs.create_snapshot("one")
    fs.remove("/a/x")
    fs.remove("/a")
    fs.write_bytes("/a", b"a file now")
    before = {path: entry["content"] for path, entry in told(fs, 1).items() if "content" in entry}
    with pytest.raises(error, match=words):
        vfs.restore_tree(fs, snapshot, paths)
    assert {path: entry["content"] for path, entry in told(fs, 1).items() if "content" in entry} == before


def tree(fs: FS) -> None:
    fs.make_directory("/a/b", parents=True)
    for number in range(8):
        fs.write_bytes(f"/a/b/{number}", b"%d" % number * 3000)
    ino = fs.write_bytes("/a/b/large", b"").ino
    for number in range(15):
        fs.write(ino, number * 5 * MIB, random.Random(number).randbytes(9000))
    fs.create_snapshot("one")
    for _ in remover.remove(fs, 1, b"a", fs.resolve("/a").ino, []):
        pass


def stop_at(fs: FS, work: Copier | Restorer, number: int, stop: Callable[[], object]) -> bool:
    """Take steps up to that number, then `stop` and the rest; undo after an error. False: it has fewer."""
    try:
        for count, _ in enumerate(work.steps()):
            fs.table.check_invariants()
            if count == number:
                stop()
    except BaseException:
        for _ in work.undo():
            pass
        raise
    return count >= number


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("_small_slices")
def test_an_end_at_any_slice_leaves_nothing(fs: FS) -> None:
    tree(fs)
    for number in range(1000):
        try:
            if not stop_at(fs, Restorer(fs, "one", [b"/a/b"]), number, interrupt):
                break
        except KeyboardInterrupt:
            assert names(fs) == []
            assert (fs.table.totals.files, fs.table.totals.directories) == (0, 1)
    assert number > 5
    assert told(fs, fs.resolve("/a").ino) == told(fs, at(fs, "one", "/a"))


@pytest.mark.usefixtures("_small_slices")
@pytest.mark.parametrize("path", ["/a", "/a/b/large"])
def test_a_snapshot_that_goes_meanwhile(fs: FS, path: str) -> None:
    tree(fs)
    slices = sum(1 for _ in Restorer(fs, "one", [path.encode()]).steps())
    vfs.restore_tree(fs, "one", ["/a"])
    for number in range(slices):
        fs.create_snapshot("again")
        for _ in remover.remove(fs, 1, b"a", fs.resolve("/a").ino, []):
            pass

        def delete() -> None:
            fs.delete_snapshots(["again"])
            fs.collect()

        with pytest.raises(SnapshotError, match="'again' was deleted meanwhile"):
            stop_at(fs, Restorer(fs, "again", [path.encode()]), number, delete)
        assert names(fs) == []
        vfs.restore_tree(fs, "one", ["/a"])
        fs.create_snapshot("again")
        with pytest.raises(Stale):
            stop_at(fs, Copier(fs, at(fs, "again", path), 1, b"copy", replace=False), number, delete)
        assert names(fs) == [b"a"]
    assert slices > 2


@pytest.mark.usefixtures("_small_slices")
def test_a_rollback_meanwhile(fs: FS) -> None:
    """The copy ends without a trace, or goes on in what is there then."""
    tree(fs)
    fs.write_bytes("/file", b"now")
    for number in range(0, 8, 2):
        work = Copier(fs, at(fs, "one", "/a"), 1, b"copy", replace=True)
        with pytest.raises((NoEntry, Stale)):
            stop_at(fs, work, number, lambda: fs.rollback("one"))
        assert names(fs) == [b"a"]
        assert told(fs, fs.resolve("/a").ino) == told(fs, at(fs, "one", "/a"))


@pytest.mark.usefixtures("_small_slices")
def test_packing_and_collecting_meanwhile(fs: FS) -> None:
    tree(fs)
    fs.write_bytes("/between", os.urandom(50_000))
    fs.autopilot = False
    rng = random.Random(1)
    for _ in Restorer(fs, "one", [b"/a"]).steps():
        rng.choice((fs.checkpoint, fs.flush, fs.collect, fs.roll_log))()
    assert told(fs, fs.resolve("/a").ino) == told(fs, at(fs, "one", "/a"))


def test_no_room(fs: FS, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(fs)
    need_room = fs.need_room
    for most in range(1000):
        monkeypatch.setattr(fs, "need_room", room_for(need_room, most))
        try:
            run(fs, Restorer(fs, "one", [b"/a/b/large", b"/a"]))
        except (NoSpace, SnapshotError):
            monkeypatch.setattr(fs, "need_room", need_room)
            assert names(fs) in ([], [b"a"])
            if names(fs):
                for _ in remover.remove(fs, 1, b"a", fs.resolve("/a").ino, []):
                    pass
        else:
            break
    assert most > 10
    assert told(fs, fs.resolve("/a").ino) == told(fs, at(fs, "one", "/a"))
