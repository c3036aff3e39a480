"""What fsck looks at in the extents of files: each points at bytes that exist, and all are accounted for.

Memory: 16 bytes a blob, and the frames that extents point to. Never reads the bytes themselves.
"""

from array import array
from bisect import bisect_left
from collections import Counter

from vfs.checks.view import View
from vfs.errors import DataDamaged, IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Lost
from vfs.limits import SEGMENT_BYTES

UNPLACED_CHUNK = 0
"""Stands for bytes that the replay of a check holds in memory: they have no place before a checkpoint."""

_LENGTH_MASK = (1 << 32) - 1


class BlobCounts:
    """For every blob of the index its length, and how many extents were found to name it."""

    def __init__(self, view: View) -> None:
        self.ids = array("q")  # INVARIANT: sorted
        self.lengths = array("I")
        self.found = array("I")
        for blob, length in view.query("SELECT id, length FROM blob ORDER BY id"):
            self.ids.append(blob)
            self.lengths.append(length & _LENGTH_MASK)  # one that does not fit is told by the checks of packs
            self.found.append(0)

    def position(self, blob: int) -> int | None:
        """Where the blob stands in the arrays, None when the index has no such blob."""
        ids = self.ids
        if not ids:
            return None
        index = blob - ids[0]  # most often no number is missing
        if not 0 <= index < len(ids) or ids[index] != blob:
            index = bisect_left(ids, blob)
        return index if index < len(ids) and ids[index] == blob else None


class ExtentChecks:
    """The checks of segments, and of the counts that are kept of what they reference."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._report = view.report
        self._chunks = set(view.log.chunk_numbers())
        self._frames: Counter[tuple[int, int]] = Counter()
        self._referenced: Counter[int] = Counter()
        self._blob_bytes = 0
        self._blobs: BlobCounts | None = None

    def run(self) -> None:
        """All of them."""
        self._view.each(
            "extent",
            "segment {1} belongs to inode {0}, which is no file or does not exist",
            "SELECT x.ino, x.segment FROM extent x LEFT JOIN inode i ON i.ino=x.ino"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 8",
        )
        self._view.each(
            "extent",
            "inode {0} says {1} bytes are allocated, its segments say {2}",
            "SELECT i.ino, i.allocated, coalesce(sum(x.allocated), 0) AS n FROM inode i"
            " LEFT JOIN extent x ON x.ino=i.ino GROUP BY i.ino HAVING i.allocated <> n",
        )
        blobs = self._blobs = BlobCounts(self._view)
        count = 0
        for row in self._view.segments():
            count += 1
            self._segment(blobs, *row)
        self._report.counts["segments"] = count
        self._chunk_references()
        self._blob_references(blobs)
        self._lost_bytes()
        self._report.counts["frames"] = len(self._frames)

    def _segment(
        self,
        blobs: BlobCounts,
        ino: int,
        number: int,
        allocated: int,
        encoded: bytes,
        chunk: int | None,
        size: int,
    ) -> None:
        where = f"segment {number} of inode {ino}"
        try:
            segment = ExtentMap.decode(encoded)
        except IndexDamaged as error:
            self._report.add("extent", f"{where}: {error.reason}")
            self._view.damaged_inodes.add(ino)
            return
        if number < 0 or number * SEGMENT_BYTES + segment.length > size:
            self._report.add("extent", f"{where} reaches past the file's size {size}")
        if segment.allocated != allocated:
            self._report.add(
                "extent", f"{where} says {allocated} bytes are allocated, it has {segment.allocated}"
            )
        lowest = segment.lowest_chunk()
        if lowest is not None and (chunk is None or chunk > lowest):
            told = "no chunk" if chunk is None else f"chunk {chunk}"
            self._report.add("extent", f"{where} says that it needs {told} at the lowest, it needs {lowest}")
        self._referenced.update(segment.references())
        problems = self._report.problem_count
        for start, extent in segment.placed():
            if isinstance(extent, ChunkRange):
                self._chunk_range(where, extent)
            elif isinstance(extent, BlobRange):
                self._blob_range(where, extent, blobs)
            elif isinstance(extent, Lost):
                self._view.add_lost(ino, number * SEGMENT_BYTES + start, extent.length)
        if self._report.problem_count > problems:
            self._view.damaged_inodes.add(ino)

    def _chunk_range(self, where: str, extent: ChunkRange) -> None:
        if extent.chunk == UNPLACED_CHUNK:
            return
        if extent.chunk not in self._chunks:
            self._report.add("extent", f"{where} points into chunk {extent.chunk}, which does not exist")
            return
        key = (extent.chunk, extent.frame)
        self._frames[key] += 1
        try:
            self._view.log.check_range(extent.chunk, extent.frame, extent.start, extent.length)
        except DataDamaged as error:
            self._report.add("extent", f"{where}: {error.facts}")

    def _blob_range(self, where: str, extent: BlobRange, blobs: BlobCounts) -> None:
        self._blob_bytes += extent.length
        position = blobs.position(extent.blob)
        if position is None:
            self._report.add("extent", f"{where} names blob {extent.blob}, which does not exist")
            return
        blobs.found[position] += 1
        if extent.start + extent.length > blobs.lengths[position]:
            self._report.add(
                "extent",
                f"{where} names bytes up to {extent.start + extent.length} of blob {extent.blob},"
                f" which has {blobs.lengths[position]}",
            )

    # --- accounts -----------------------------------------------------------------------------

    def _chunk_references(self) -> None:
        found = self._referenced
        found.pop(UNPLACED_CHUNK, None)
        noted: dict[int, int] = dict(self._view.query("SELECT number, referenced FROM chunk"))
        noted.pop(UNPLACED_CHUNK, None)
        for number in sorted(found.keys() | noted.keys()):
            if found[number] != noted.get(number, 0):
                self._report.add(
                    "chunk",
                    f"chunk {number} is noted with {noted.get(number, 0)} referenced bytes,"
                    f" extents name {found[number]}",
                )

    def _blob_references(self, blobs: BlobCounts) -> None:
        rows = self._view.query("SELECT id, refs FROM blob ORDER BY id")
        for (blob, noted), found in zip(rows, blobs.found, strict=True):
            if noted != found:
                self._report.add(
                    "blob", f"blob {blob} is noted with {noted} references, {found} extents name it"
                )
        noted = self._view.meta.get("referenced_bytes", 0)
        if noted != self._blob_bytes:
            self._report.add(
                "totals", f"referenced_bytes is noted as {noted}, extents name {self._blob_bytes} of blobs"
            )

    def _lost_bytes(self) -> None:
        noted, found = self._view.meta.get("lost_bytes", 0), self._report.lost_bytes
        if noted != found:
            self._report.add("totals", f"lost_bytes is noted as {noted}, extents have lost {found}")
        if self._report.lost_count:
            self._report.note(f"{found} bytes of files are lost, in {self._report.lost_count} ranges")
