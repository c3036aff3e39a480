"""The extents of one segment of a file: ordered, without gaps, found by bisection.

Covers [0, length) exactly; what lies past `length` is a hole. Offsets are relative to the segment.
Pure arithmetic: it never reads data, and does not know which file or segment it belongs to.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from vfs.errors import IndexDamaged
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
from vfs.limits import SEGMENT_BYTES, SEGMENT_EXTENTS

EXTENT_BYTES = 160
"""What an extent takes in memory beside its data (measured; a Memory with its origin takes twice that)."""

FREE_EXTENTS = 8
"""A map of so few extents is not counted, so that most files never are: their inode stands for them."""

RECORD_EXTENTS = 4096
"""More extents than one record of the log can add to a segment."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Encodable]).decode


class ExtentMap:
    """Ordered extents of one segment. A `Memory` handed in belongs to the map from then on."""

    __slots__ = ("_extents", "_starts", "allocated", "buffered_bytes", "length", "memory_bytes")

    def __init__(self) -> None:
        self._starts: list[int] = []  # INVARIANT: the sums of the lengths of the extents before
        self._extents: list[Extent] = []  # INVARIANT: no neighbours join but Memory (see _overwrite)
        self.length = 0  # INVARIANT: the sum of the lengths, at most SEGMENT_BYTES
        self.allocated = 0  # INVARIANT: bytes in extents that are no holes
        self.buffered_bytes = 0  # INVARIANT: bytes in Memory extents
        self.memory_bytes = 0  # INVARIANT: what `_measure` says

    # --- changes ---------------------------------------------------------------------------

    def replace(self, offset: int, pieces: Sequence[Extent]) -> None:
        """Put the pieces, side by side, at `offset`; a gap before it becomes a hole."""
        for piece in pieces:
            length = piece.length  # read first: a Memory may grow once it is ours
            if offset < self.length:
                self._overwrite(offset, piece)
            else:
                if offset > self.length:
                    self._append(Fill(offset - self.length, 0))
                self._append(piece)
            offset += length
        self._measure()

    def truncate(self, length: int) -> None:
        """Cover [0, length): forget what is past it, or add a hole."""
        if length >= self.length:
            if length > self.length:
                self._append(Fill(length - self.length, 0))
                self._measure()
            return
        self._forget(length, self.length)
        last = bisect_left(self._starts, length)  # the first extent that goes wholly
        if last and (kept := length - self._starts[last - 1]) < self._extents[last - 1].length:
            self._extents[last - 1] = _shrink(self._extents[last - 1], 0, kept)
        del self._starts[last:]
        del self._extents[last:]
        self.length = length
        self._measure()

    def shed(self) -> None:
        """Turn every Memory that has an origin into that range: same bytes, no memory."""
        if not self.buffered_bytes:
            return
        self._extents = self._at_origins()
        self._starts = _starts(0, self._extents)
        self.buffered_bytes = sum(extent.length for extent in self._extents if type(extent) is Memory)
        self._measure()

    def _measure(self) -> None:
        count = len(self._extents)
        self.memory_bytes = self.buffered_bytes + (EXTENT_BYTES * count if count > FREE_EXTENTS else 0)

    def _append(self, piece: Extent) -> None:
        extents = self._extents
        length = piece.length
        if not length:
            return
        joined = join(extents[-1], piece) if extents and type(piece) is type(extents[-1]) else None
        if joined is not None:
            extents[-1] = joined
        else:
            self._starts.append(self.length)
            extents.append(piece)
        self.length += length
        if type(piece) is Memory:
            self.buffered_bytes += length
            self.allocated += length
        elif type(piece) is not Fill or piece.byte:
            self.allocated += length

    def _overwrite(self, offset: int, piece: Extent) -> None:
        """Put a piece that begins inside the covered range.

        What is joined is the piece with its two neighbours. A Memory that was only trimmed is not joined with
        the Memory beyond it: that would copy up to a megabyte although no extent was added.
        """
        if not piece.length:
            return
        starts, extents = self._starts, self._extents
        end = offset + piece.length
        low = bisect_right(starts, offset) - 1
        high = bisect_left(starts, end, low + 1)
        head, tail = extents[low], extents[high - 1]
        skipped = offset - starts[low]
        left_over = starts[high - 1] + tail.length - end
        if type(piece) is Memory and type(head) is Memory and high == low + 1 and left_over >= 0:
            head.patch(skipped, piece.data)
            if head.length == piece.length:
                head.origin = piece.origin
            return

        self._forget(offset, min(end, self.length))
        around: list[Extent] = [piece]
        # The right side first: where one Memory is cut in two, its right part is a copy and the left one then
        # shrinks in place.
        if left_over > 0:
            cut = part if skipped and tail is head else _shrink
            around.append(cut(tail, tail.length - left_over, left_over))
        elif high < len(extents):
            around.append(extents[high])
            high += 1
        if skipped:
            around.insert(0, _shrink(head, 0, skipped))
        elif low:
            low -= 1
            around.insert(0, extents[low])
        start = starts[low]
        length = piece.length
        merged = _joined(around)
        starts[low:high] = _starts(start, merged)
        extents[low:high] = merged
        if end > self.length:
            self.length = end
        if type(piece) is Memory:
            self.buffered_bytes += length
        if not is_hole(piece):
            self.allocated += length

    def _forget(self, offset: int, end: int) -> None:
        """Take what [offset, end), inside the covered range, holds out of the sums."""
        starts, extents = self._starts, self._extents
        index = bisect_right(starts, offset) - 1
        while offset < end:
            extent = extents[index]
            stop = min(end, starts[index] + extent.length)
            if not is_hole(extent):
                self.allocated -= stop - offset
                if type(extent) is Memory:
                    self.buffered_bytes -= stop - offset
            offset = stop
            index += 1

    @property
    def crowded(self) -> bool:
        """Whether one more record of changes could pass what `decode` accepts."""
        return len(self._starts) > SEGMENT_EXTENTS - RECORD_EXTENTS

    # --- looking ---------------------------------------------------------------------------

    def cut(self, offset: int, length: int) -> list[Extent]:
        """The extents of [offset, offset+length), trimmed; holes where nothing is covered.

        The result is the caller's: no later change of the map shows in it.
        """
        if length <= 0:
            return []
        covered = self.length
        end = offset + length
        if offset >= covered:
            return [Fill(length, 0)]
        starts, extents = self._starts, self._extents
        index = bisect_right(starts, offset) - 1
        extent = extents[index]
        skip = offset - starts[index]
        if skip + length <= extent.length:
            return [part(extent, skip, length)]
        pieces = [part(extent, skip, extent.length - skip)]
        last = bisect_left(starts, end) - 1
        pieces += [part(extent, 0, extent.length) for extent in extents[index + 1 : last]]
        if last > index:
            extent = extents[last]
            pieces.append(part(extent, 0, min(extent.length, end - starts[last])))
        if end > covered:
            extent = pieces[-1]
            if is_hole(extent):
                pieces[-1] = Fill(extent.length + end - covered, 0)
            else:
                pieces.append(Fill(end - covered, 0))
        return pieces

    def seek_data(self, offset: int) -> int | None:
        """The first offset from `offset` on that is not in a hole; None when there is none."""
        index = bisect_right(self._starts, offset) - 1
        while offset < self.length:
            if not is_hole(self._extents[index]):
                return offset
            index += 1
            offset = self._starts[index] if index < len(self._starts) else self.length
        return None

    def seek_hole(self, offset: int) -> int:
        """The first offset from `offset` on that is in a hole; what is not covered is one."""
        index = bisect_right(self._starts, offset) - 1
        while offset < self.length and not is_hole(self._extents[index]):
            index += 1
            offset = self._starts[index] if index < len(self._starts) else self.length
        return offset

    def unlogged(self) -> list[tuple[int, Memory]]:
        """(offset, Memory) of every Memory without an origin: what must be logged anew before `encode`.

        They are the map's own: to be used before its next change, and not to be changed.
        """
        if not self.buffered_bytes:
            return []
        found = zip(self._starts, self._extents, strict=True)
        return [(start, each) for start, each in found if type(each) is Memory and each.origin is None]

    def placed(self) -> list[tuple[int, Extent]]:
        """(offset, extent) of all extents, the map's own: to be looked at, before its next change."""
        return list(zip(self._starts, self._extents, strict=True))

    def references(self) -> dict[int, int]:
        """How many bytes of each chunk the map needs, origins of Memory included."""
        needed: dict[int, int] = {}
        for extent in self._extents:
            place = extent.origin if type(extent) is Memory else extent
            if type(place) is ChunkRange:
                needed[place.chunk] = needed.get(place.chunk, 0) + place.length
        return needed

    def blob_references(self) -> dict[int, tuple[int, int]]:
        """For each blob that the map names, how many extents do, and how many bytes they cover."""
        named: dict[int, tuple[int, int]] = {}
        for extent in self._extents:
            if type(extent) is BlobRange:
                extents, length = named.get(extent.blob, (0, 0))
                named[extent.blob] = extents + 1, length + extent.length
        return named

    def lost(self) -> list[tuple[int, int]]:
        """(offset, length) of every lost range."""
        found = zip(self._starts, self._extents, strict=True)
        return [(start, each.length) for start, each in found if type(each) is Lost]

    def extent_around(self, offset: int) -> tuple[int, Extent]:
        """Where the extent begins that has the byte at `offset`, which is covered, and the extent itself: the
        map's own, to be looked at before its next change."""
        index = bisect_right(self._starts, offset) - 1
        return self._starts[index], self._extents[index]

    def lowest_chunk(self) -> int | None:
        """The lowest number of a chunk that the map needs; None when it needs none."""
        return min(self.references(), default=None)

    # --- the persisted form ----------------------------------------------------------------

    def encode(self) -> bytes:
        """The map as the index stores it: a msgpack array of extents, Memory as its origin.

        ValueError when a Memory has no origin; nothing is changed in any case.
        """
        extents = self._at_origins() if self.buffered_bytes else self._extents
        for extent in extents if self.buffered_bytes else ():
            if type(extent) is Memory:
                raise ValueError(f"{extent.length} bytes in memory have no single place in the log yet")
        return _encode(extents)

    @classmethod
    def decode(cls, data: bytes) -> "ExtentMap":
        """The map of what `encode` gave. IndexDamaged for anything else."""
        if _count(data) > SEGMENT_EXTENTS:  # before memory is taken for them
            raise IndexDamaged("a segment has more extents than any can have")
        try:
            extents = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise IndexDamaged(f"extents of a segment cannot be decoded: {error}") from None
        found = cls()
        for extent in extents:
            found._append(extent)
            if found.length > SEGMENT_BYTES:
                raise IndexDamaged("extents of a segment pass its end")
        found._measure()
        return found

    def _at_origins(self) -> list[Extent]:
        """The extents, every Memory with an origin as that range. Changes nothing."""
        extents: list[Extent] = []
        for extent in self._extents:
            found: Extent = extent.origin if type(extent) is Memory and extent.origin is not None else extent
            # Only ranges can have become neighbours that join; joining Memory would change it.
            if type(found) is ChunkRange and extents and (joined := join(extents[-1], found)) is not None:
                extents[-1] = joined
            else:
                extents.append(found)
        return extents

    def check_invariants(self) -> None:
        """AssertionError when the map contradicts itself."""
        extents = self._extents
        assert self._starts == _starts(0, extents)
        assert self.length == sum(extent.length for extent in extents) <= SEGMENT_BYTES
        assert self.allocated == sum(extent.length for extent in extents if not is_hole(extent))
        assert self.buffered_bytes == sum(extent.length for extent in extents if type(extent) is Memory)
        measured = self.memory_bytes
        self._measure()
        assert measured == self.memory_bytes
        for extent in extents:
            assert extent.length > 0
            if type(extent) is Memory:
                assert extent.length == len(extent.data)
                assert extent.origin is None or extent.origin.length == extent.length
        for left, right in pairwise(extents):
            assert type(left) is Memory or join(left, right) is None, f"{left} and {right} join"


def _count(data: bytes) -> int:
    """How many extents an encoded map says it has, as far as that passes 65,535: the head of an array."""
    return int.from_bytes(data[1:5], "big") if data[:1] == b"\xdd" else 0


def _shrink(extent: Extent, skip: int, length: int) -> Extent:
    """Bytes [skip, skip+length) of an extent that is ours: a Memory shrinks in place."""
    if type(extent) is Memory:
        extent.keep(skip, length)
        return extent
    return part(extent, skip, length)


def _joined(extents: list[Extent]) -> list[Extent]:
    merged = extents[:1]
    for extent in extents[1:]:
        joined = join(merged[-1], extent)
        if joined is None:
            merged.append(extent)
        else:
            merged[-1] = joined
    return merged


def _starts(start: int, extents: list[Extent]) -> list[int]:
    starts = []
    for extent in extents:
        starts.append(start)
        start += extent.length
    return starts
