"""Whole files at their real size: sparse giants, segment borders, captures, and what the source is asked."""

import pytest

from tests.inode.stored_bytes import Segments, StoredBytes
from vfs.errors import IndexDamaged
from vfs.inode.captured import Captured
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Memory
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.offloaded import OffloadedFile
from vfs.limits import FILE_BYTES, MEMORY_EXTENT_BYTES, MIB, SEGMENT_BYTES

TIB = 1 << 40


def new_file(source: Segments | None = None, size: int = 0, allocated: int = 0) -> OffloadedFile:
    found = source or Segments()
    return OffloadedFile(5, size, allocated, found, MemoryLimiter(MIB), persisted=source is not None)


def persisted(file: OffloadedFile, source: Segments) -> OffloadedFile:
    """The file as it comes back from the index."""
    source.in_flight = file.begin_capture()
    source.commit()
    source.asked = 0
    return new_file(source, file.size, file.allocated)


def place(length: int, start: int = 100) -> ChunkRange:
    return ChunkRange(length, 1, 0, start)


def sparse_giant(source: Segments) -> OffloadedFile:
    """8 EiB less one byte, with one page at the start, one in the middle and the last byte."""
    file = new_file()
    file.write(0, [place(4096)])
    file.write(TIB, [place(4096)])
    file.write(FILE_BYTES - 1, [Fill(1, 1)])
    file.check_invariants()
    return persisted(file, source)


def test_ten_thousand_small_appends_are_one_extent() -> None:
    file, stored = new_file(), StoredBytes()
    for number in range(10_000):
        data = b"%099d\n" % number
        file.write(file.size, [Memory(data, stored.log(data))])
    [extent] = file.plan(0, 2 * MIB)
    assert isinstance(extent, Memory)
    assert extent.data == b"".join(b"%099d\n" % number for number in range(10_000))
    [(offset, memory)] = file.unlogged_memory()
    assert (offset, memory.length) == (0, 1_000_000)
    file.settle(0, place(1_000_000))
    assert file.plan(0, MIB) == [place(1_000_000)]
    assert file.memory_bytes == 0
    file.check_invariants()


def test_memory_extents_stop_growing() -> None:
    file = new_file()
    for _ in range(2500):
        file.write(file.size, [Memory(b"x" * 1000)])
    assert [memory.length <= MEMORY_EXTENT_BYTES for _, memory in file.unlogged_memory()] == [True] * 3
    file.check_invariants()


def test_pieces_are_cut_where_a_segment_ends() -> None:
    file = new_file()
    offset = SEGMENT_BYTES - 10
    file.write(offset, [place(20), BlobRange(5, 3, 0), Memory(b"abc")])
    assert file.plan(offset, 25) == [place(10), place(10, 110), BlobRange(5, 3, 0)]
    assert file.dirty == {0, 1}
    assert file.size == offset + 28
    assert file.allocated == 28
    file.write(2 * SEGMENT_BYTES - 2, [Memory(b"abcd", place(4))])
    file.check_invariants()
    assert [memory.data for _, memory in file.unlogged_memory()] == [b"abc"]
    left, right = file.plan(2 * SEGMENT_BYTES - 2, 4)
    assert isinstance(left, Memory)
    assert isinstance(right, Memory)
    assert (left.data, left.origin, right.data, right.origin) == (b"ab", place(2), b"cd", place(2, 102))


def test_a_piece_longer_than_segments() -> None:
    file = new_file()
    file.write(5, [Fill(3 * SEGMENT_BYTES, 7)])
    assert file.plan(0, 4 * SEGMENT_BYTES)[0] == Fill(5, 0)
    assert sum(piece.length for piece in file.plan(0, 4 * SEGMENT_BYTES)) == 3 * SEGMENT_BYTES + 5
    assert file.dirty == {0, 1, 2, 3}
    file.check_invariants()


def test_a_huge_hole_makes_no_segments() -> None:
    file = new_file()
    file.write(100, [Fill(TIB, 0), Fill(1, 1), Fill(TIB, 0)])
    assert file.size == 100 + 2 * TIB + 1
    assert len(file.dirty) == 1
    assert file.plan(TIB, 101) == [Fill(100, 0), Fill(1, 1)]
    assert len(file.plan(0, 3 * TIB)) <= 4
    file.punch(0, file.size)
    assert file.allocated == 0
    assert file.seek_data(0) is None
    assert file.size == 100 + 2 * TIB + 1


def test_seeks_skip_holes_of_exabytes() -> None:
    source = Segments()
    file = sparse_giant(source)
    assert file.seek_data(0) == 0
    assert file.seek_hole(0) == 4096
    assert file.seek_data(4096) == TIB
    assert file.seek_hole(TIB) == TIB + 4096
    assert file.seek_data(TIB + 4096) == FILE_BYTES - 1
    assert file.seek_hole(FILE_BYTES - 1) == file.seek_hole(FILE_BYTES) == FILE_BYTES
    assert file.seek_data(FILE_BYTES) is None
    assert source.asked < 200


def test_seeks_keep_in_memory_only_where_they_ended() -> None:
    file, source = new_file(), Segments()
    for number in range(50):
        file.write(number * SEGMENT_BYTES, [Fill(SEGMENT_BYTES, 1)])
    file.truncate(51 * SEGMENT_BYTES)
    file = persisted(file, source)
    assert file.seek_hole(7) == 50 * SEGMENT_BYTES
    assert not file._segments


def test_truncate_and_plan_of_a_giant_touch_only_what_exists() -> None:
    source = Segments()
    file = sparse_giant(source)
    assert file.allocated == 8193
    assert len(file.plan(0, FILE_BYTES)) <= 7
    file.drop_clean_segments()
    source.asked = 0
    file.truncate(TIB + 10)
    assert file.allocated == 4096 + 10
    assert source.asked < 10
    file.check_invariants()
    file.truncate(0)
    assert (file.allocated, file.dirty, file.voided_from) == (0, set(), 0)
    file.truncate(FILE_BYTES)
    assert file.plan(0, FILE_BYTES) == [Fill(FILE_BYTES, 0)]
    assert file.seek_data(0) is None


def test_truncating_sums_what_is_not_loaded_even_where_what_is_loaded_has_changed() -> None:
    file, source = new_file(), Segments()
    for number in range(6):
        file.write(number * SEGMENT_BYTES, [place(1000 + number)])
    file = persisted(file, source)
    file.write(2 * SEGMENT_BYTES + 5000, [place(50)])
    file.write(4 * SEGMENT_BYTES, [Fill(1000, 0)])
    file.truncate(SEGMENT_BYTES + 100)
    assert file.allocated == 1000 + 100
    file.check_invariants()


def test_a_voided_segment_never_comes_back() -> None:
    file, source = new_file(), Segments()
    file.write(0, [place(100)])
    file.write(SEGMENT_BYTES, [place(200)])
    file = persisted(file, source)
    file.truncate(SEGMENT_BYTES)
    file.write(SEGMENT_BYTES + 300, [place(10)])
    assert file.plan(SEGMENT_BYTES, 400) == [Fill(300, 0), place(10)]
    assert file.voided_from == 1
    captured = file.begin_capture()
    assert captured.voided_from == 1
    assert captured.segments.keys() == {1}


def test_a_capture_on_its_way_is_voided_too() -> None:
    """The file was new when it was captured; a truncate before the commit must be in the next capture."""
    file, source = new_file(), Segments()
    file.write(0, [place(100)])
    source.in_flight = file.begin_capture()
    file._source = source
    file.truncate(0)
    source.commit()
    file.truncate(100)
    assert file.plan(0, 100) == [Fill(100, 0)]
    assert file.begin_capture() == Captured(0, {})


def test_an_abandoned_capture_is_dirty_again() -> None:
    file, source = new_file(), Segments()
    for number in range(3):
        file.write(number * SEGMENT_BYTES, [place(100)])
    file = persisted(file, source)
    file.truncate(SEGMENT_BYTES)
    file.write(SEGMENT_BYTES, [place(7)])
    file.write(10, [place(3)])
    source.in_flight = captured = file.begin_capture()
    file.drop_clean_segments()
    assert not file._segments
    file.truncate(20)
    source.in_flight = None
    file.abandon_capture(captured)
    assert file.dirty == {0}
    assert file.voided_from == 1
    file.check_invariants()
    assert persisted(file, source).plan(0, 100) == [place(10), place(3), place(7, 113)]


def test_nothing_is_captured_while_memory_has_no_place() -> None:
    file = new_file()
    file.write(0, [place(10)])
    file.write(SEGMENT_BYTES, [Memory(b"abc")])
    with pytest.raises(ValueError, match="no single place"):
        file.begin_capture()
    assert file.dirty == {0, 1}
    assert file.unlogged_memory([0]) == []
    assert [offset for offset, _ in file.unlogged_memory([0, 1, 9])] == [SEGMENT_BYTES]


def test_memory_with_an_origin_is_captured_as_its_origin_and_stays_in_memory() -> None:
    file, source = new_file(), Segments()
    file.write(0, [Memory(b"abcd", place(4))])
    again = persisted(file, source)
    assert again.plan(0, 4) == [place(4)]
    assert file.memory_bytes == 4
    assert again.memory_bytes == 0


def test_a_new_file_never_asks_its_source() -> None:
    source = Segments()
    file = OffloadedFile(5, 0, 0, source, MemoryLimiter(MIB), persisted=False)
    file.write(SEGMENT_BYTES - 1, [place(2)])
    file.plan(0, TIB)
    file.seek_data(0)
    file.seek_hole(0)
    file.punch(0, 1)
    file.load(0, TIB)
    file.truncate(0)
    file.drop_clean_segments()
    file.check_invariants()
    assert source.asked == 0


def test_loading_ahead_is_all_that_a_change_needs() -> None:
    file, source = new_file(), Segments()
    file.write(0, [place(SEGMENT_BYTES), place(SEGMENT_BYTES)])
    file = persisted(file, source)
    file.load(SEGMENT_BYTES - 5, 10)
    source.load_segment = None  # type: ignore[method-assign, assignment]
    file.write(SEGMENT_BYTES - 5, [place(10, 7)])
    file.punch(SEGMENT_BYTES - 5, 7)
    file.truncate(SEGMENT_BYTES + 5)


def test_a_segment_past_the_size_is_damage() -> None:
    """Its bytes would show up when the file grows."""
    file, source = new_file(), Segments()
    file.write(0, [place(100)])
    source.in_flight = file.begin_capture()
    source.commit()
    file = new_file(source, size=99, allocated=99)
    with pytest.raises(IndexDamaged, match="passes the file's size"):
        file.plan(0, 10)


def test_a_failed_load_changes_nothing() -> None:
    file, source = new_file(), Segments()
    file.write(0, [place(SEGMENT_BYTES), place(SEGMENT_BYTES)])
    file = persisted(file, source)
    source.rows[1] = b"\xff"
    before = (file.size, file.allocated)
    piece: Extent = Fill(20, 3)
    with pytest.raises(IndexDamaged):
        file.write(SEGMENT_BYTES - 10, [piece])
    with pytest.raises(IndexDamaged):
        file.truncate(SEGMENT_BYTES + 1)
    assert (file.size, file.allocated) == before
    assert not file.dirty


def test_settle_that_is_already_so_changes_nothing() -> None:
    file, source = new_file(), Segments()
    file.write(0, [place(100)])
    file = persisted(file, source)
    file.settle(10, place(20, 110))
    assert not file.dirty
    file.settle(10, place(20, 900))
    assert file.dirty == {0}
    assert file.allocated == 100


@pytest.mark.parametrize(("offset", "length"), [(95, 10), (200, 1), (SEGMENT_BYTES - 5, 10)])
def test_settle_of_what_cannot_be_one_memory_is_refused(offset: int, length: int) -> None:
    file = new_file()
    file.truncate(100 if offset < SEGMENT_BYTES // 2 else 2 * SEGMENT_BYTES)
    with pytest.raises(ValueError, match="no memory at"):
        file.settle(offset, place(length))


def test_reading_holes_keeps_nothing_in_memory() -> None:
    source = Segments()
    file = sparse_giant(source)
    for number in range(10, 40):
        assert file.plan(number * SEGMENT_BYTES, MIB) == [Fill(MIB, 0)]
    assert not file._segments


def test_loaded_extents_are_charged_and_given_back() -> None:
    file, source = new_file(), Segments()
    for number in range(100):
        file.write(number * 4096, [place(4096, number * 5000)])
    file = persisted(file, source)
    file.plan(0, MIB)
    assert file.memory_bytes > 100 * 100
    file.check_invariants()
    file.drop_clean_segments()
    assert file.memory_bytes == 0
    file.check_invariants()


def test_an_all_hole_segment_is_captured_as_such() -> None:
    file, source = new_file(), Segments()
    file.write(0, [place(100)])
    file = persisted(file, source)
    file.punch(0, 100)
    captured = file.begin_capture()
    assert ExtentMap.decode(captured.segments[0]).allocated == 0
