"""One segment's map: places, sums, joins, and its persisted form."""

from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inode.stored_bytes import LOST, StoredBytes
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import EXTENT_BYTES, FREE_EXTENTS, ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Lost, Memory
from vfs.limits import MEMORY_EXTENT_BYTES, SEGMENT_BYTES

Step = tuple[int, int, int]
steps = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60), st.integers(0, 5)), max_size=40)


def chunk_range(length: int, start: int, frame: int = 0) -> ChunkRange:
    return ChunkRange(length, 1, frame, start)


def filled(steps: list[Step]) -> tuple[ExtentMap, StoredBytes, bytes]:
    """A map after these writes, where its bytes are, and its content."""
    stored, found, data = StoredBytes(), ExtentMap(), bytearray()
    for number, (offset, length, kind) in enumerate(steps):
        content = bytes((number + i) % 256 for i in range(length))
        if kind == 4:
            content = bytes(length)
        elif kind == 5:
            content = LOST * length
        pieces: list[Extent] = [
            stored.log(content),
            stored.blob(content),
            Memory(content),
            Memory(content, stored.log(content)),
            Fill(length, 0),
            Lost(length),
        ]
        found.replace(offset, pieces[kind : kind + 1])
        found.check_invariants()
        data.extend(bytes(max(0, offset + length - len(data))))
        data[offset : offset + length] = content
    return found, stored, bytes(data)


@given(steps=steps, cuts=st.lists(st.tuples(st.integers(0, 280), st.integers(0, 280)), max_size=6))
def test_cut_gives_what_was_put_and_holes_past_it(steps: list[Step], cuts: list[tuple[int, int]]) -> None:
    found, stored, data = filled(steps)
    assert found.length == len(data)
    padded = data.ljust(600, b"\0")
    for offset, length in cuts:
        assert stored.read(found.cut(offset, length)) == padded[offset : offset + length]


@given(steps=steps, lengths=st.lists(st.integers(0, 300), max_size=5))
def test_truncate(steps: list[Step], lengths: list[int]) -> None:
    found, stored, data = filled(steps)
    for length in lengths:
        found.truncate(length)
        found.check_invariants()
        data = data[:length].ljust(length, b"\0")
        assert found.length == length
        assert stored.read(found.cut(0, length)) == data


@given(steps=steps)
def test_encode_and_decode(steps: list[Step]) -> None:
    found, stored, data = filled(steps)
    for offset, memory in found.unlogged():
        with pytest.raises(ValueError, match="no single place"):
            found.encode()
        found.replace(offset, [stored.log(bytes(memory.data))])
        found.check_invariants()
    before = found.cut(0, found.length)
    again = ExtentMap.decode(found.encode())
    again.check_invariants()
    assert stored.read(again.cut(0, again.length)) == data
    assert (again.length, again.allocated) == (found.length, found.allocated)
    assert again.references() == found.references()
    assert stored.read(before) == stored.read(found.cut(0, found.length)), "encoding changed the map"
    found.shed()
    found.check_invariants()
    assert found.buffered_bytes == 0
    assert found.cut(0, found.length) == again.cut(0, again.length)


@given(steps=steps)
def test_references_are_the_bytes_needed_of_each_chunk(steps: list[Step]) -> None:
    found, _, _ = filled(steps)
    needed: dict[int, int] = {}
    for extent in found.cut(0, found.length):
        place = extent.origin if isinstance(extent, Memory) else extent
        if isinstance(place, ChunkRange):
            needed[place.chunk] = needed.get(place.chunk, 0) + place.length
    assert found.references() == needed


@given(steps=steps)
def test_lost_ranges_are_found_and_never_touch(steps: list[Step]) -> None:
    found, _, _ = filled(steps)
    at, expected = 0, []
    for extent in found.cut(0, found.length):
        if isinstance(extent, Lost):
            expected.append((at, extent.length))
            middle = at + extent.length // 2
            assert found.extent_around(middle) == (at, extent)
        at += extent.length
    assert found.lost() == expected
    assert all(start + length < after for (start, length), (after, _) in pairwise(expected))


@given(data=st.binary(max_size=60))
def test_any_bytes_decode_or_are_damage(data: bytes) -> None:
    with suppress(IndexDamaged):
        ExtentMap.decode(data).check_invariants()


extent_like = st.lists(st.integers(-1, 2**64 - 1) | st.sampled_from([0, 1, 2, 3, 4, 5, 2**63]), max_size=6)


@given(data=st.lists(extent_like, max_size=4))
def test_any_numbers_decode_or_are_damage(data: list[list[int]]) -> None:
    with suppress(IndexDamaged):
        ExtentMap.decode(msgspec.msgpack.encode(data)).check_invariants()


@given(steps=steps, place=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_form_decodes_or_is_damage(steps: list[Step], place: int, flip: int, cut: bool) -> None:
    found, stored, _ = filled(steps)
    for offset, memory in found.unlogged():
        found.replace(offset, [stored.log(bytes(memory.data))])
    encoded = bytearray(found.encode())
    encoded[place % len(encoded)] ^= flip
    with suppress(IndexDamaged):
        ExtentMap.decode(bytes(encoded[: place % len(encoded)] if cut else encoded)).check_invariants()


def test_nesting_too_deep_to_decode_is_damage() -> None:
    with pytest.raises(IndexDamaged):
        ExtentMap.decode(b"\x91" * 1_000_000)


def test_extents_past_the_segment_are_damage() -> None:
    whole = msgspec.msgpack.encode([Fill(SEGMENT_BYTES, 1)])
    assert ExtentMap.decode(whole).length == SEGMENT_BYTES
    with pytest.raises(IndexDamaged, match="pass its end"):
        ExtentMap.decode(msgspec.msgpack.encode([Fill(SEGMENT_BYTES, 1), Fill(1, 0)]))


def test_sequential_ranges_of_a_frame_are_one_extent() -> None:
    found = ExtentMap()
    found.replace(0, [chunk_range(10, 40), chunk_range(10, 50)])
    found.replace(20, [chunk_range(5, 60)])
    assert found.cut(0, 25) == [chunk_range(25, 40)]


def test_a_hole_between_two_parts_is_filled_and_all_three_join() -> None:
    found = ExtentMap()
    found.replace(0, [chunk_range(10, 40), Fill(10, 0), chunk_range(10, 60)])
    assert found.allocated == 20
    found.replace(10, [chunk_range(10, 50)])
    assert found.cut(0, 30) == [chunk_range(30, 40)]
    assert found.allocated == 30


def test_overwriting_the_middle_splits() -> None:
    found = ExtentMap()
    found.replace(0, [BlobRange(100, 5, 7)])
    found.replace(40, [Fill(20, 1)])
    assert found.cut(0, 100) == [BlobRange(40, 5, 7), Fill(20, 1), BlobRange(40, 5, 67)]
    assert found.cut(30, 40) == [BlobRange(10, 5, 37), Fill(20, 1), BlobRange(10, 5, 67)]


def test_a_gap_is_a_hole() -> None:
    found = ExtentMap()
    found.replace(100, [Fill(1, 1)])
    assert found.cut(0, 101) == [Fill(100, 0), Fill(1, 1)]
    assert found.allocated == 1
    assert found.cut(90, 30) == [Fill(10, 0), Fill(1, 1), Fill(19, 0)]
    assert found.cut(200, 10) == [Fill(10, 0)]
    assert found.cut(0, 0) == []


def test_empty_pieces_leave_no_trace() -> None:
    found = ExtentMap()
    found.replace(0, [Memory(b""), Memory(b"ab"), Memory(b"")])
    found.replace(1, [Memory(b"")])
    found.check_invariants()
    assert found.length == 2


def test_small_writes_anywhere_in_memory_are_one_extent() -> None:
    found = ExtentMap()
    for offset in range(0, 5000, 10):
        found.replace(offset, [Memory(b"0123456789")])
    for offset in range(3, 4900, 97):
        found.replace(offset, [Memory(b"abcdefg")])
        found.check_invariants()
    assert len(found.cut(0, 5000)) == 1
    assert found.buffered_bytes == 5000


def test_small_writes_backwards_are_one_extent() -> None:
    found = ExtentMap()
    for offset in range(990, -1, -10):
        found.replace(offset, [Memory(b"%010d" % offset)])
        found.check_invariants()
    [memory] = found.cut(0, 1000)
    assert isinstance(memory, Memory)
    assert memory.data == b"".join(b"%010d" % offset for offset in range(0, 1000, 10))


def test_memory_extents_stay_below_their_limit() -> None:
    found = ExtentMap()
    for number in range(3000):
        found.replace(number * 1000, [Memory(b"x" * 1000)])
    found.check_invariants()
    lengths = [extent.length for extent in found.cut(0, found.length)]
    assert max(lengths) <= MEMORY_EXTENT_BYTES
    assert len(lengths) == 3


def test_memory_replaced_whole_takes_the_new_origin() -> None:
    found = ExtentMap()
    found.replace(0, [Memory(b"abcd", chunk_range(4, 40))])
    found.replace(0, [Memory(b"efgh", chunk_range(4, 90, 50))])
    assert ExtentMap.decode(found.encode()).cut(0, 4) == [chunk_range(4, 90, 50)]
    found.replace(1, [Memory(b"x", chunk_range(1, 190, 150))])
    assert [(start, memory.data) for start, memory in found.unlogged()] == [(0, b"exgh")]


def test_seeks() -> None:
    found = ExtentMap()
    found.replace(0, [Fill(10, 0), Fill(10, 1), Memory(b"x"), Fill(10, 0)])
    assert [found.seek_data(offset) for offset in (0, 9, 10, 20, 21, 40)] == [10, 10, 10, 20, None, None]
    assert [found.seek_hole(offset) for offset in (0, 9, 10, 20, 21, 40)] == [0, 9, 21, 21, 21, 40]
    assert ExtentMap().seek_data(0) is None
    assert ExtentMap().seek_hole(5) == 5


def test_many_extents_count_as_memory() -> None:
    found = ExtentMap()
    for number in range(FREE_EXTENTS):
        found.replace(number, [Fill(1, number % 2)])
    assert found.memory_bytes == 0
    found.replace(FREE_EXTENTS, [Memory(b"abc")])
    assert found.memory_bytes == 3 + (FREE_EXTENTS + 1) * EXTENT_BYTES
    found.truncate(2)
    assert found.memory_bytes == 0


def test_a_hole_at_the_end_and_what_is_past_it_are_one_hole() -> None:
    found = ExtentMap()
    found.replace(0, [Fill(1, 1), Fill(9, 0)])
    assert found.cut(0, 30) == [Fill(1, 1), Fill(29, 0)]


def test_encoding_leaves_memory_that_would_join_alone() -> None:
    """Two long Memory extents that were trimmed stay apart, and encoding must not join them in place."""
    found = ExtentMap()
    found.replace(0, [Memory(b"a" * MEMORY_EXTENT_BYTES), Memory(b"b" * 10)])
    found.replace(0, [Fill(MEMORY_EXTENT_BYTES - 10, 1)])
    with pytest.raises(ValueError, match="no single place"):
        found.encode()
    found.shed()
    found.check_invariants()
    assert [memory.data for _, memory in found.unlogged()] == [b"a" * 10, b"b" * 10]
