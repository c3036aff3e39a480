"""What fsck looks at in the extents of files: each points at bytes that exist, and all are accounted for.

Memory: 16 bytes a blob, and the frames that extents point to. Never reads the bytes themselves.
"""

from collections import Counter
from collections.abc import Callable

from vfs.checks.accounts import Accounts
from vfs.checks.view import RowKey, View, name_of_row
from vfs.errors import DataDamaged, IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Lost
from vfs.limits import SEGMENT_BYTES

UNPLACED_CHUNK = 0
"""Stands for bytes that the replay of a check holds in memory: they have no place before a checkpoint."""


MOST_ENDS = 1000
"""Noted at a time."""

EndsCall = Callable[[list[tuple[int, int, int, int]]], None]


class ExtentChecks:
    """The checks of segments, and of the counts that are kept of what they reference.

    Each row of a map is looked at and counted once, whoever sees it. `ends`: told (ino, segment, generation,
    end) of each, some at a time, for a store with a history; without it the file's size is looked at here.
    """

    def __init__(self, view: View, ends: EndsCall | None = None) -> None:
        self._view = view
        self._report = view.report
        self._ends = ends
        self._chunks = set(view.log.chunk_numbers())
        self._frames: Counter[tuple[int, int]] = Counter()
        self.accounts: Accounts | None = None
        """What all maps name, once they were looked at."""

    def run(self) -> None:
        """All of them."""
        accounts = self.accounts = Accounts(self._view.query)
        count = 0
        ends: list[tuple[int, int, int, int]] = []
        for ino, number, gen, allocated, encoded, chunk, size in self._view.segments():
            count += 1
            row = (ino, number, gen)
            segment = self._segment(accounts, row, allocated, encoded, chunk)
            if segment is None:
                continue
            end = number * SEGMENT_BYTES + segment.length
            if self._ends is None:
                if number < 0 or end > size:
                    self._report.add("extent", f"{self._name(row)} reaches past the file's size {size}")
            elif segment.length:
                ends.append((*row, end))
                if len(ends) >= MOST_ENDS:
                    self._ends(ends)
                    ends = []
        if self._ends is not None:
            self._ends(ends)
        self._report.counts["segments"] = count
        self._chunk_references(accounts)
        self._blob_references(accounts)
        self._lost_bytes(accounts)
        self._report.counts["frames"] = len(self._frames)

    def _name(self, row: RowKey) -> str:
        return name_of_row(self._view, row)

    def _segment(
        self, accounts: Accounts, row: RowKey, allocated: int, encoded: bytes, chunk: int | None
    ) -> ExtentMap | None:
        where = self._name(row)
        try:
            segment = ExtentMap.decode(encoded)
        except IndexDamaged as error:
            self._report.add("extent", f"{where}: {error.reason}")
            self._view.damaged_rows.add(row)
            return None
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
                self._view.add_lost(row, row[1] * SEGMENT_BYTES + start, extent.length)
        if self._report.problem_count > problems:
            self._view.damaged_rows.add(row)
        return segment

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
