"""Extents against inodes: what a file has lost is an error to read, never zeros; sizes cover what is there.

Promises to keep every map that can be decoded. Works on rows of the draft; whether the bytes that a map names
can be read is asked elsewhere.
"""

from collections.abc import Iterable, Iterator

from vfs.backing.mending import Mending
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import Lost
from vfs.limits import SEGMENT_BYTES
from vfs.repair.plan import Plan

EXTENTS = "extents"
MOST_SEGMENTS = 1 << 16
"""Missing segments of one file that are noted as lost: 1 TiB. One with more is a sparse file with a hole."""


class ContentMender:
    """The extents of a draft."""

    def __init__(self, mending: Mending, plan: Plan) -> None:
        self._mending = mending
        self._plan = plan
        self.highest_blob = 0
        self.highest_chunk = 0
        """The highest numbers that maps name; known after `sizes`."""

    def undecodable(self, segments: Iterable[tuple[int, int]]) -> None:
        """(ino, segment) of maps that cannot be decoded: lost as far as the file reaches."""
        for ino, number in segments:
            row = self._mending.inode_row(ino)
            length = SEGMENT_BYTES if row is None else min(SEGMENT_BYTES, row[5] - number * SEGMENT_BYTES)
            if length > 0:
                self._lose(ino, number, length)
            else:
                self._mending.drop_segment(ino, number)
            self._plan.add(EXTENTS, f"segment {number} of inode {ino} cannot be decoded: it is lost")

    def missing(self) -> None:
        """Segments that are not there although their file says that it has more: lost."""
        files = 0
        for ino, size in list(self._mending.short_files()):
            there = set(self._mending.segment_numbers(ino))
            count = -(-size // SEGMENT_BYTES)
            absent = count - len(there)
            if not 0 < absent <= MOST_SEGMENTS:
                continue
            for number in range(count):
                if number not in there:
                    self._lose(ino, number, min(SEGMENT_BYTES, size - number * SEGMENT_BYTES))
            files += 1
        if files:
            text = f"{files} files have extents that are missing: what the log does not have of them is lost"
            self._plan.add(EXTENTS, text, files)

    def _lose(self, ino: int, number: int, length: int) -> None:
        segment = ExtentMap()
        segment.replace(0, [Lost(length)])
        self._mending.put_segments([(ino, number, segment.allocated, segment.encode(), None)])

    def sizes(self) -> None:
        """A file is at least as long as what its extents cover."""
        raised: dict[int, int] = {}
        for ino, number, segment, size in self._segments():
            blobs, chunks = segment.blob_references(), segment.references()
            self.highest_blob = max(self.highest_blob, *blobs, 0)
            self.highest_chunk = max(self.highest_chunk, *chunks, 0)
            end = number * SEGMENT_BYTES + segment.length
            if end > size:
                raised[ino] = max(end, raised.get(ino, 0))
        for ino, size in raised.items():
            self._mending.change("UPDATE inode SET size=? WHERE ino=?", (size, ino))
            self._plan.add(EXTENTS, f"the size of inode {ino} is below its extents: it becomes {size}")

    def _segments(self) -> Iterator[tuple[int, int, ExtentMap, int]]:
        rows = self._mending.query(
            "SELECT x.ino, x.segment, x.map, i.size FROM extent x JOIN inode i ON i.ino=x.ino"
            " ORDER BY x.ino, x.segment"
        )
        for ino, number, encoded, size in rows:
            try:
                yield ino, number, ExtentMap.decode(encoded), size
            except IndexDamaged as error:
                raise AssertionError(f"segment {number} of inode {ino} was mended before") from error
