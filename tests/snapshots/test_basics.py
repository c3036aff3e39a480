"""Snapshots, clones and rollback of a store that is used as a library: what each tree shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs.errors import CrossTree, Exists, ReadOnly, SnapshotError, Stale
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO

ONE, TWO = b"one" * 5000, b"two"


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    """A store with a snapshot, `then`, that has been changed since."""
    with vfs.open(store) as opened:
        opened.make_directory("a/b", parents=True)
        opened.write_bytes("a/changed", ONE)
        opened.write_bytes("a/b/removed", b"gone")
        opened.write_bytes("a/kept", b"kept")
        opened.set_xattr(opened.resolve("a/kept").ino, b"user.mark", b"then")
        opened.create_snapshot("then", "a comment")
        opened.write_bytes("a/changed", TWO)
        opened.remove("a/b/removed")
        opened.move("a/b", "a/moved")
        opened.remove_xattr(opened.resolve("a/kept").ino, b"user.mark")
        opened.write_bytes("new", b"new")
        yield opened


def is_then(fs: FileSystem, root: str) -> bool:
    """Whether below that folder everything is as it was."""
    return (
        fs.listdir(root or "/") == [b"a"]
        and set(fs.listdir(f"{root}/a")) == {b"b", b"changed", b"kept"}
        and fs.read_bytes(f"{root}/a/changed") == ONE
        and fs.read_bytes(f"{root}/a/b/removed") == b"gone"
        and fs.get_xattr(fs.resolve(f"{root}/a/kept").ino, b"user.mark") == b"then"
    )


def is_now(fs: FileSystem, root: str = "") -> bool:
    return (
        {b"a", b"new"} <= set(fs.listdir(root or "/"))
        and set(fs.listdir(f"{root}/a")) == {b"changed", b"kept", b"moved"}
        and fs.read_bytes(f"{root}/a/changed") == TWO
        and fs.listdir(f"{root}/a/moved") == []
        and fs.list_xattrs(fs.resolve(f"{root}/a/kept").ino) == []
    )


def test_a_snapshot_shows_what_was(fs: FileSystem) -> None:
    assert is_then(fs, ".snapshots/then")
    assert is_now(fs)
    fs.checkpoint()
    assert is_then(fs, ".snapshots/then")
    assert is_now(fs)
    facts = fs.snapshot("then")
    assert (facts.comment, facts.files, facts.directories) == ("a comment", 3, 3)
    assert b".snapshots" not in fs.listdir("/")


def test_all_of_it_is_there_after_a_reopening(fs: FileSystem, store: Path) -> None:
    fs.clone("then", ROOT_INO, b"clone")
    fs.write_bytes("clone/a/added", b"added")
    fs.close()
    with vfs.open(store) as again:
        assert is_then(again, ".snapshots/then")
        assert is_now(again)
        assert again.read_bytes("clone/a/added") == b"added"
        again.remove("clone/a/added")
        assert is_then(again, "clone")
    with vfs.open(store, snapshot="then") as shown:
        assert is_then(shown, "")
        assert shown.read_only


def test_a_snapshot_does_not_change(fs: FileSystem) -> None:
    inside = fs.resolve(".snapshots/then/a").ino
    file = fs.resolve(".snapshots/then/a/changed").ino
    above = fs.resolve(".snapshots").ino
    for change in (
        lambda: fs.mkdir(inside, b"x", 0o755),
        lambda: fs.unlink(inside, b"changed"),
        lambda: fs.rename(inside, b"changed", ROOT_INO, b"x"),
        lambda: fs.write(file, 0, b"x"),
        lambda: fs.truncate(file, 0),
        lambda: fs.set_attributes(file, mode=0o600),
        lambda: fs.set_xattr(file, b"user.x", b"x"),
        lambda: fs.open(file, 1),
        lambda: fs.mkdir(above, b"x", 0o755),
        lambda: fs.rmdir(ROOT_INO, b".snapshots"),
    ):
        with pytest.raises(ReadOnly):
            change()
    with pytest.raises(Exists):
        fs.mkdir(ROOT_INO, b".snapshots", 0o755)
    assert is_then(fs, ".snapshots/then")


def test_a_rollback_and_back_again(fs: FileSystem) -> None:
    done = fs.rollback("then")
    assert is_then(fs, "")
    assert {held.number for held in done.stale}
    fs.write_bytes("after", b"after")
    again = fs.rollback(done.kept_as)
    assert is_now(fs)
    assert not fs.exists("after")
    assert fs.read_bytes(f".snapshots/{again.kept_as}/after") == b"after"


def test_clones_diverge(fs: FileSystem) -> None:
    fs.clone("then", ROOT_INO, b"one")
    fs.clone("then", ROOT_INO, b"two")
    fs.clone("then:a/b", fs.resolve("a").ino, b"folder")
    assert is_then(fs, "one")
    assert is_then(fs, "two")
    assert fs.listdir("a/folder") == [b"removed"]
    fs.write_bytes("one/a/changed", b"in one")
    fs.remove("two/a/b/removed")
    assert is_then(fs, ".snapshots/then")
    assert fs.read_bytes("two/a/changed") == ONE
    assert fs.read_bytes("one/a/b/removed") == b"gone"
    numbers = [fs.resolve(f"{where}/a/kept").ino for where in ("", "one", "two", ".snapshots/then")]
    assert len(set(numbers)) == 4


def test_a_clone_can_be_snapshotted_cloned_and_rolled_back(fs: FileSystem) -> None:
    fs.clone("then", ROOT_INO, b"one")
    fs.write_bytes("one/mark", b"1")
    fs.create_snapshot("with-clone")
    fs.write_bytes("one/mark", b"2")
    fs.clone("with-clone", ROOT_INO, b"deep")
    fs.write_bytes("deep/one/mark", b"3")
    assert fs.read_bytes("one/mark") == b"2"
    assert fs.read_bytes(".snapshots/with-clone/one/mark") == b"1"
    fs.drop_clone(fs.resolve("one").ino)
    assert not fs.exists("one")
    fs.rollback("with-clone")
    assert fs.read_bytes("one/mark") == b"1"
    assert not fs.exists("deep")


def test_trees_do_not_mix(fs: FileSystem) -> None:
    clone = fs.clone("then", ROOT_INO, b"clone").ino
    with pytest.raises(CrossTree):
        fs.rename(ROOT_INO, b"new", clone, b"new")
    with pytest.raises(CrossTree):
        fs.link(fs.resolve("new").ino, clone, b"new")
    inside = fs.resolve("clone/a/changed").ino
    fs.move("clone", "elsewhere")
    assert is_then(fs, "elsewhere")
    fs.drop_clone(clone)
    with pytest.raises(Stale):
        fs.get(inside)


def test_a_clone_goes_as_any_folder(fs: FileSystem) -> None:
    fs.clone("then", ROOT_INO, b"clone")
    fs.remove("clone/a/b/removed")
    for path in ("clone/a/b", "clone/a/changed", "clone/a/kept", "clone/a", "clone"):
        fs.remove(path)
    fs.checkpoint()
    fs.checkpoint()
    assert not fs.exists("clone")
    assert fs.table.clones() == []
    assert is_then(fs, ".snapshots/then")


def test_snapshots_are_renamed_and_deleted(fs: FileSystem) -> None:
    with pytest.raises(SnapshotError, match="already"):
        fs.create_snapshot("then")
    for name in ("", "a/b", "a:b", ".", "-x", "a\nb", "x" * 300):
        with pytest.raises(SnapshotError):
            fs.create_snapshot(name)
    fs.rename_snapshot("then", "before")
    assert fs.listdir(".snapshots") == [b"before"]
    fs.clone("before", ROOT_INO, b"clone")
    fs.delete_snapshots(["before"])
    assert fs.listdir(".snapshots") == []
    assert is_then(fs, "clone")
    with pytest.raises(SnapshotError):
        fs.delete_snapshots(["before"])
