"""The policy that a store keeps, and whether anything has changed since a snapshot."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vfs
from tests.repair.mending import change
from tests.repair.stores import mend
from vfs.errors import ReadOnly
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO
from vfs.snapshots.policy import Policy


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    with vfs.open(store) as opened:
        opened.make_directory("folder")
        opened.write_bytes("folder/file", b"then")
        opened.create_snapshot("then")
        yield opened


def test_a_policy_stays_until_there_is_another_one(fs: FileSystem, store: Path) -> None:
    assert fs.policy == Policy()
    fs.set_policy(Policy(24, 30, 8))
    assert fs.policy == Policy(24, 30, 8)
    fs.set_policy(Policy(daily=7))
    fs.write_bytes("more", b"more")
    fs.rollback("then")
    fs.close()
    with vfs.open(store, read_only=True) as again:
        assert again.policy == Policy(0, 7, 0)
        with pytest.raises(ReadOnly):
            again.set_policy(Policy(1))


def test_a_policy_outlives_a_repair(fs: FileSystem, store: Path) -> None:
    fs.delete_snapshots(["then"])
    fs.set_policy(Policy(24, 30, 8))
    fs.close()
    change(store, "UPDATE meta SET value = 99 WHERE key = 'files'")
    mend(store)
    with vfs.open(store) as again:
        assert again.policy == Policy(24, 30, 8)


CHANGES: list[Callable[[FileSystem], object]] = [
    lambda fs: fs.write_bytes("folder/file", b"now"),
    lambda fs: fs.remove("folder/file"),
    lambda fs: fs.set_attributes(fs.resolve("folder").ino, mode=0o40700),
    lambda fs: fs.set_xattr(fs.resolve("folder").ino, b"user.x", b"x"),
    lambda fs: fs.clone("then", ROOT_INO, b"clone"),
    lambda fs: fs.move("folder/file", "folder/other"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_since(change: Callable[[FileSystem], object], fs: FileSystem) -> None:
    assert not fs.changed_since("then")
    fs.create_snapshot("again")
    fs.rename_snapshot("again", "second")
    assert not fs.changed_since("then")
    change(fs)
    assert fs.changed_since("then")
    fs.checkpoint()
    assert fs.changed_since("then")
    fs.create_snapshot("after")
    assert fs.changed_since("then")
    assert fs.changed_since("second")
    assert not fs.changed_since("after")


def test_what_has_changed_in_and_with_a_clone(fs: FileSystem) -> None:
    fs.clone("then", ROOT_INO, b"clone")
    fs.create_snapshot("with")
    assert not fs.changed_since("with")
    fs.write_bytes("clone/folder/file", b"here")
    fs.checkpoint()
    assert fs.changed_since("with")
    fs.create_snapshot("changed")
    fs.drop_clone(fs.resolve("clone").ino)
    fs.checkpoint()
    assert fs.changed_since("changed")


def test_a_rollback_is_a_change_until_there_is_a_snapshot_of_it(fs: FileSystem) -> None:
    fs.write_bytes("folder/file", b"now")
    fs.create_snapshot("now")
    fs.rollback("then")
    assert fs.changed_since("now")
    fs.create_snapshot("after")
    assert not fs.changed_since("after")


def test_a_change_that_is_on_its_way_into_the_index_counts(fs: FileSystem) -> None:
    fs.write_bytes("folder/file", b"now")
    fs.begin_checkpoint()
    while not fs.gather_checkpoint():
        pass
    assert fs.changed_since("then")
    fs.sync()
    fs.commit_checkpoint()
    fs.end_checkpoint()
    assert fs.changed_since("then")
