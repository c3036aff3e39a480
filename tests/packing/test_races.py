"""Passes beside changes, checkpoints and readers: from planning to swapping, and which chunks go."""

from pathlib import Path

import pytest

import vfs
from tests.packing.stores import begun, ended, flat, killed, noise, opened, rows_of
from vfs import FileSystem
from vfs.inode.extents import ChunkRange


def overwrite(fs: FileSystem, ino: int) -> None:
    fs.write(ino, 50_000, noise(9000, 7))


def append(fs: FileSystem, ino: int) -> None:
    fs.write(ino, fs.get(ino).size, noise(9000, 7))


def cut_off(fs: FileSystem, ino: int) -> None:
    fs.truncate(ino, 60_001)


def empty_and_fill(fs: FileSystem, ino: int) -> None:
    fs.truncate(ino, 0)
    fs.write(ino, 10, noise(100, 7))


def punch(fs: FileSystem, ino: int) -> None:
    fs.punch(ino, 4096, 65_536)


def clone_away(fs: FileSystem, ino: int) -> None:
    other = fs.write_bytes("/clone", b"").ino
    fs.clone_range(ino, 1000, 150_000, other, 77)


def clone_inside(fs: FileSystem, ino: int) -> None:
    fs.clone_range(ino, 0, 50_000, ino, 130_000)


def unlink(fs: FileSystem, ino: int) -> None:
    fs.write_bytes("/keeps", b"")
    fs.remove("/file")


CHANGES = [overwrite, append, cut_off, empty_and_fill, punch, clone_away, clone_inside, unlink]


def contents(fs: FileSystem) -> dict[bytes, bytes]:
    return {name: fs.read_bytes(b"/" + name) for name in fs.listdir()}


@pytest.mark.parametrize("committed", [False, True], ids=["", "committed"])
@pytest.mark.parametrize("moment", ["planned", "swapped"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_beside_a_pass(store: Path, change, moment: str, *, committed: bool) -> None:
    fs = opened(store)
    ino = fs.write_bytes("/file", noise(200_000)).ino
    fs.write_bytes("/other", noise(100_000, 1))
    fs.checkpoint()
    fs.read_bytes("/file")  # its map is in memory
    work = begun(fs)
    if moment == "planned":
        change(fs, ino)
        expected = contents(fs)
        if committed:
            fs.checkpoint()
        swapped = ended(fs, work)
        changed_row = committed and change is not clone_away
        assert swapped == (1 if changed_row else 2)
    else:
        fs.commit_pack(work)
        change(fs, ino)
        expected = contents(fs)
        fs.end_pack(work)
    fs.table.check_invariants()
    assert contents(fs) == expected
    fs = killed(fs, store)  # replay over rows that were swapped
    assert contents(fs) == expected
    fs.checkpoint()
    fs.pack(everything=True)
    fs.checkpoint()
    assert contents(fs) == expected
    assert vfs.check_committed(fs).clean if hasattr(vfs, "check_committed") else True
    fs.close()
    assert vfs.check(store).clean


def test_a_dirty_segment_keeps_what_was_packed(fs: FileSystem) -> None:
    ino = fs.write_bytes("/file", noise(300_000)).ino
    fs.checkpoint()
    work = begun(fs)
    fs.write(ino, 100_000, noise(5000, 1))
    ended(fs, work)
    fs.checkpoint()
    in_log = sum(extent.length for extent in flat(rows_of(fs, "/file")) if isinstance(extent, ChunkRange))
    assert in_log == 5000


def test_nothing_is_swapped_during_a_capture(fs: FileSystem) -> None:
    fs.write_bytes("/file", noise(100_000))
    fs.checkpoint()
    work = begun(fs)
    fs.write_bytes("/new", b"new")
    fs.begin_checkpoint()
    with pytest.raises(RuntimeError, match="between two checkpoints"):
        fs.commit_pack(work)
    fs.abandon_checkpoint()
    fs.commit_pack(work)
    with pytest.raises(RuntimeError, match="end_pack comes before"):
        fs.begin_checkpoint()
    assert not fs.checkpoint_due
    fs.end_pack(work)
    fs.checkpoint()


def test_hot_files_are_left_alone_unless_it_presses(fs: FileSystem) -> None:
    hot = fs.write_bytes("/hot", noise(100_000)).ino
    fs.write_bytes("/cold", noise(100_000, 1))
    fs.checkpoint()
    fs.write(hot, 0, b"changed")
    assert fs.pack() == 100_000
    assert isinstance(flat(rows_of(fs, "/hot"))[0], ChunkRange)
    assert fs.pack(everything=True) > 90_000


def test_many_rows_follow_in_slices(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.packing.SLICE_ROWS", 3)
    for number in range(10):
        fs.write_bytes(f"/{number}", noise(5000, number))
    fs.checkpoint()
    work = begun(fs)
    fs.commit_pack(work)
    assert [fs.follow_pack(work) for _ in range(4)] == [False, False, False, True]
    fs.end_pack(work)
    assert all(fs.read_bytes(f"/{number}") == noise(5000, number) for number in range(10))


def test_readers_all_the_time_keep_no_chunk(fs: FileSystem) -> None:
    """One plan begins before the last one has ended, for ever; each keeps only what it may read."""
    ino = fs.write_bytes("/file", noise(500_000)).ino
    plan = fs.begin_read(ino, 0, 500_000)
    first = plan
    chunks = fs.log.chunk_numbers()
    fs.flush()
    assert chunks[0] in fs.log.chunk_numbers(), "a plan may still read it"
    for _ in range(3):
        following = fs.begin_read(ino, 0, 500_000)
        assert bytes(fs.run_read(plan)) == noise(500_000)
        fs.end_read(plan)
        plan = following
    assert first is not plan
    assert chunks[0] not in fs.log.chunk_numbers()
    fs.end_read(plan)


def test_a_pass_that_reads_keeps_its_chunks(fs: FileSystem) -> None:
    fs.write_bytes("/file", noise(500_000))
    fs.checkpoint()
    chunks = fs.log.chunk_numbers()
    work = fs.begin_pack(everything=True)
    fs.remove("/file")
    fs.seal_log()
    fs.checkpoint()
    assert chunks[0] in fs.log.chunk_numbers()
    assert not fs.run_pack(work), "nothing is there any more"
    fs.abandon_pack(work)
    fs.checkpoint()
    assert chunks[0] not in fs.log.chunk_numbers()


def test_chunks_go_without_another_checkpoint_when_the_index_is_up_to_date(fs: FileSystem) -> None:
    fs.write_bytes("/file", noise(500_000))
    fs.seal_log()
    fs.checkpoint()
    fs.sync()
    assert len(fs.log.chunk_numbers()) == 2
    fs.pack(everything=True)
    assert len(fs.log.chunk_numbers()) == 1


def test_a_chunk_stays_for_a_clone_that_the_index_does_not_have(store: Path) -> None:
    fs = opened(store)
    source = fs.write_bytes("/source", noise(200_000)).ino
    fs.seal_log()
    fs.checkpoint()
    chunks = fs.log.chunk_numbers()
    fs.clone_range(source, 0, 200_000, fs.write_bytes("/clone", b"").ino, 0)
    fs.sync()
    assert fs.pack(everything=True) == 200_000, "the source no longer needs the chunk"
    assert chunks[0] in fs.log.chunk_numbers()
    assert fs.read_bytes("/clone") == noise(200_000)
    fs = killed(fs, store)
    assert fs.read_bytes("/clone") == noise(200_000), "replay found it"
    fs.flush()
    assert chunks[0] not in fs.log.chunk_numbers()
    assert fs.read_bytes("/clone") == fs.read_bytes("/source") == noise(200_000)
    fs.close()
