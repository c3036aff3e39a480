"""What the model test has found where several trees meet: in memory, in checkpoints and in each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs.backing.log import Place
from vfs.checker import check, check_committed
from vfs.errors import NoSpace, Stale
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO, SEGMENT_BYTES
from vfs.numbers import LOCAL_MASK, tree_of
from vfs.snapshots.actions import DeleteSnapshots


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    with vfs.open(store) as opened:
        yield opened


def test_snapshots_are_listed_when_memory_is_short(fs: FileSystem) -> None:
    for name in ("one", "two"):
        fs.create_snapshot(name)
    fs.limiter.charge(ROOT_INO, 2 * fs.limiter.limit_bytes)
    fs.relieve()
    fs.limiter.charge(ROOT_INO, -2 * fs.limiter.limit_bytes)
    assert fs.listdir(".snapshots") == [b"one", b"two"]
    assert fs.resolve(".snapshots/two").is_directory


def test_a_clone_of_a_clone_begins_with_the_times_of_its_snapshot(fs: FileSystem) -> None:
    fs.make_directory("folder")
    fs.create_snapshot("empty")
    fs.clone("empty", fs.resolve("folder").ino, b"inner")
    fs.create_snapshot("both")
    fs.clone("both", ROOT_INO, b"outer")
    for path in ("folder", "folder/inner", "folder/inner/folder"):
        then, now = fs.resolve(f".snapshots/both/{path}"), fs.resolve(f"outer/{path}")
        assert (then.mtime_ns, then.ctime_ns) == (now.mtime_ns, now.ctime_ns), path


def test_a_listing_does_not_take_the_root_of_a_clone_for_a_row_of_another_tree(
    store: Path, fs: FileSystem
) -> None:
    fs.make_directory("folder")
    fs.create_snapshot("then")
    folder = fs.resolve("folder").ino
    for number in range(20):
        fs.clone("then", folder, b"%d" % number)
        fs.write_bytes(f"folder/{number}/mark", b"%d" % number)
    fs.close()
    with vfs.open(store) as again:
        rows = again.readdir(folder, 2)
        assert len(rows) == 20
        known = {tree_of(row[1]) for row in rows}
        assert {tree_of(inode.ino) for inode in again.table.loaded()} - known <= {0, 2**22 - 1}
        for name, ino, _, _ in rows:
            assert again.get(ino).size == 2
            assert again.read_bytes(b"folder/" + name + b"/mark") == name


def test_a_clone_goes_while_a_checkpoint_waits_for_what_its_files_hold_in_memory(
    store: Path, fs: FileSystem
) -> None:
    """What has to be logged for the checkpoint comes before the record that the clone goes."""
    fs.create_snapshot("empty")
    clone = fs.clone("empty", ROOT_INO, b"clone").ino
    merged = fs.write_bytes("clone/merged", b"").ino
    for number in range(9):
        fs.write(merged, 70 * number, b"%070d" % number)
    fs.begin_checkpoint()
    fs.drop_clone(clone)
    while not fs.gather_checkpoint():
        pass
    work = fs.begin_pack()  # which asks what has changed
    fs.abandon_pack(work)
    fs.sync()
    fs.commit_checkpoint()
    fs._closed = True
    fs.store.close()
    with vfs.open(store) as again:
        assert again.listdir() == []
        assert again.replayed_records == 2


def test_there_is_no_room_for_what_a_clone_holds_in_memory(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.create_snapshot("empty")
    clone = fs.clone("empty", ROOT_INO, b"clone").ino
    merged = fs.write_bytes("clone/merged", b"").ino
    for number in range(9):
        fs.write(merged, 70 * number, b"%070d" % number)
    fs.begin_checkpoint()
    with monkeypatch.context() as patch:
        append, calls = fs.log.append, [0]

        def full(*parts: bytes) -> Place:
            calls[0] += 1
            if calls[0] > 1:
                raise NoSpace("the disk is full")
            return append(*parts)

        patch.setattr(fs.log, "append", full)
        with pytest.raises(NoSpace):
            fs.drop_clone(clone)
    assert fs.failed is None
    fs.abandon_checkpoint()
    assert fs.read_bytes("clone/merged")[:70] == b"0" * 70
    fs.drop_clone(clone)


def test_what_a_file_held_in_memory_is_not_replayed_over_what_a_rollback_made_of_it(
    store: Path, fs: FileSystem
) -> None:
    """Its merged bytes are logged for the checkpoint of the rollback; after a kill nothing of that shows."""
    merged = fs.write_bytes("merged", b"then" * 300).ino
    fs.create_snapshot("then")
    for number in range(9):
        fs.write(merged, 70 * number, b"%070d" % number)
    fs.rollback("then")
    fs._closed = True
    fs.store.close()
    with vfs.open(store) as again:
        assert again.read_bytes("merged") == b"then" * 300


def test_a_file_grows_again_over_what_it_had_in_a_snapshot(store: Path, fs: FileSystem) -> None:
    """What hides the old segments lies past the size of the file."""
    file = fs.write_bytes("file", b"").ino
    fs.write(file, 3 * SEGMENT_BYTES, b"then")
    done = fs.create_snapshot("then")
    assert done.logical_bytes == 3 * SEGMENT_BYTES + 4
    fs.truncate(file, 0)
    fs.close()
    assert check(store).clean
    with vfs.open(store) as again:
        again.write(file, 3 * SEGMENT_BYTES + 9, b"now")
        assert again.read(file, 3 * SEGMENT_BYTES, 99) == bytes(9) + b"now"
        assert again.read_bytes(".snapshots/then/file")[-4:] == b"then"


def test_nothing_is_left_of_a_clone_that_came_and_went_between_two_checkpoints(
    store: Path, fs: FileSystem
) -> None:
    fs.create_snapshot("empty")
    fs.clone("empty", ROOT_INO, b"clone")
    fs.write_bytes("clone/file", b"content")
    fs.remove("clone/file")
    fs.remove("clone")
    fs.checkpoint()
    assert fs.table.clones() == []
    assert [row for row in fs.store.index._all("SELECT ino FROM inode") if row[0] > LOCAL_MASK] == []
    fs.close()
    assert check(store).clean


def test_a_clone_without_a_name_that_is_held_is_in_no_snapshot(store: Path, fs: FileSystem) -> None:
    fs.create_snapshot("empty")
    clone = fs.clone("empty", ROOT_INO, b"clone").ino
    fs.open(clone)
    fs.remove("clone")
    fs.create_snapshot("removed")
    fs.clone("removed", ROOT_INO, b"again")
    assert check_committed(fs).clean
    fs.rollback("removed")
    assert fs.table.clones() == []
    with pytest.raises(Stale):
        fs.get(clone)
    fs.close()
    assert check(store).clean


def test_a_snapshot_that_is_about_to_be_deleted_is_not_listed(fs: FileSystem) -> None:
    for name in ("one", "two"):
        fs.create_snapshot(name)
    assert fs.listdir(".snapshots") == [b"one", b"two"]
    fs.begin_checkpoint(action=DeleteSnapshots(["one"]))
    assert fs.listdir(".snapshots") == [b"two"]
    assert not fs.exists(".snapshots/one")
    fs.abandon_checkpoint()
    assert fs.listdir(".snapshots") == [b"one", b"two"]
    assert fs.resolve(".snapshots/one").is_directory


def test_memory_of_a_clone_that_went_beside_a_checkpoint_that_failed_is_given_back(fs: FileSystem) -> None:
    fs.create_snapshot("empty")
    clone = fs.clone("empty", ROOT_INO, b"clone").ino
    file = fs.write_bytes("clone/file", b"content" * 5000).ino
    for number in range(9):
        fs.write(file, 3000 * number, b"%070d" % number)
    fs.begin_checkpoint()
    while not fs.gather_checkpoint():
        pass
    fs.table.in_memory(fs.resolve("clone/file").ino).file.drop_clean_segments()  # type: ignore[union-attr]
    fs.drop_clone(clone)
    fs.abandon_checkpoint()
    loaded = [inode.ino for inode in fs.table.loaded()]
    assert fs.limiter.used_bytes == sum(fs.limiter.held_by(ino) for ino in loaded)
