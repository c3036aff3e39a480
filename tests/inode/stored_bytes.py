"""Bytes that lie in made-up chunks and blobs, so that extents can be turned back into what they stand for.

It hands out places and reads them; it knows nothing of files, and is no test of its own.
"""

from collections.abc import Callable, Iterable, Sequence

from vfs.inode.captured import Captured
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Lost, Memory
from vfs.inode.repack import choose, rebuilt, spread

LOST = b"?"
"""What is read in the place of each lost byte."""

HEADER = 10
"""Bytes between two frames, which no range may reach into."""


class StoredBytes:
    """Chunks of frames, and blobs."""

    def __init__(self) -> None:
        self.chunks: dict[int, bytearray] = {1: bytearray()}
        self.frames: dict[tuple[int, int], tuple[int, int]] = {}  # (chunk, frame) -> where its data is
        self.blobs: list[bytes] = []

    def log(self, data: bytes) -> ChunkRange:
        """Put the data into a frame of its own; now and then a new chunk begins."""
        number = max(self.chunks)
        if len(self.chunks[number]) > 500:
            number += 1
            self.chunks[number] = bytearray()
        chunk = self.chunks[number]
        frame = len(chunk)
        chunk += b"#" * HEADER
        chunk += data
        self.frames[number, frame] = (frame + HEADER, len(chunk))
        return ChunkRange(len(data), number, frame, frame + HEADER)

    def blob(self, data: bytes) -> BlobRange:
        """Put the data into the middle of a blob of its own."""
        self.blobs.append(b"##" + data + b"##")
        return BlobRange(len(data), len(self.blobs) - 1, 2)

    def read(self, extents: Iterable[Extent]) -> bytes:
        """What the extents stand for; a range that leaves its frame or blob fails."""
        return b"".join(map(self._read, extents))

    def packed(
        self, segment: ExtentMap, cuts: Sequence[int], is_splinter: Callable[[BlobRange], bool]
    ) -> ExtentMap:
        """The map after its chosen ranges were packed as streams, cut into blobs of these lengths in turn."""
        extents = segment.cut(0, segment.length)
        replaced: dict[int, list[BlobRange]] = {}
        for stream in _streams(extents, choose(extents, is_splinter)):
            content = self.read([extents[index] for index in stream])
            blobs: list[tuple[int, int]] = []
            while content:
                cut = cuts[len(blobs) % len(cuts)]
                self.blobs.append(content[:cut])
                blobs.append((len(self.blobs) - 1, len(content[:cut])))
                content = content[cut:]
            replaced |= zip(stream, spread([extents[index].length for index in stream], blobs), strict=True)
        return rebuilt(extents, replaced)

    def _read(self, extent: Extent) -> bytes:
        if isinstance(extent, Memory):
            if extent.origin is not None:
                assert self._read(extent.origin) == extent.data
            return bytes(extent.data)
        if isinstance(extent, Lost):
            return LOST * extent.length
        if isinstance(extent, Fill):
            return bytes((extent.byte,)) * extent.length
        if isinstance(extent, BlobRange):
            data = self.blobs[extent.blob][extent.start : extent.start + extent.length]
        else:
            start, stop = self.frames[extent.chunk, extent.frame]
            assert start <= extent.start <= extent.start + extent.length <= stop
            data = bytes(self.chunks[extent.chunk][extent.start : extent.start + extent.length])
        assert len(data) == extent.length > 0
        return data


class Segments:
    """A SegmentSource in a dict, with at most one capture that has not reached it yet."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.in_flight: Captured | None = None
        self.asked = 0

    def seen(self) -> dict[int, bytes]:
        """The rows as they are once the capture has reached them."""
        return self.rows if self.in_flight is None else _carried(self.rows, self.in_flight)

    def commit(self) -> None:
        """The capture reaches the rows."""
        self.rows = self.seen()
        self.in_flight = None

    def load_segment(self, ino: int, number: int) -> bytes | None:
        self.asked += 1
        return self.seen().get(number)

    def allocated_from(self, ino: int, number: int) -> int:
        self.asked += 1
        return sum(ExtentMap.decode(row).allocated for found, row in self.seen().items() if found >= number)

    def segment_numbers(self, ino: int, first: int, last: int) -> list[int]:
        self.asked += 1
        return [number for number in self.seen() if first <= number <= last]


def _streams(extents: list[Extent], chosen: list[int]) -> list[list[int]]:
    """Runs of chosen extents with nothing but fills between them."""
    found: list[list[int]] = [[]]
    for index, extent in enumerate(extents):
        if index in chosen:
            found[-1].append(index)
        elif not isinstance(extent, Fill):
            found.append([])
    return [stream for stream in found if stream]


def _carried(rows: dict[int, bytes], captured: Captured) -> dict[int, bytes]:
    void = captured.voided_from
    kept = {number: row for number, row in rows.items() if void is None or number < void}
    return kept | captured.segments
