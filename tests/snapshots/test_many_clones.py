"""Clones beside many other names, and very many clones."""

from pathlib import Path

import pytest

import vfs
from vfs.errors import SnapshotError
from vfs.limits import ROOT_INO
from vfs.numbers import LAST_TREE
from vfs.snapshots import snapshotting


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"


def test_a_folder_with_clones_and_many_files_is_listed_after_a_reopening(store: Path) -> None:
    """Entries that lead into other trees have numbers which are those of rows of other branches."""
    with vfs.open(store) as fs:
        fs.create_snapshot("empty")
        for number in range(40):
            fs.write_bytes(f"file{number}", b"%d" % number)
            fs.clone("empty", ROOT_INO, b"clone%d" % number)
            fs.write_bytes(f"clone{number}/own", b"%d" % number)
        names = fs.listdir("/")
    with vfs.open(store) as fs:
        assert fs.listdir("/") == names
        for number in range(40):
            assert fs.read_bytes(f"file{number}") == b"%d" % number
            assert fs.read_bytes(f"clone{number}/own") == b"%d" % number
    assert vfs.check(store).clean


def test_clones_of_what_has_clones_in_it_come_to_an_end(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clone of everything has all others in it: they double each time."""
    monkeypatch.setattr(snapshotting, "CLONES", 40)
    with vfs.open(store) as fs:
        for turn in range(5):
            fs.create_snapshot(f"s{turn}")
            fs.clone(f"s{turn}", ROOT_INO, b"c%d" % turn)
        assert len(fs.table.clones()) == 31
        fs.create_snapshot("last")
        names = fs.listdir("/")
        with pytest.raises(SnapshotError, match="may have 40 clones, and last has 31 in it; remove some"):
            fs.clone("last", ROOT_INO, b"more")
        fs.make_directory("folder")
        fs.clone("s0", fs.resolve("folder").ino, b"one")
        assert fs.listdir("/") == [*names, b"folder"]
        assert fs.listdir("c4/c3/c2/c1") == [b"c0"]
        fs.drop_clone(fs.resolve("c4").ino)
        assert len(fs.table.clones()) == 16
    assert vfs.check(store).clean
    with vfs.open(store) as fs:
        assert fs.listdir("c3/c2/c1") == [b"c0"]
        assert fs.listdir(".snapshots/last/c4/c3/c2/c1") == [b"c0"]


def test_numbers_of_trees_come_to_an_end(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("file", b"then")
        fs.create_snapshot("then")
        fs.write_bytes("file", b"now")
        fs.table.trees.next_id = LAST_TREE - 2
        fs.create_snapshot("last")
        for refused in (
            lambda: fs.create_snapshot("more"),
            lambda: fs.clone("then", ROOT_INO, b"clone"),
            lambda: fs.rollback("then"),
        ):
            with pytest.raises(SnapshotError, match="all the snapshots and clones"):
                refused()
        fs.write_bytes("file", b"later")
    with vfs.open(store) as fs:
        assert fs.read_bytes("file") == b"later"
        assert fs.read_bytes(".snapshots/then/file") == b"then"
        with pytest.raises(SnapshotError, match="all the snapshots and clones"):
            fs.create_snapshot("more")
        fs.delete_snapshots(["then", "last"])
    assert vfs.check(store).clean
