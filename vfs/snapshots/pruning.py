"""Pruning: rows of the index that only deleted snapshots and dropped trees showed go, beside live operations.

A row of `pruning` is a job: it says that a reader of a branch has gone. It is written in the transaction that
takes that reader away, and goes in the one that removes the last row which only that reader saw. So wherever
work is cut off, it goes on from the job. Promises that what any tree shows is the same before and after each
slice, and that a slice is bounded. Never removes a chunk or a pack: checkpoints and collections do.

Order of writes, and why:
1. the checkpoint that deletes a snapshot, or that has no longer a tree of a clone, takes its trees out of the
   index and puts the jobs in: one transaction. Were the job not in it, a cut would lose the space for good.
2. slices, one transaction each: rows go, and with them their references to chunks and blobs. Were these
   later, a cut would leave data that nothing names and nobody looks for; sooner, data could go that is named.
3. with the last slice of a job: the job goes; the branch as well, if nobody reads it any more, and a job for
   the branch that it forked from comes.
4. checkpoints remove chunks that nothing refers to any more, collections packs: as ever.

Why it is right beside everybody else:
- Checkpoints write rows of the present generation in branches of live trees, and take away what they replace
  themselves (`Transaction`). No slice runs while one is under way, so a slice sees all readers or none of
  those that one transaction brings: trees and jobs together.
- All readers are in the index: a clone is made of a snapshot that exists, and the checkpoint that deletes
  that snapshot has the clone, since from its beginning on (`DeleteSnapshots`) nobody finds the snapshot. So
  no record of the log that is younger than the index needs a row that a job may remove.
- A row that the packer has planned to swap may be gone: it swaps rows only where they are what was planned.
- A blob without references stays until a collection, and none can come to be referenced again but by those
  that a collection waits for (`collecting.py`).
- A rollback makes branches and removes no row. It happens between two slices.
"""

import logging
from collections import Counter
from time import monotonic
from typing import Any, NamedTuple

from vfs.backing.packed import PackedTransaction
from vfs.backing.prune_rows import Cursor, PruneRows, drop_jobs, end_branch, pruning_jobs
from vfs.backing.readers import Gap, Job, Readers
from vfs.backing.store import Store
from vfs.backing.transaction import Transaction
from vfs.collection import Collection
from vfs.errors import IndexDamaged, NoSpace, StoreFailed, VfsError
from vfs.packing import Packing
from vfs.references import References
from vfs.snapshots.sizes import log_bytes, stored_bytes

log = logging.getLogger("vfs")

SLICE_ROWS = 1000
SLICE_SECONDS = 0.02
"""What a checkpoint may have to wait for."""

LARGE_SLICE_ROWS = 20_000
LARGE_SLICE_SECONDS = 0.5
"""The same where nobody waits: fewer transactions."""


class Slice(NamedTuple):
    """What one slice did; it counts when its transaction is committed."""

    rows: int
    log_bytes: int
    blob_bytes: int
    ended_branches: list[int]
    gap: Gap | None
    """Where it ended, to go on there."""
    cursor: Cursor
    more: bool
    """Something is left to be done."""


class Prune:
    """Pruning under way: how far it is, and what came of it."""

    def __init__(self, *, most_rows: int, most_seconds: float) -> None:
        # constant
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        # mutable
        self.shown: frozenset[int] = frozenset()
        """Frozen trees that memory has: the index must have them, or it is another one than was thought."""
        self.rows = 0
        """That are gone."""
        self.bytes = 0
        """Of stored data that lost its last reference, about."""
        self.log_bytes = 0
        """The part of it that lies in the log, since memory followed the last time."""
        self.ended_branches: list[int] = []
        """Since memory followed the last time."""
        self._gap: Gap | None = None
        self._cursor = Cursor()

    def add(self, done: Slice) -> None:
        """The slice is committed."""
        self.rows += done.rows
        self.bytes += done.log_bytes + done.blob_bytes
        self.log_bytes += done.log_bytes
        self.ended_branches += done.ended_branches
        self._gap, self._cursor = done.gap, done.cursor

    def tell(self, report: Collection) -> Collection:
        """Put it into the report of the collection that it came before."""
        report.pruned_rows, report.pruned_bytes = self.rows, self.bytes
        return report

    def slice(self, transaction: Transaction) -> Slice:
        """Remove some rows."""
        until = monotonic() + self._most_seconds
        gap, cursor = self._gap, self._cursor
        references = References()
        rows = looked = in_log = 0
        ended: list[int] = []

        def take_out(encoded: bytes, kept: list[bytes]) -> None:
            nonlocal in_log
            in_log += log_bytes(references.take_out(encoded), kept)

        def is_enough(done: int) -> bool:
            return rows + looked + done >= self._most_rows or monotonic() >= until

        jobs = pruning_jobs(transaction) if self._is_as_thought(transaction) else []
        while jobs and (not looked or not is_enough(0)):  # at least a page, however slow all is
            readers = Readers.load(transaction.query)
            found, same = _next(readers, jobs)
            if found is not None:
                if found != gap:
                    gap, cursor = found, Cursor()
                pruned = PruneRows(transaction, readers, found, take_out)
                rest = pruned.work(cursor, is_enough)
                rows, looked = rows + pruned.rows, looked + max(1, pruned.looked)
                drop_jobs(transaction, same[1:])
                if rest is not None:
                    cursor = rest
                    continue
                gap = None
                if found.high is None and not found.low and end_branch(transaction, readers, found.branch):
                    ended.append(found.branch)
            drop_jobs(transaction, same[:1])
            jobs = pruning_jobs(transaction)
        references.write(transaction)
        in_packs = _unnamed_bytes(transaction, references.blobs)
        return Slice(rows, in_log, in_packs, ended, gap, cursor, bool(jobs))

    def _is_as_thought(self, transaction: Transaction) -> bool:
        return self.shown <= {number for (number,) in transaction.query("SELECT id FROM tree")}


def _next(readers: Readers, jobs: list[Job]) -> tuple[Gap | None, list[Job]]:
    """The gap of the first job, as its reader has it that has been gone for longest, and all its jobs."""
    job = jobs[0]
    gap = readers.gap(job.branch, job.gen)
    if gap is None:  # another reader of the same generation is there: with that one another job comes
        return None, [job]
    same = readers.jobs_in(gap, jobs)
    return gap._replace(gone=same[0].gen), same


def _unnamed_bytes(transaction: PackedTransaction, blobs: Counter[int]) -> int:
    """What those of the blobs take, as they are stored, that nothing refers to any more."""
    sql = (
        "SELECT b.length * 1.0 * k.stored / max(k.size, 1)"
        " FROM blob b JOIN block k ON k.id=b.block WHERE b.id=? AND b.refs=0"
    )
    total: float = sum(size for blob in blobs for (size,) in transaction.query(sql, (blob,)))
    return round(total)


class Pruning(Packing):
    """A store that lets go of what only deleted snapshots showed."""

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self._prune_look = True

    def end_checkpoint(self) -> None:
        """As before; it may have brought jobs."""
        super().end_checkpoint()
        self._prune_look = True

    @property
    def prune_due(self) -> bool:
        """True when there are rows to be looked for that nobody sees any more."""
        if self.read_only or self.failed is not None or not self._prune_look:
            return False
        self._prune_look = self.store.index.has_pruning_jobs()
        return self._prune_look

    def prune(self, work: Prune) -> None:
        """Remove all rows that nobody sees any more, here and now."""
        self.writable()
        more = True
        while more:
            self.begin_slice(work)
            more = self.run_slice(work)
            self.end_slice(work)

    def prune_what_can_be(self, work: Prune) -> None:
        """The same before a collection, which goes on without what cannot be pruned for want of room, or for
        damage."""
        try:
            self.prune(work)
        except (NoSpace, IndexDamaged) as error:
            log.warning("%s", not_pruned(error))

    # --- the steps, for a daemon that lets clients in between them ---------------------------

    def begin_prune(self, *, large: bool = False) -> Prune:
        """Any number of slices follow; `large`: such that take half a second, for when nobody waits."""
        if large:
            return Prune(most_rows=LARGE_SLICE_ROWS, most_seconds=LARGE_SLICE_SECONDS)
        return Prune(most_rows=SLICE_ROWS, most_seconds=SLICE_SECONDS)

    def begin_slice(self, work: Prune) -> None:
        """The owner's step. No checkpoint is under way, nor begins before `end_slice`."""
        if self.table.tracker.capture is not None:
            raise RuntimeError("rows are pruned between two checkpoints, never during one")
        work.shown = frozenset(tree.id for tree in self.table.trees if not tree.live)

    def run_slice(self, work: Prune) -> bool:
        """One slice, in any thread; False when all is done. After NoSpace and IndexUnwritten the index is as
        it was."""
        if self.failed is not None:
            raise StoreFailed(str(self.failed))
        with self.store.index.transaction() as transaction:
            done = work.slice(transaction)
        work.add(done)
        return done.more

    def end_slice(self, work: Prune) -> None:
        """Back in the owner's thread: memory follows."""
        self.table.trees.drop_branches(work.ended_branches)
        self._swapped_bytes += work.log_bytes  # so that a checkpoint comes, which removes chunks
        work.log_bytes, work.ended_branches = 0, []
        self._prune_look = True

    def estimate_prune(self, work: Prune) -> None:
        """Tell in `work.bytes` what would come of it; writes nothing, for any thread."""
        with self.store.index.checking(writable=False) as transaction:
            gaps = Readers.load(transaction.query).gaps_left(pruning_jobs(transaction))
            work.bytes = stored_bytes(transaction, gaps)


def not_pruned(error: VfsError) -> str:
    """What a log says when rows had to stay."""
    return f"rows of deleted snapshots stay for now: {error}"
