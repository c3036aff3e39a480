"""Maps before and after packing, as bytes: content stays, and so do holes, fills and what was not chosen."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.inode.stored_bytes import StoredBytes
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Lost, Memory
from vfs.inode.repack import choose, following, spread

SMALL = 6
"""Ranges of blobs up to here count as splinters in these tests."""

kinds = st.lists(
    st.tuples(st.sampled_from(["chunk", "blob", "hole", "fill", "lost"]), st.integers(1, 12)),
    min_size=1,
    max_size=12,
)


def is_splinter(extent: BlobRange) -> bool:
    return extent.length <= SMALL


def _is_small_blob(extent: Extent) -> bool:
    return isinstance(extent, BlobRange) and is_splinter(extent)


def made(stored: StoredBytes, drawn: list[tuple[str, int]]) -> ExtentMap:
    """A map of extents that are drawn; every byte is another one than its neighbours."""
    segment = ExtentMap()
    for number, (kind, length) in enumerate(drawn):
        content = bytes((37 * number + each) % 251 for each in range(length))
        extent: Extent = Fill(length, 0 if kind == "hole" else 7)
        if kind == "chunk":
            extent = stored.log(content)
        elif kind == "blob":
            extent = stored.blob(content)
        elif kind == "lost":
            extent = Lost(length)
        segment.replace(segment.length, [extent])
    return segment


def extents_of(segment: ExtentMap) -> list[Extent]:
    return segment.cut(0, segment.length)


def solid(segment: ExtentMap) -> list[tuple[int, int, int]]:
    """(offset, length, byte) of the fills, and -1 for lost ranges, which packing must not touch."""
    found, at = [], 0
    for extent in extents_of(segment):
        if isinstance(extent, Fill):
            found.append((at, extent.length, extent.byte))
        elif isinstance(extent, Lost):
            found.append((at, extent.length, -1))
        at += extent.length
    return found


@given(kinds, st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_packing_changes_no_byte_and_no_hole(drawn: list[tuple[str, int]], cuts: list[int]) -> None:
    stored = StoredBytes()
    before = made(stored, drawn)
    after = stored.packed(before, cuts, is_splinter)
    after.check_invariants()
    assert stored.read(extents_of(after)) == stored.read(extents_of(before))
    assert after.allocated == before.allocated
    assert solid(after) == solid(before)
    assert not after.references(), "nothing lies in the log any more"


@given(kinds)
def test_what_is_chosen(drawn: list[tuple[str, int]]) -> None:
    """Against the rule said in another way: spread from the log through splinters until nothing changes."""
    extents = extents_of(made(StoredBytes(), drawn))
    rest = [index for index, extent in enumerate(extents) if not isinstance(extent, Fill)]
    expected = {index for index in rest if isinstance(extents[index], ChunkRange)}
    while True:
        beside = {
            other
            for left, right in pairwise(rest)
            for one, other in ((left, right), (right, left))
            if one in expected and other not in expected and _is_small_blob(extents[other])
        }
        if not beside:
            break
        expected |= beside
    assert choose(extents, is_splinter) == sorted(expected)


@given(
    kinds,
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.integers(0, 80), st.integers(1, 20), st.sampled_from(["new", "memory", "cut", "move"])),
        max_size=6,
    ),
)
def test_a_changed_map_follows_piece_by_piece(
    drawn: list[tuple[str, int]], cuts: list[int], changes: list[tuple[int, int, str]]
) -> None:
    stored = StoredBytes()
    old = made(stored, drawn)
    current = ExtentMap.decode(old.encode())
    for number, (offset, length, kind) in enumerate(changes):
        content = bytes(((91 + number) * each) % 251 for each in range(length))
        if kind == "cut":
            current.truncate(offset)
        elif kind == "move":
            current.replace(offset, current.cut(offset // 2, length))
        elif kind == "memory":
            current.replace(offset, [Memory(content)])
        else:
            current.replace(offset, [stored.log(content)])
    new = stored.packed(old, cuts, is_splinter)
    expected = stored.read(extents_of(current))
    allocated = current.allocated
    for at, ranges in following(current.placed(), old, new):
        current.replace(at, ranges)
    current.check_invariants()
    assert stored.read(extents_of(current)) == expected
    assert current.allocated == allocated
    assert not _names(old).items() & _names(current).items(), "a byte that did not change lies in the log"


def _names(segment: ExtentMap) -> dict[int, tuple[int, int, int]]:
    """For each byte that lies in the log: where."""
    return {
        at + within: (extent.chunk, extent.frame, extent.start + within)
        for at, extent in segment.placed()
        if isinstance(extent, ChunkRange)
        for within in range(extent.length)
    }


def test_memory_that_lies_where_the_old_map_says_follows() -> None:
    stored = StoredBytes()
    place = stored.log(b"0123456789")
    old, new = ExtentMap(), ExtentMap()
    old.replace(0, [place])
    new.replace(0, [BlobRange(10, 3, 5)])
    memory = Memory(b"3456", ChunkRange(4, place.chunk, place.frame, place.start + 3))
    unlogged = Memory(b"xx")
    assert following([(3, memory), (7, unlogged)], old, new) == [(3, [BlobRange(4, 3, 8)])]
    assert following([(4, memory)], old, new) == [], "the same place at another offset is a younger change"


def test_a_blob_across_a_hole_is_named_on_both_sides() -> None:
    assert spread([4, 6], [(9, 10)]) == [[BlobRange(4, 9, 0)], [BlobRange(6, 9, 4)]]
