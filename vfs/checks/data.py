"""fsck --data: every block of every pack, every blob's hash, and what the log holds of files, from the disk.

Promises to read as fast as all cores verify, with a bounded number of blocks in memory, and to go on after
each damage. What the page cache holds is dropped first where it can be, so that the disk itself is asked.

Threads: the caller's thread reads the index, the tables of packs and the maps, and takes the results; workers
read and verify one block or one range each, and touch nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from vfs.backing.chunks import ChunkReader, chunk_name
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry, PackRow, hash_begin, unsigned
from vfs.backing.shapes import check_rows
from vfs.checks.packs import SELECT_BLOCKS
from vfs.checks.reading import Readers
from vfs.checks.report import ProgressCall
from vfs.checks.sound import Part, read_whole, sound_parts_of_blob
from vfs.checks.view import RowKey, View, name_of_row
from vfs.errors import DataDamaged, IndexDamaged, PackDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import ChunkRange
from vfs.limits import MIB

MAPPED_CHUNKS = 8
"""Open at once by a check: a daemon that has one made has its own beside them."""


class Verdict(NamedTuple):
    """What is wrong with a block or a range."""

    problems: list[str]
    broken: dict[int, list[Part]]
    """Blobs of the block that are not right as a whole, with the parts that are."""


Job = Callable[[], Verdict]
"""Reads and verifies something."""


class DataCheck:
    """One reading of all data."""

    def __init__(self, view: View, packs: list[PackRow], progress: ProgressCall | None) -> None:
        self._view = view
        self._packs = packs
        self._progress = progress
        self._done_bytes = 0
        self._began = monotonic()
        chunks: int = view.one("SELECT sum(referenced) FROM chunk")
        self._total_bytes = sum(row.size for row in packs) + chunks

    def run(self) -> None:
        """Read and verify all of it."""
        with Readers() as readers:
            for row in self._packs:
                self._pack(readers, row)
            readers.finish()
            self._log(readers)
            readers.finish()
        self._view.report.data_bytes = self._done_bytes
        self._view.report.data_seconds = round(monotonic() - self._began, 3)
        self._tell()

    # --- the pieces of work -----------------------------------------------------------------

    def _pack(self, readers: Readers, row: PackRow) -> None:
        self._from_the_disk(f"{PACKS_FOLDER}/{row.name}")
        blobs: dict[int, list[BlobEntry]] = {}
        try:
            pack = PackFile.attach(self._view.storage, row.name, self._view.uuid)
            for entry in pack.blobs():
                blobs.setdefault(entry.block, []).append(entry)
        except PackDamaged:
            # Told by the checks of packs. Its blocks are still there, and the rows know how hashes begin.
            blobs = blobs_of_rows(self._view, row.id)
            try:
                pack = PackFile.attach(self._view.storage, row.name, self._view.uuid)
            except PackDamaged:
                return
        # As readers find them: a block without a row is waste that gc left in a damaged pack.
        for block in blocks_of_rows(self._view, row.id):
            pack.prefetch(block)
            job = _block_job(pack, block, blobs.get(block.id, []))
            readers.submit(job, self._taking(block.stored, self._noting_block(block)))
        # The pack is not closed here, but with the last job that reads from it.

    def _log(self, readers: Readers) -> None:
        reader = ChunkReader(self._view.storage, self._view.uuid, MAPPED_CHUNKS)
        for number in self._view.log.chunk_numbers():
            self._from_the_disk(chunk_name(number))
        for row, extent in self._ranges():
            job = _range_job(reader, extent, name_of_row(self._view, row))
            readers.submit(job, self._taking(extent.length, self._noting_row(row)))

    def _ranges(self) -> Iterator[tuple[RowKey, ChunkRange]]:
        for ino, number, gen, _, encoded, _, _ in self._view.segments():
            with suppress(IndexDamaged):  # told by the checks of extents
                segment = ExtentMap.decode(encoded)
                for extent in segment.cut(0, segment.length):
                    if isinstance(extent, ChunkRange) and extent.chunk:
                        yield (ino, number, gen), extent

    def _from_the_disk(self, name: str) -> None:
        with suppress(OSError):
            file = self._view.storage.open(name)
            file.drop_cache(0)
            file.close()

    # --- work under way -----------------------------------------------------------------------

    def _taking(self, size: int, damaged: Callable[[Verdict], None]) -> Callable[[Verdict], None]:
        def take(verdict: Verdict) -> None:
            for problem in verdict.problems:
                self._view.report.add("data", problem)
            if verdict.problems:
                damaged(verdict)
            before = self._done_bytes // (4 * MIB)
            self._done_bytes += size
            if self._done_bytes // (4 * MIB) != before:
                self._tell()

        return take

    def _noting_block(self, block: BlockEntry) -> Callable[[Verdict], None]:
        def note(verdict: Verdict) -> None:
            self._view.broken_blobs.update(
                (blob, (block.id, parts)) for blob, parts in verdict.broken.items()
            )
            self._view.add_sick(block.pack, verdict.problems[0])

        return note

    def _noting_row(self, row: RowKey) -> Callable[[Verdict], None]:
        return lambda verdict: self._view.damaged_rows.add(row)

    def _tell(self) -> None:
        if self._progress is not None:
            rate = self._done_bytes / max(monotonic() - self._began, 0.001) / 1e6
            total = max(self._total_bytes, self._done_bytes)  # shared ranges are read for each file
            self._progress(self._done_bytes, total, f"data at {rate:.0f} MB/s")


def blocks_of_rows(view: View, pack: int) -> list[BlockEntry]:
    """The blocks of a pack as the index has them, in the order in which they lie.

    Rows that cannot be are left out: the checks of rows have told them.
    """
    found = []
    for row in view.query(f"{SELECT_BLOCKS} WHERE pack=? ORDER BY offset", (pack,)):
        with suppress(IndexDamaged):
            check_rows("a block", [row])
            found.append(BlockEntry(*(*row[:6], unsigned(row[6]))))
    return found


def blobs_of_rows(view: View, pack: int) -> dict[int, list[BlobEntry]]:
    """The blobs in each block of a pack as the index has them; of their hashes only how they begin."""
    found: dict[int, list[BlobEntry]] = {}
    for number, prefix, block, offset, length in view.query(
        "SELECT b.id, b.prefix, b.block, b.offset, b.length FROM blob b JOIN block k ON k.id=b.block"
        " WHERE k.pack=?",
        (pack,),
    ):
        entry = BlobEntry(hash_begin(prefix), number, block, offset, length)
        found.setdefault(block, []).append(entry)
    return found


def _block_job(pack: PackFile, block: BlockEntry, blobs: list[BlobEntry]) -> Job:
    def verify() -> Verdict:
        state = read_whole(pack, block)
        parts = {entry.id: sound_parts_of_blob(pack, block, entry, state) for entry in blobs}
        broken = {entry.id: parts[entry.id] for entry in blobs if parts[entry.id] != [(0, entry.length)]}
        if state.data is None:
            return Verdict([state.reason], broken)
        where = f"in block {block.id} of pack {block.pack}"
        return Verdict([f"blob {blob} {where} is not what its hash says" for blob in broken], broken)

    return verify


def _range_job(reader: ChunkReader, extent: ChunkRange, where: str) -> Job:
    def verify() -> Verdict:
        try:
            reader.read(extent.chunk, extent.frame, extent.start, extent.length)
        except DataDamaged as error:
            return Verdict([f"{where}: {error.facts}"], {})
        return Verdict([], {})

    return verify
