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
from typing import Any

from vfs.backing.doomed_extents import doomed_extents
from vfs.backing.prune_rows import pruning_jobs
from vfs.backing.readers import Readers
from vfs.backing.store import Store
from vfs.backing.transaction import Transaction
from vfs.collection import Collection
from vfs.errors import IndexDamaged, NoSpace, StoreFailed, VfsError
from vfs.packing import Packing
from vfs.snapshots.prune_slice import BEGINNING, PruneSlice
from vfs.snapshots.sizes import stored_bytes

log = logging.getLogger("vfs")

SLICE_ROWS = 1000
SLICE_SECONDS = 0.02
"""What a checkpoint may have to wait for."""

LARGE_SLICE_ROWS = 20_000
LARGE_SLICE_SECONDS = 0.5
"""The same where nobody waits: fewer transactions."""


class Prune:
    """Pruning under way: how far it is, and what came of it."""

    def __init__(self, *, most_rows: int, most_seconds: float, hidden: bool = True) -> None:
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
        self._place = BEGINNING if hidden else BEGINNING._replace(hiding=())

    def slice(self, transaction: Transaction) -> PruneSlice:
        """Remove some rows. It counts when `add` is told of it, after the commit."""
        work = PruneSlice(transaction, self._place, self._most_rows, self._most_seconds)
        if self.shown <= {number for (number,) in transaction.query("SELECT id FROM tree")}:
            work.run()
        return work

    def add(self, done: PruneSlice) -> None:
        """The slice is committed."""
        self.rows += done.rows
        self.bytes += done.log_bytes + done.blob_bytes
        self.log_bytes += done.log_bytes
        self.ended_branches += done.ended_branches
        self._place = done.place

    def tell(self, report: Collection) -> Collection:
        """Put it into the report of the collection that it came before."""
        report.pruned_rows, report.pruned_bytes = self.rows, self.bytes
        return report


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

    def begin_prune(self, *, large: bool = False, hidden: bool = True) -> Prune:
        """Any number of slices follow.

        `large`: such that take half a second, for when nobody waits. `hidden`: look for what branches hide as
        well, which is a look at all rows of those that may hide something.
        """
        if large:
            return Prune(most_rows=LARGE_SLICE_ROWS, most_seconds=LARGE_SLICE_SECONDS, hidden=hidden)
        return Prune(most_rows=SLICE_ROWS, most_seconds=SLICE_SECONDS, hidden=hidden)

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
            doomed = (found for gap in gaps for found in doomed_extents(transaction.query, gap))
            work.bytes = stored_bytes(transaction, doomed)


def not_pruned(error: VfsError) -> str:
    """What a log says when rows had to stay."""
    return f"rows of deleted snapshots stay for now: {error}"
