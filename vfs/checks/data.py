"""fsck --data: every block of every pack, every blob's hash, and what the log holds of files, from the disk.

Promises to read as fast as all cores verify, with a bounded number of blocks in memory, and to go on after
each damage. What the page cache holds is dropped first where it can be, so that the disk itself is asked.

Threads: the caller's thread reads the index, the tables of packs and the maps, and takes the results; workers
read and verify one block or one range each, and touch nothing else.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

from blake3 import blake3

from vfs.backing.chunks import ChunkReader, chunk_name
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry, PackRow, unsigned
from vfs.checks.packs import SELECT_BLOCKS
from vfs.checks.report import ProgressCall
from vfs.checks.view import View
from vfs.errors import DataDamaged, IndexDamaged, PackDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import ChunkRange
from vfs.limits import MIB

AHEAD = 4
"""Pieces of work for each worker that are under way or waiting."""

Job = Callable[[], list[str]]
"""Reads and verifies something; returns what is wrong."""


class DataCheck:
    """One reading of all data."""

    def __init__(self, view: View, packs: list[PackRow], progress: ProgressCall | None) -> None:
        self._view = view
        self._packs = packs
        self._progress = progress
        self._done_bytes = 0
        self._began = monotonic()
        self._waiting: deque[tuple[Future[list[str]], int, Callable[[], None]]] = deque()
        chunks: int = view.one("SELECT sum(referenced) FROM chunk")
        self._total_bytes = sum(row.size for row in packs) + chunks

    def run(self) -> None:
        """Read and verify all of it."""
        workers = max(2, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(workers, "fsck")
        self._most = AHEAD * workers
        try:
            for row in self._packs:
                self._pack(pool, row)
            self._take_all()
            self._log(pool)
            self._take_all()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self._view.report.data_bytes = self._done_bytes
        self._view.report.data_seconds = round(monotonic() - self._began, 3)
        self._tell()

    # --- the pieces of work -----------------------------------------------------------------

    def _pack(self, pool: ThreadPoolExecutor, row: PackRow) -> None:
        self._from_the_disk(f"{PACKS_FOLDER}/{row.name}")
        blobs: dict[int, list[BlobEntry]] = {}
        try:
            pack = PackFile.attach(self._view.storage, row.name, self._view.uuid)
            for entry in pack.blobs():
                blobs.setdefault(entry.block, []).append(entry)
        except PackDamaged:
            # Told by the checks of packs. Without its tables there are no hashes, but still its blocks.
            blobs.clear()
            try:
                pack = PackFile.attach(self._view.storage, row.name, self._view.uuid)
            except PackDamaged:
                return
        # As readers find them: a block without a row is waste that gc left in a damaged pack.
        rows = self._view.query(f"{SELECT_BLOCKS} WHERE pack=? ORDER BY offset", (row.id,))
        for block in [BlockEntry(*(*found[:6], unsigned(found[6]))) for found in rows]:
            pack.prefetch(block)
            job = _block_job(pack, block, blobs.get(block.id, []))
            self._submit(pool, job, block.stored, _noting(self._view.damaged_blocks, block.id))
        # The pack is not closed here, but with the last job that reads from it.

    def _log(self, pool: ThreadPoolExecutor) -> None:
        reader = ChunkReader(self._view.storage, self._view.uuid)
        for number in self._view.log.chunk_numbers():
            self._from_the_disk(chunk_name(number))
        for ino, number, extent in self._ranges():
            where = f"segment {number} of inode {ino}"
            job = _range_job(reader, extent, where)
            self._submit(pool, job, extent.length, _noting(self._view.damaged_inodes, ino))

    def _ranges(self) -> Iterator[tuple[int, int, ChunkRange]]:
        for ino, number, _, encoded, _, _ in self._view.segments():
            with suppress(IndexDamaged):  # told by the checks of extents
                segment = ExtentMap.decode(encoded)
                for extent in segment.cut(0, segment.length):
                    if isinstance(extent, ChunkRange) and extent.chunk:
                        yield ino, number, extent

    def _from_the_disk(self, name: str) -> None:
        with suppress(OSError):
            file = self._view.storage.open(name)
            file.drop_cache(0)
            file.close()

    # --- work under way -----------------------------------------------------------------------

    def _submit(self, pool: ThreadPoolExecutor, job: Job, size: int, damaged: Callable[[], None]) -> None:
        while len(self._waiting) >= self._most:
            self._take()
        self._waiting.append((pool.submit(job), size, damaged))

    def _take_all(self) -> None:
        while self._waiting:
            self._take()

    def _take(self) -> None:
        future, size, damaged = self._waiting.popleft()
        problems = future.result()
        for problem in problems:
            self._view.report.add("data", problem)
        if problems:
            damaged()
        before = self._done_bytes // (4 * MIB)
        self._done_bytes += size
        if self._done_bytes // (4 * MIB) != before:
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            rate = self._done_bytes / max(monotonic() - self._began, 0.001) / 1e6
            total = max(self._total_bytes, self._done_bytes)  # shared ranges are read for each file
            self._progress(self._done_bytes, total, f"data at {rate:.0f} MB/s")


def _noting(damaged: set[int], number: int) -> Callable[[], None]:
    return lambda: damaged.add(number)


def _block_job(pack: PackFile, block: BlockEntry, blobs: list[BlobEntry]) -> Job:
    def verify() -> list[str]:
        try:
            data = memoryview(pack.read_block(block))
        except PackDamaged as error:
            return [f"block {block.id}: {error.facts}"]
        return [
            f"blob {entry.id} in block {block.id} of pack {block.pack} is not what its hash says"
            for entry in blobs
            if blake3(data[entry.offset : entry.offset + entry.length]).digest() != entry.hash
        ]

    return verify


def _range_job(reader: ChunkReader, extent: ChunkRange, where: str) -> Job:
    def verify() -> list[str]:
        try:
            reader.read(extent.chunk, extent.frame, extent.start, extent.length)
        except DataDamaged as error:
            return [f"{where}: {error.facts}"]
        return []

    return verify
