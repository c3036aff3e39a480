"""Taking a tree out: the owner walks, threads read and decode ahead, one thread writes in order.

Promises bytes that are right or a problem in the report, and bounded memory: a batch of plans and a window
of data. Readers of the mount and the packer go on meanwhile.

Concurrency: `write` runs in a worker thread while the owner makes the next batch; two more threads read.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

from vfs.contents import ReadPlan
from vfs.errors import DataDamaged
from vfs.filesystem import FileSystem
from vfs.inode.extents import Extent, Lost, is_hole
from vfs.limits import MIB
from vfs.paths import StrPath
from vfs.trees.ahead import Stopped
from vfs.trees.items import Buffer, FileEnd, Hole, Item
from vfs.trees.report import OnProgress, Report
from vfs.trees.walk import Batch, Walk

READERS = 2
JOB_BYTES = MIB
JOB_EXTENTS = 64
JOBS_AHEAD = 12

Read = Buffer | DataDamaged


class Target(Protocol):
    """Where a tree goes to."""

    def take(self, item: Item) -> None:
        """The next item."""

    def finish(self) -> None:
        """There are no more, all is well."""

    def stop(self) -> None:
        """A step that waits for somebody ends soon, with an error. Any thread."""

    def close(self) -> None:
        """Let go, whether it was finished or not. What is half-way is removed."""


class Export:
    """The workers' part of one export."""

    def __init__(self, fs: FileSystem, target: Target, report: Report) -> None:
        self._fs = fs
        self._target = target
        self._report = report
        self._readers = ThreadPoolExecutor(READERS, "vfs-read")
        self._damage = ""  # of the file that is being written
        self._at = 0  # how far it is
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Set by anyone who does not want to wait for the rest."""
        return self._cancelled

    @cancelled.setter
    def cancelled(self, cancelled: bool) -> None:
        self._cancelled = cancelled
        if cancelled:
            self._target.stop()

    def write(self, batch: Batch) -> None:
        """Read all that the batch names and hand it to the target. Any thread, one batch after the other."""
        with closing(self._read_ahead(batch)) as data:
            for part in batch.parts:
                if self.cancelled:
                    raise Stopped
                if part.node is not None:
                    self._damage, self._at = "", 0
                    self._target.take(part.node)
                if part.offset > self._at:
                    self._target.take(Hole(part.offset - self._at))
                    self._at = part.offset
                for extent in part.extents:
                    if isinstance(extent, Lost):
                        self._damage = f"{extent.length} bytes at {self._at} of it are lost"
                    self._at += extent.length
                    if not _is_read(extent):
                        self._target.take(Hole(extent.length))
                        continue
                    read = next(data)
                    if isinstance(read, DataDamaged):
                        self._damage = str(read)
                        self._target.take(Hole(extent.length))
                    else:
                        self._report.figures.bytes += len(read)
                        self._target.take(read)
                self._damage = part.problem or self._damage
                if part.last and (part.node is None or part.node.has_content):
                    self._target.take(FileEnd(self._damage))

    def finish(self) -> None:
        """All batches were written."""
        self._target.finish()

    def close(self) -> None:
        """Let go of threads and target."""
        self.cancelled = True
        self._readers.shutdown(cancel_futures=True)
        self._target.close()

    def _read_ahead(self, batch: Batch) -> Generator[Read]:
        """The data of every extent of the batch that has some, in order."""
        coming: deque[Future[list[Read]]] = deque()
        try:
            for job in _jobs(batch):
                coming.append(self._readers.submit(self._read, job))
                if len(coming) > JOBS_AHEAD:
                    yield from coming.popleft().result()
            while coming:
                yield from coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()

    def _read(self, extents: list[Extent]) -> list[Read]:
        found: list[Read] = []
        for extent in extents:
            if self.cancelled:
                raise Stopped
            try:
                found.append(self._fs.run_read(ReadPlan([extent], extent.length)))
            except DataDamaged as error:
                found.append(error)
        return found


def _is_read(extent: Extent) -> bool:
    """Whether there is something to be read."""
    return not is_hole(extent) and not isinstance(extent, Lost)


def _jobs(batch: Batch) -> Iterator[list[Extent]]:
    job: list[Extent] = []
    size = 0
    for part in batch.parts:
        for extent in part.extents:
            if not _is_read(extent):
                continue
            job.append(extent)
            size += extent.length
            if size >= JOB_BYTES or len(job) >= JOB_EXTENTS:
                yield job
                job, size = [], 0
    if job:
        yield job


class Whole:
    """How far an export is: data moved, of all that the files of the store hold."""

    def __init__(self, fs: FileSystem, source: bytes) -> None:
        is_all = not source.strip(b"/.")
        self.total_bytes = fs.table.totals.logical_bytes if is_all else 0
        self.report: Report | None = None

    @property
    def done_bytes(self) -> int:
        """Bytes moved."""
        return 0 if self.report is None else self.report.figures.bytes


def begin_report(fs: FileSystem, source: bytes) -> Report:
    """The report of an export of the tree at that path."""
    whole = Whole(fs, source)
    whole.report = report = Report(whole)
    return report


TargetOpener = Callable[[Report], Target]


def export_to(
    fs: FileSystem,
    source: StrPath,
    open_target: TargetOpener,
    on_progress: OnProgress | None = None,
) -> Report:
    """Take the tree at `source` out, here and now."""
    path = os.fsencode(source)
    report = begin_report(fs, path)
    walk = Walk(fs, path, report)
    try:
        export = Export(fs, open_target(report), report)
    except BaseException:
        walk.close()
        raise
    try:
        with ThreadPoolExecutor(1, "vfs-export") as worker:
            try:
                writing: tuple[Future[None], Batch] | None = None
                for batch in walk.batches():
                    if batch is None:
                        continue
                    if writing is not None:
                        writing[0].result()
                        walk.done(writing[1])
                    report.tell(on_progress)
                    writing = (worker.submit(export.write, batch), batch)
                if writing is not None:
                    writing[0].result()
                export.finish()
                report.tell(on_progress)
            finally:
                export.cancelled = True
    finally:
        export.close()
        walk.close()
    return report
