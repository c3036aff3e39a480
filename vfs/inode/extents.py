"""The five kinds of extent, and the two operations on them: taking a part of one, joining two neighbours.

An extent says where a run of a file's bytes lies; it does not know at which offset of the file.
Nothing here reads a chunk, a pack or the index: a place is only numbers.
"""

from typing import Annotated, final

import msgspec

from vfs.limits import (
    CHUNK_BYTES,
    DECODED_BLOCK_BYTES,
    FILE_BYTES,
    LAST_NUMBER,
    MEMORY_EXTENT_BYTES,
)

# Bounds are checked when an extent is decoded, never when one is made by code.
Length = Annotated[int, msgspec.Meta(ge=1, le=FILE_BYTES)]
Chunk = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Blob = Annotated[int, msgspec.Meta(ge=0, le=LAST_NUMBER)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=CHUNK_BYTES)]
BlobOffset = Annotated[int, msgspec.Meta(ge=0, le=DECODED_BLOCK_BYTES)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


@final
class ChunkRange(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False, forbid_unknown_fields=True):
    """Bytes in one frame of a chunk. `frame` is the offset of its header, `start` that of the bytes."""

    length: Length
    chunk: Chunk
    frame: Offset
    start: Offset


@final
class Fill(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False, forbid_unknown_fields=True):
    """One byte, repeated. Byte 0 is a hole: it takes no room anywhere."""

    length: Length
    byte: Byte


@final
class BlobRange(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False, forbid_unknown_fields=True):
    """Bytes of a blob, from its byte `start` on."""

    length: Length
    blob: Blob
    start: BlobOffset


@final
class Lost(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False, forbid_unknown_fields=True):
    """A lost range: bytes that were there and cannot be had any more. Reading them is an error."""

    length: Length


@final
class Memory:
    """Bytes kept in memory. They are in the log too, but maybe scattered over many frames.

    `origin` is where exactly these bytes also lie side by side in one frame, None when there is no such
    place. The holder of a `Memory` owns it: it grows and shrinks in place, so nobody else may keep it.
    """

    __slots__ = ("data", "length", "origin")

    def __init__(self, data: bytes | bytearray, origin: ChunkRange | None = None) -> None:
        self.data = data
        self.length = len(data)  # INVARIANT: len(data); an attribute because every kind has one
        self.origin = origin  # INVARIANT: None or of the same length

    def __repr__(self) -> str:
        return f"Memory(length={self.length}, origin={self.origin})"

    def extend(self, data: bytes | bytearray) -> None:
        """Add bytes at the end; amortised O(bytes added). The caller settles `origin`."""
        own = self.data
        if not isinstance(own, bytearray):
            own = self.data = bytearray(own)
        own += data
        self.length = len(own)

    def patch(self, skip: int, data: bytes | bytearray) -> None:
        """Overwrite bytes from `skip` on, inside the length; they are no longer those of `origin`."""
        own = self.data
        if not isinstance(own, bytearray):
            own = self.data = bytearray(own)
        own[skip : skip + len(data)] = data
        self.origin = None

    def keep(self, skip: int, length: int) -> None:
        """Forget all but [skip, skip+length); for a bytearray cheap at both ends (CPython moves no bytes)."""
        own = self.data
        if isinstance(own, bytearray):
            del own[skip + length :]
            del own[:skip]
        else:
            self.data = own[skip : skip + length]
        self.length = length
        self.origin = _origin_part(self.origin, skip, length)

    def part(self, skip: int, length: int) -> "Memory":
        """An independent copy of [skip, skip+length), which later writes do not change."""
        own = self.data
        if isinstance(own, bytearray):
            with memoryview(own) as view:
                copy = bytes(view[skip : skip + length])
        else:
            copy = own[skip : skip + length]  # the very same object when it is all of it
        return Memory(copy, _origin_part(self.origin, skip, length))


Encodable = ChunkRange | Fill | BlobRange | Lost
Extent = Encodable | Memory


def _origin_part(origin: ChunkRange | None, skip: int, length: int) -> ChunkRange | None:
    if origin is None or (skip == 0 and length == origin.length):
        return origin
    return ChunkRange(length, origin.chunk, origin.frame, origin.start + skip)


def is_hole(extent: Extent) -> bool:
    """Whether the extent takes no room."""
    return type(extent) is Fill and extent.byte == 0


def part(extent: Extent, skip: int, length: int) -> Extent:
    """Bytes [skip, skip+length) of the extent. Of a `Memory` always an independent copy."""
    if type(extent) is Memory:
        return extent.part(skip, length)
    if length == extent.length:
        return extent
    if type(extent) is ChunkRange:
        return ChunkRange(length, extent.chunk, extent.frame, extent.start + skip)
    if type(extent) is Fill:
        return Fill(length, extent.byte)
    if type(extent) is Lost:
        return Lost(length)
    return BlobRange(length, extent.blob, extent.start + skip)


def join(left: Extent, right: Extent) -> Extent | None:
    """One extent for two neighbours, or None when they do not join.

    A `Memory` on the left grows in place and is returned; it keeps an origin only where the two origins
    continue each other. Ranges of a chunk join only inside one frame: a frame is the unit that is verified.
    """
    if type(left) is ChunkRange:
        if type(right) is ChunkRange and _continues(left, right):
            return ChunkRange(left.length + right.length, left.chunk, left.frame, left.start)
    elif type(left) is Memory:
        if type(right) is Memory and left.length + right.length <= MEMORY_EXTENT_BYTES:
            origin = None
            if left.origin is not None and right.origin is not None and _continues(left.origin, right.origin):
                joined = left.length + right.length
                origin = ChunkRange(joined, left.origin.chunk, left.origin.frame, left.origin.start)
            left.extend(right.data)
            left.origin = origin
            return left
    elif type(left) is Fill:
        if type(right) is Fill and left.byte == right.byte:
            return Fill(left.length + right.length, left.byte)
    elif type(left) is Lost:
        if type(right) is Lost:
            return Lost(left.length + right.length)
    elif type(right) is BlobRange and left.blob == right.blob and left.start + left.length == right.start:
        return BlobRange(left.length + right.length, left.blob, left.start)
    return None


def _continues(left: ChunkRange, right: ChunkRange) -> bool:
    return left.start + left.length == right.start and left.frame == right.frame and left.chunk == right.chunk
