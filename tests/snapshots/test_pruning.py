"""Pruning: what nobody sees any more goes, what anybody sees stays, and space comes back."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.snapshots.lives import RandomLife, shown
from tests.snapshots.rows import rows_of_no_tree, unseen_rows, wrong_counts
from vfs.errors import IndexUnwritten, SnapshotError
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO
from vfs.snapshots.actions import DeleteSnapshots
from vfs.snapshots.pruning import Prune

LIVES = 6


def rows_after_all(fs: FileSystem) -> list[str]:
    """What is left that no tree sees, when what is hidden was looked for until nothing more came of it."""
    while True:
        work = fs.begin_prune(large=True)
        fs.prune(work)
        if not work.rows:
            return [*unseen_rows(fs.store.index), *rows_of_no_tree(fs.store.index)]


@pytest.mark.parametrize("seed", range(LIVES))
def test_nothing_that_is_seen_goes_and_nothing_else_stays(tmp_path: Path, seed: int) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        life = RandomLife(fs, seed)
        before = shown(fs)
        for number in range(24):
            for _ in range(life.rng.randint(1, 8)):
                life.step()
            life.tree_step()
            fs.checkpoint()
            before = shown(fs)
            work = Prune(most_rows=life.rng.choice((3, 20, 1000)), most_seconds=60)
            more = True
            while more and (number % 3 or life.rng.random() < 0.7):
                fs.begin_slice(work)
                more = fs.run_slice(work)
                fs.end_slice(work)
                assert shown(fs) == before
            assert wrong_counts(fs.store.index) == []
            if not more:
                assert unseen_rows(fs.store.index) == []
                assert rows_after_all(fs) == []
                assert shown(fs) == before
        fs.collect()
        assert shown(fs) == before
    with vfs.open(tmp_path / "store") as fs:
        assert shown(fs) == before


# --- one thing at a time ------------------------------------------------------------------------


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FileSystem]:
    """An empty store."""
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store", pack_workers=0) as opened:
        yield opened


def noise(seed: int, length: int = 300_000) -> bytes:
    return random.Random(seed).randbytes(length)


def rows(fs: FileSystem, table: str) -> int:
    with fs.store.index.checking(writable=False) as transaction:
        found: int = next(transaction.query(f"SELECT count(*) FROM {table}"))[0]
        return found


@pytest.mark.parametrize("packed", [False, True])
def test_a_collection_prunes_first_and_tells_of_it(fs: FileSystem, packed: bool) -> None:
    fs.write_bytes("kept", noise(1))
    fs.write_bytes("large", noise(2, 3_000_000))
    fs.create_snapshot("one")
    fs.remove("large")
    fs.create_snapshot("two")
    if packed:
        fs.flush()
    assert fs.collect(dry_run=True).pruned_bytes == 0
    fs.delete_snapshots(["one"])
    would = fs.collect(dry_run=True)
    assert would.pruned_bytes == pytest.approx(3_000_000, rel=0.01)
    assert rows(fs, "pruning") == 1
    report = fs.collect()
    assert report.pruned_bytes == pytest.approx(3_000_000, rel=0.01)
    assert report.pruned_rows >= 3
    assert report.freed_bytes + report.log_freed_bytes == pytest.approx(3_000_000, rel=0.15)
    assert rows(fs, "pruning") == 0
    assert not fs.prune_due
    assert fs.read_bytes(".snapshots/two/kept") == noise(1)


def test_without_snapshots_a_store_is_as_it_was_before_there_were_any(fs: FileSystem) -> None:
    """Also rows that are overwritten only after the last snapshot has gone: nobody would look for them."""
    for name in ("a", "b", "c"):
        fs.write_bytes(name, noise(ord(name)))
        fs.set_xattr(fs.resolve(name).ino, b"user.x", b"x")
    fs.create_snapshot("one")
    fs.write_bytes("a", noise(1))
    fs.delete_snapshots(["one"])
    fs.prune(fs.begin_prune())
    fs.write_bytes("b", noise(2))
    fs.remove_xattr(fs.resolve("b").ino, b"user.x")
    fs.remove("c")
    fs.checkpoint()
    counts = [rows(fs, table) for table in ("inode", "entry", "extent", "xattr", "branch", "pruning")]
    assert counts == [3, 2, 2, 1, 0, 0]
    assert wrong_counts(fs.store.index) == []


def test_a_snapshot_that_is_being_deleted_is_not_found(fs: FileSystem) -> None:
    """A clone of it, logged behind the checkpoint's moment, would name rows that are about to go."""
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("one")
    fs.remove("file")
    root = fs.snapshot_root("one").ino
    fs.begin_checkpoint(action=DeleteSnapshots(["one"]))
    with pytest.raises(SnapshotError):
        fs.clone("one", ROOT_INO, b"clone")
    assert fs.table.is_gone(root)
    fs.abandon_checkpoint()
    assert fs.read_bytes(".snapshots/one/file") == noise(1)
    fs.clone("one", ROOT_INO, b"clone")
    fs.delete_snapshots(["one"])
    fs.prune(fs.begin_prune())
    assert fs.read_bytes("clone/file") == noise(1)


def test_nothing_is_pruned_that_memory_still_shows(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion whose commit failed, and shows all the same."""
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("one")
    fs.remove("file")
    commit = fs.commit_checkpoint

    def failing() -> None:
        commit()
        raise IndexUnwritten("the disk said so")

    monkeypatch.setattr(fs, "commit_checkpoint", failing)
    with pytest.raises(IndexUnwritten):
        fs.delete_snapshots(["one"])
    monkeypatch.undo()
    fs.prune(fs.begin_prune())
    assert rows(fs, "pruning") == 1
    assert fs.read_bytes(".snapshots/one/file") == noise(1)


def test_branches_go_with_those_who_read_them(fs: FileSystem) -> None:
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("base")
    for number in range(5):
        fs.write_bytes("file", noise(number))
        fs.rollback("base")
    clone = fs.clone("base", ROOT_INO, b"clone").ino
    fs.write_bytes("clone/file", noise(9))
    fs.create_snapshot("of-clone")
    fs.drop_clone(clone)
    assert len(fs.table.trees.branches) == 7
    fs.delete_snapshots([one.name for one in fs.snapshots() if one.automatic])
    fs.prune(fs.begin_prune())
    assert len(fs.table.trees.branches) == 3
    fs.delete_snapshots(["of-clone"])
    fs.prune(fs.begin_prune())
    assert len(fs.table.trees.branches) == 2
    assert rows(fs, "branch") == 1
    assert fs.read_bytes("file") == noise(1)


def test_deleting_many_at_once_looks_at_each_change_once(fs: FileSystem) -> None:
    ino = fs.write_bytes("file", noise(1)).ino
    for number in range(30):
        fs.write(ino, 0, noise(number, 5000))
        fs.create_snapshot(f"s{number}")
    fs.delete_snapshots([f"s{number}" for number in range(29)])
    assert rows(fs, "pruning") == 29
    work = fs.begin_prune()
    fs.prune(work)
    assert work.rows == 2 * 29  # an inode and a segment each
    assert rows(fs, "inode") == 2


def test_a_clone_that_came_and_went_between_two_checkpoints_leaves_nothing(fs: FileSystem) -> None:
    fs.make_directory("folder")
    fs.create_snapshot("one")
    fs.clone("one", ROOT_INO, b"clone")
    fs.remove("clone/folder")
    fs.remove("clone")
    fs.checkpoint()
    assert rows(fs, "branch") == rows(fs, "pruning") == 0
    assert unseen_rows(fs.store.index) == []


def test_what_was_rolled_back_to_goes_when_all_of_it_has_changed(fs: FileSystem) -> None:
    """It lies in a branch that the live tree forks from, and which nobody else sees any more."""
    fs.write_bytes("kept", noise(1))
    fs.write_bytes("changed", noise(2, 1_000_000))
    fs.write_bytes("removed", noise(3, 1_000_000))
    fs.set_xattr(fs.resolve("removed").ino, b"user.x", b"x")
    fs.create_snapshot("base")
    kept_as = fs.rollback("base").kept_as
    fs.delete_snapshots(["base", kept_as])
    fs.write_bytes("changed", b"now")
    fs.remove("removed")
    report = fs.collect()
    assert report.pruned_bytes == pytest.approx(2_000_000, rel=0.01)
    assert rows_of_no_tree(fs.store.index) == []
    assert wrong_counts(fs.store.index) == []
    assert fs.read_bytes("kept") == noise(1)
    assert fs.read_bytes("changed") == b"now"


def test_what_two_clones_have_both_changed_goes_with_the_second(fs: FileSystem) -> None:
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("base")
    for name in (b"one", b"two"):
        fs.clone("base", ROOT_INO, name)
    fs.remove("file")
    fs.delete_snapshots(["base"])
    fs.write_bytes("one/file", b"1")
    assert fs.collect().pruned_bytes == 0
    assert fs.read_bytes("two/file") == noise(1)
    fs.write_bytes("two/file", b"2")
    assert fs.collect().pruned_bytes == pytest.approx(300_000, rel=0.01)
    assert rows_of_no_tree(fs.store.index) == []


def test_a_snapshot_of_a_clone_keeps_what_the_clone_has_changed_since(fs: FileSystem) -> None:
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("base")
    for name in (b"one", b"two"):
        fs.clone("base", ROOT_INO, name)
    fs.remove("file")
    fs.write_bytes("one/file", b"1")
    fs.create_snapshot("between")
    fs.write_bytes("two/file", b"2")
    fs.delete_snapshots(["base"])
    assert fs.collect().pruned_bytes == 0
    assert fs.read_bytes(".snapshots/between/two/file") == noise(1)
    fs.delete_snapshots(["between"])
    assert fs.collect().pruned_bytes == pytest.approx(300_000, rel=0.01)
    assert rows_of_no_tree(fs.store.index) == []


def test_what_a_removed_file_had_goes_when_the_last_clone_has_its_own(fs: FileSystem) -> None:
    """The clone has the inode and looks for what is in it below, where the inode itself has gone."""
    fs.write_bytes("file", noise(1))
    fs.create_snapshot("base")
    fs.remove("file")
    fs.create_snapshot("later")
    fs.clone("base", ROOT_INO, b"clone")
    fs.set_attributes(fs.resolve("clone/file").ino, mode=0o600)
    fs.delete_snapshots(["base"])
    assert fs.collect().pruned_bytes == 0
    assert fs.read_bytes("clone/file") == noise(1)
    fs.write_bytes("clone/file", b"own")
    assert fs.collect().pruned_bytes == pytest.approx(300_000, rel=0.01)
    assert rows_after_all(fs) == []
