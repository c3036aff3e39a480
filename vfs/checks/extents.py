"""What fsck looks at in the extents of files: each points at bytes that exist, and all are accounted for.

Memory: 16 bytes a blob, and the frames that extents point to. Never reads the bytes themselves.
"""

from collections import Counter

from vfs.checks.accounts import Accounts
from vfs.checks.view import View
from vfs.errors import DataDamaged, IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Lost
from vfs.limits import SEGMENT_BYTES

UNPLACED_CHUNK = 0
"""Stands for bytes that the replay of a check holds in memory: they have no place before a checkpoint."""


class ExtentChecks:
    """The checks of segments, and of the counts that are kept of what they reference."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._report = view.report
        self._chunks = set(view.log.chunk_numbers())
        self._frames: Counter[tuple[int, int]] = Counter()
        self.accounts: Accounts | None = None
        """What all maps name, once they were looked at."""

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
        accounts = self.accounts = Accounts(self._view.query)
        count = 0
        for row in self._view.segments():
            count += 1
            self._segment(accounts, *row)
        self._report.counts["segments"] = count
        self._chunk_references(accounts)
        self._blob_references(accounts)
        self._lost_bytes(accounts)
        self._report.counts["frames"] = len(self._frames)

    def _segment(
        self,
        accounts: Accounts,
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
            self._view.damaged_rows.add((ino, number))
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
        accounts.count(segment)
        problems = self._report.problem_count
        for start, extent in segment.placed():
            if isinstance(extent, ChunkRange):
                self._chunk_range(where, extent)
            elif isinstance(extent, BlobRange):
                self._blob_range(where, extent, accounts)
            elif isinstance(extent, Lost):
                self._view.add_lost(ino, number * SEGMENT_BYTES + start, extent.length)
        if self._report.problem_count > problems:
            self._view.damaged_rows.add((ino, number))

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

    def _blob_range(self, where: str, extent: BlobRange, accounts: Accounts) -> None:
        position = accounts.blobs.position(extent.blob)
        if position is None:
            self._report.add("extent", f"{where} names blob {extent.blob}, which does not exist")
            return
        length = accounts.blobs.lengths[position]
        if extent.start + extent.length > length:
            self._report.add(
                "extent",
                f"{where} names bytes up to {extent.start + extent.length} of blob {extent.blob},"
                f" which has {length}",
            )

    # --- accounts -----------------------------------------------------------------------------

    def _chunk_references(self, accounts: Accounts) -> None:
        found = accounts.chunks
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

    def _blob_references(self, accounts: Accounts) -> None:
        rows = self._view.query("SELECT id, refs FROM blob ORDER BY id")
        for (blob, noted), found in zip(rows, accounts.blobs.found, strict=True):
            if noted != found:
                self._report.add(
                    "blob", f"blob {blob} is noted with {noted} references, {found} extents name it"
                )
        noted = self._view.meta.get("referenced_bytes", 0)
        if noted != accounts.blob_bytes:
            self._report.add(
                "totals", f"referenced_bytes is noted as {noted}, extents name {accounts.blob_bytes} of blobs"
            )

    def _lost_bytes(self, accounts: Accounts) -> None:
        noted, found = self._view.meta.get("lost_bytes", 0), accounts.lost_bytes
        if noted != found:
            self._report.add("totals", f"lost_bytes is noted as {noted}, extents have lost {found}")
        if self._report.lost_count:
            self._report.note(f"{found} bytes of files are lost, in {self._report.lost_count} ranges")
