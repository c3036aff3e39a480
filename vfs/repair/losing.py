"""Maps with lost ranges in the place of what cannot be had any more.

Promises that of a map only those bytes become lost that are not sound, as fine as sums go, and that the rest
of it stays. Pure but for reading the log where a check has found damage. Never writes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from vfs.backing.chunks import ChunkReader
from vfs.checks.sound import sound_parts_of_range
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Lost, part
from vfs.limits import SEGMENT_BYTES


class SavedPart(NamedTuple):
    """Bytes [start, start+length) of a blob are bytes of another one, from `offset` on."""

    start: int
    length: int
    blob: int
    offset: int


class Mended(NamedTuple):
    """What becomes of a segment: its map, None when the segment goes; and what of the file is lost by it."""

    segment: ExtentMap | None
    lost: list[tuple[int, int]]
    """(offset in the file, length)."""


class MapMender:
    """Looks at one map after the other."""

    def __init__(
        self,
        broken: Mapping[int, Sequence[SavedPart]],
        length_of: Callable[[int], int],
        damaged_rows: Collection[tuple[int, int]],
        chunks: ChunkReader,
    ) -> None:
        self._broken = broken
        """Blobs that cannot be had as a whole, with what was saved of each, in order."""
        self._length_of = length_of
        """Of a blob that is not broken."""
        self._damaged_rows = damaged_rows
        self._chunks = chunks

    def look(self, ino: int, number: int, encoded: bytes, size: int) -> Mended | None:
        """What has to be done to a segment of a file of that size; None when that is nothing."""
        room = min(SEGMENT_BYTES, size - number * SEGMENT_BYTES)
        if number < 0 or room <= 0:
            return Mended(None, [])
        try:
            before = ExtentMap.decode(encoded)
        except IndexDamaged:
            before = ExtentMap()
            pieces: list[Extent] = [Lost(room)]
        else:
            damaged = (ino, number) in self._damaged_rows
            pieces = [
                piece
                for extent in before.cut(0, min(room, before.length))
                for piece in self._of(extent, damaged)
            ]
        after = ExtentMap()
        after.replace(0, pieces)
        if before.length and after.cut(0, room) == before.cut(0, room) and before.length <= room:
            return None
        known = set(before.lost())
        start = number * SEGMENT_BYTES
        return Mended(
            after, [(start + at, length) for at, length in after.lost() if (at, length) not in known]
        )

    def _of(self, extent: Extent, damaged: bool) -> list[Extent]:
        if isinstance(extent, BlobRange):
            return self._of_blob(extent)
        if isinstance(extent, ChunkRange) and damaged:
            sound = sound_parts_of_range(self._chunks, extent)
            return _filled(extent, [(at, part(extent, at, length)) for at, length in sound])
        return [extent]

    def _of_blob(self, extent: BlobRange) -> list[Extent]:
        saved = self._broken.get(extent.blob)
        if saved is None:
            there = self._length_of(extent.blob) - extent.start
            if there >= extent.length:
                return [extent]
            return _filled(extent, [(0, part(extent, 0, there))] if there > 0 else [])
        found: list[tuple[int, Extent]] = []
        for each in saved:
            start = max(each.start, extent.start)
            stop = min(each.start + each.length, extent.start + extent.length)
            if start < stop:
                place = BlobRange(stop - start, each.blob, each.offset + start - each.start)
                found.append((start - extent.start, place))
        return _filled(extent, found)


def _filled(extent: Extent, sound: list[tuple[int, Extent]]) -> list[Extent]:
    """The sound parts at their offsets, and lost ranges between them."""
    found: list[Extent] = []
    at = 0
    for offset, piece in sound:
        if offset > at:
            found.append(Lost(offset - at))
        found.append(piece)
        at = offset + piece.length
    if at < extent.length:
        found.append(Lost(extent.length - at))
    return found
