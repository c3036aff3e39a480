"""The kinds of extent: parts and joins stand for the right bytes, whatever the kind."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inode.stored_bytes import LOST, StoredBytes
from vfs.inode.extents import (
    BlobRange,
    ChunkRange,
    Encodable,
    Extent,
    Fill,
    Lost,
    Memory,
    is_hole,
    join,
    part,
)
from vfs.limits import MEMORY_EXTENT_BYTES

PLACE = ChunkRange(4, 1, 0, 40)


def extents_of(stored: StoredBytes, content: bytes) -> list[Extent]:
    return [
        stored.log(content),
        stored.blob(content),
        Memory(content),
        Memory(bytearray(content)),
        Memory(bytearray(content), stored.log(content)),
        Memory(content, stored.log(content)),
    ]


@given(content=st.binary(min_size=1, max_size=50), data=st.data())
def test_a_part_stands_for_its_bytes_and_leaves_the_whole_alone(content: bytes, data: st.DataObject) -> None:
    skip = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, len(content) - skip))
    stored = StoredBytes()
    for whole in extents_of(stored, content):
        taken = part(whole, skip, length)
        assert type(taken) is type(whole)
        assert taken.length == length
        assert stored.read([taken]) == content[skip : skip + length]
        assert stored.read([whole]) == content
        if isinstance(whole, Memory):
            whole.keep(skip, length)
            assert stored.read([whole]) == content[skip : skip + length]
    assert part(Fill(len(content), 9), skip, length) == Fill(length, 9)
    assert part(Lost(len(content)), skip, length) == Lost(length)
    assert stored.read([Lost(length)]) == LOST * length


@given(content=st.binary(min_size=2, max_size=50), data=st.data())
def test_parts_of_one_place_join_again(content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(content) - 1))
    stored = StoredBytes()
    for whole in extents_of(stored, content):
        joined = join(part(whole, 0, cut), part(whole, cut, len(content) - cut))
        assert joined is not None
        assert stored.read([joined]) == content
        if isinstance(whole, Memory):
            assert isinstance(joined, Memory)
            assert joined.origin == whole.origin
        else:
            assert joined == whole
    assert join(Fill(cut, 3), Fill(5, 3)) == Fill(cut + 5, 3)
    assert join(Lost(cut), Lost(5)) == Lost(cut + 5)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ChunkRange(10, 1, 0, 40), ChunkRange(10, 1, 0, 51)),  # not side by side
        (ChunkRange(10, 1, 0, 40), ChunkRange(10, 1, 0, 49)),
        (ChunkRange(10, 1, 0, 40), ChunkRange(10, 1, 50, 50)),  # another frame
        (ChunkRange(10, 1, 0, 40), ChunkRange(10, 2, 0, 50)),  # another chunk
        (BlobRange(10, 1, 0), BlobRange(10, 2, 10)),
        (BlobRange(10, 1, 0), BlobRange(10, 1, 11)),
        (Fill(10, 0), Fill(10, 1)),
        (Fill(10, 0), Memory(b"\0")),
        (Memory(b"\0"), Fill(10, 0)),
        (ChunkRange(10, 1, 0, 40), Memory(b"\0", ChunkRange(1, 1, 0, 50))),
        (BlobRange(10, 1, 0), ChunkRange(10, 1, 0, 10)),
        (Lost(10), Fill(10, 0)),
        (Fill(10, 0), Lost(10)),
        (Lost(10), BlobRange(10, 1, 10)),
        (BlobRange(10, 1, 0), Lost(10)),
        (ChunkRange(10, 1, 0, 40), Lost(10)),
        (Lost(10), ChunkRange(10, 1, 0, 40)),
        (Lost(10), Memory(b"x")),
        (Memory(b"x"), Lost(10)),
        (Memory(bytes(MEMORY_EXTENT_BYTES)), Memory(b"x")),
    ],
)
def test_what_does_not_join(left: Extent, right: Extent) -> None:
    before = (left.length, right.length)
    assert join(left, right) is None
    assert (left.length, right.length) == before


def test_memory_grows_in_place_up_to_its_limit() -> None:
    left = Memory(bytes(MEMORY_EXTENT_BYTES - 1))
    assert join(left, Memory(b"x")) is left
    assert left.length == len(left.data) == MEMORY_EXTENT_BYTES
    assert left.data[-1:] == b"x"


@pytest.mark.parametrize(
    "other",
    [None, ChunkRange(2, 1, 0, 45), ChunkRange(2, 1, 44, 44), ChunkRange(2, 2, 0, 44)],
)
def test_memory_of_several_frames_has_no_origin(other: ChunkRange | None) -> None:
    joined = join(Memory(b"abcd", PLACE), Memory(b"ef", other))
    assert isinstance(joined, Memory)
    assert joined.data == b"abcdef"
    assert joined.origin is None


def test_patched_memory_has_no_origin() -> None:
    memory = Memory(b"abcd", PLACE)
    memory.patch(1, b"XY")
    assert (memory.data, memory.length, memory.origin) == (b"aXYd", 4, None)


def test_a_part_of_memory_is_a_copy() -> None:
    memory = Memory(bytearray(b"abcd"))
    copies = [memory.part(0, 4), memory.part(1, 2)]
    memory.patch(0, b"WXYZ")
    memory.extend(b"!")
    assert [copy.data for copy in copies] == [b"abcd", b"bc"]
    assert all(isinstance(copy.data, bytes) for copy in copies)


def test_only_zeros_repeated_are_a_hole() -> None:
    extents: list[Extent] = [Fill(1, 0), Fill(1, 1), Memory(b"\0"), PLACE, BlobRange(1, 0, 0), Lost(1)]
    assert list(map(is_hole, extents)) == [True, False, False, False, False, False]


def test_the_encoded_form_of_each_kind() -> None:
    """What FORMAT.md says: an array with the kind first."""
    kinds = (ChunkRange(4, 1, 0, 40), Fill(4, 7), BlobRange(4, 9, 2), Lost(4))
    found = [msgspec.json.encode(each) for each in kinds]
    assert found == [b"[1,4,1,0,40]", b"[2,4,7]", b"[3,4,9,2]", b"[4,4]"]


@pytest.mark.parametrize(
    "text",
    [
        b"[1,0,1,0,40]",
        b"[1,4,-1,0,40]",
        b"[1,4,1,0]",
        b"[1,4,1,0,40,5]",
        b"[2,4,256]",
        b"[2,4,-1]",
        b"[2,9223372036854775808,0]",
        b"[3,4,1.5,0]",
        b"[4,4,0]",
        b"[4,0]",
        b"[5,4]",
        b"[]",
        b"7",
    ],
)
def test_bounds_are_checked_when_decoding(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Encodable)


def test_memory_is_not_encodable() -> None:
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(Memory(b"x"))
