"""Bringing a tree in: data straight into packs, names into the log.

Promises that data does not go through the log, that memory stays small whatever the tree, and that each
file is there as a whole or not at all, wherever the import ends. Entries that cannot be brought in are
told, and the rest goes on. Passes and collections must not run meanwhile, but may between two batches.

Order of writes of a batch, and why:
1. its pack, as that of any pass (vfs/packing.py): T1, the file, T2. Its blobs have no references yet: were
   the import cut off here, the next collection drops them.
2. the records of its entries, which name those blobs. Were they before T2, a cut could leave a file whose
   data is not there. The checkpoint after them counts the references.
A file that is larger than a batch has no name until its last batch (`Planting.plant_unnamed`): a cut before
that, and recovery drops it.

Concurrency: `next_batch` runs in a worker thread, beside the owner's `Planter` with the batch before.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from vfs.backing.cutter import Cutter
from vfs.backing.orphans import withdraw
from vfs.backing.pack_session import PackSession
from vfs.backing.room import unit_bytes
from vfs.errors import FULL_DISK, IndexUnwritten, NoSpace, VfsError
from vfs.filesystem import FileSystem
from vfs.inode.runs import plan_write
from vfs.packing import PASS_BYTES, WORKERS
from vfs.paths import StrPath
from vfs.trees.ahead import Ahead, Stopped
from vfs.trees.items import FileEnd, Hole, Node, Problem, Skipped, SourceError
from vfs.trees.layout import Layout, Placed
from vfs.trees.planter import Plan, Planter
from vfs.trees.report import OnProgress, Report, Source
from vfs.unwritten import unwritten

log = logging.getLogger("vfs")

BATCH_ENTRIES = 4000
BATCH_EXTENTS = 20_000


class Batch(NamedTuple):
    """What the owner is to plant; all the blobs it names are in the index."""

    plans: list[Plan]


class Import:
    """One import: `next_batch` until it gives None, each batch planted in order; in any case `close`."""

    def __init__(self, fs: FileSystem, source: Source, report: Report, *, workers: int = WORKERS) -> None:
        # dependencies
        self._fs = fs
        self._report = report
        # constant
        self._workers = workers
        self._most_bytes = min(PASS_BYTES, unit_bytes(fs.store.storage.space().total_bytes))
        # mutable
        self.cancelled = False
        """Set by anyone who does not want to wait for the rest."""
        self._cutter = Cutter.of(fs.creation)
        self._ahead = Ahead(source, lambda: self.cancelled)
        self._items = iter(self._ahead)
        self._session: PackSession | None = None
        self._plans: list[Plan] = []
        self._raw_bytes = 0  # of this batch
        self._extents = 0  # of this batch
        self._ended = False  # the source has no more
        self._error: SourceError | None = None  # because of this
        # the file that is coming in
        self._node: Node | None = None
        self._layout = Layout()
        self._planned = False  # a part of it stands in an earlier plan

    def close(self) -> None:
        """No more batches. What the last one left goes."""
        self._ahead.close()
        self._give_up()

    # --- a batch ------------------------------------------------------------------------------

    def next_batch(self) -> Batch | None:
        """Read, cut, compress and make durable the next part of the source; None at its end.

        Any thread. After an error, or when it was cancelled (`Stopped`), there is no next one.
        """
        self._plans, self._raw_bytes, self._extents = [], 0, 0
        try:
            while not self._plans and not self._ended:
                self._fill()
            self._seal()
        except BaseException:
            self._give_up()
            raise
        if self._error is not None and not self._plans:
            raise self._error
        return Batch(self._plans) if self._plans else None

    def _fill(self) -> None:
        try:
            for item in self._items:
                self._take(item)
                if self.cancelled:
                    raise Stopped
                if (
                    self._raw_bytes >= self._most_bytes
                    or len(self._plans) >= BATCH_ENTRIES
                    or self._extents + len(self._layout.extents) >= BATCH_EXTENTS
                ):
                    break
            else:
                self._ended = True
        except SourceError as error:
            # What came before is whole: it is brought in first.
            self._error, self._ended = error, True
            if self._node is not None and self._planned:
                self._plans.append(Plan(self._node, void=True))
            self._node = None
        if self._node is not None:
            self._plan_part(whole=False)

    def _take(self, item: object) -> None:
        if isinstance(item, Node):
            if item.has_content:
                self._node, self._layout, self._planned = item, Layout(), False
            else:
                self._plans.append(Plan(item))
        elif isinstance(item, bytes):
            self._data(item)
        elif isinstance(item, Hole):
            self._layout.fill(item.length, 0)
        elif isinstance(item, FileEnd):
            self._end_of_file(item)
        elif isinstance(item, Problem):
            self._report.problem(item)
        elif isinstance(item, Skipped):
            self._report.skip(item)

    def _data(self, data: bytes) -> None:
        self._raw_bytes += len(data)
        self._report.figures.bytes += len(data)
        layout = self._layout
        for run in plan_write(data):
            if run.byte is not None:
                layout.fill(run.stop - run.start, run.byte)
                continue
            piece = data if run.stop - run.start == len(data) else data[run.start : run.stop]
            layout.data(len(piece))
            for blob in self._cutter.feed(piece):
                layout.blob(self._add(blob), len(blob))

    def _add(self, blob: bytes | memoryview) -> int:
        session = self._session
        if session is None:
            fs = self._fs
            session = self._session = PackSession(
                fs.store.storage,
                fs.store.superblock.uuid,
                fs.store.rows,
                fs.blobs,
                compression=fs.compression,
                block_bytes=fs.creation.block_bytes,
                workers=self._workers,
            )
        with unwritten(FULL_DISK):
            return session.add(blob)

    def _end_of_file(self, end: FileEnd) -> None:
        for blob in self._cutter.finish():
            self._layout.blob(self._add(blob), len(blob))
        node = self._node
        assert node is not None, "its node came before"
        if end.problem:
            self._report.problem(Problem(node.path, end.problem))
            if self._planned:
                self._plans.append(Plan(node, (), more=False, void=True))
        else:
            self._plan_part(whole=True)
        self._node = None

    def _plan_part(self, *, whole: bool) -> None:
        assert self._node is not None, "a file is coming in"
        extents: tuple[Placed, ...] = self._layout.take()
        self._extents += len(extents)
        if whole or extents:
            self._plans.append(Plan(self._node, extents, more=not whole))
            self._planned = True

    # --- its pack -----------------------------------------------------------------------------

    def _seal(self) -> None:
        if self._session is None:
            return
        with unwritten(FULL_DISK):
            sealed = self._session.seal()
        if sealed is not None:
            try:
                with self._fs.store.index.transaction() as transaction:
                    transaction.put_pack(sealed)
            except BaseException as error:
                self._session = None
                doubted = not isinstance(error, NoSpace)
                with _told():
                    withdraw(self._fs.store.storage, self._fs.store.index, sealed, doubted=doubted)
                raise
            self._report.figures.new_bytes += sum(blob.length for blob in sealed.blobs)
            self._report.figures.packed_bytes += sealed.size
        self._session = None

    def _give_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with _told():
                session.abandon()


def import_from(
    fs: FileSystem,
    source: Source,
    dest: StrPath = b"/",
    on_progress: OnProgress | None = None,
) -> Report:
    """Bring a tree into the folder `dest`, which is made where it is missing. See `open_source`.

    What was brought in before an error, or an interruption, stays, whole files only; the error has the
    report in its notes.
    """
    report = Report(source)
    planter = Planter(fs, os.fsencode(dest), report, in_order=source.in_order)
    work = Import(fs, source, report)
    automatic, fs.autopilot = fs.autopilot, False
    try:
        with ThreadPoolExecutor(1, "vfs-import") as worker:
            try:
                coming = worker.submit(work.next_batch)
                while (batch := coming.result()) is not None:
                    coming = worker.submit(work.next_batch)
                    for _ in planter.plant(batch.plans):
                        report.tell(on_progress)
                    report.tell(on_progress)
                    if fs.checkpoint_due:
                        # Nobody asked for it: a failure only puts it off.
                        with contextlib.suppress(NoSpace, IndexUnwritten):
                            fs.checkpoint()
                for _ in planter.finish():
                    pass
            finally:
                work.cancelled = True
        fs.sync()
    finally:
        work.close()
        planter.close()
        fs.autopilot = automatic
    return report


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A failure to tidy up is no news beside the failure that led there."""
    try:
        yield
    except (OSError, VfsError) as error:
        log.warning("what an unfinished import left is removed when the store is opened again: %s", error)
