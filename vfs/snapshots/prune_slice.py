"""One slice of pruning: what one transaction of the index removes, and where the next one goes on.

First jobs: what only readers saw that have gone. When there are none left, what branches hide of those that
they fork from (`hidden_rows.py`), once for each branch. Promises that references follow the rows in the same
transaction, and that each slice gets on, however slow all is. Never commits.
"""

from collections import Counter
from time import monotonic
from typing import NamedTuple

from vfs.backing.hidden_rows import HiddenRows, HidingCursor
from vfs.backing.packed import PackedTransaction
from vfs.backing.prune_rows import Cursor, PruneRows, RowRemover, drop_jobs, end_branch, pruning_jobs
from vfs.backing.readers import Gap, Job, Readers
from vfs.backing.transaction import Transaction
from vfs.references import References
from vfs.snapshots.sizes import log_bytes


class Place(NamedTuple):
    """Where a slice has ended."""

    gap: Gap | None
    cursor: Cursor
    """In that gap."""
    hiding: tuple[int, ...] | None
    """Branches of which it is still to be seen what they hide; None: all."""
    hiding_cursor: HidingCursor
    """In the first of them."""


BEGINNING = Place(None, Cursor(), None, HidingCursor())


class PruneSlice:
    """What one slice did; it counts when its transaction is committed."""

    def __init__(self, transaction: Transaction, place: Place, most_rows: int, most_seconds: float) -> None:
        # dependencies
        self._transaction = transaction
        # constant
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        # mutable
        self._references = References()
        self._looked = 0
        self._until = 0.0
        self.place = place
        self.rows = 0
        self.log_bytes = 0
        """Of the log, about, that lost their last reference; of packs the next one."""
        self.blob_bytes = 0
        self.ended_branches: list[int] = []
        self.more = False
        """Something is left to be done."""

    def run(self) -> None:
        """Remove some rows."""
        transaction = self._transaction
        readers = Readers.load(transaction.query)
        jobs: dict[int, list[Job]] = {}  # of each branch
        for job in pruning_jobs(transaction):
            jobs.setdefault(job.branch, []).append(job)
        self._until = monotonic() + self._most_seconds
        while jobs and self._goes_on():
            self._work_off(readers, jobs, next(iter(jobs)))
        if not jobs:
            if self.place.hiding is None:
                self.place = self.place._replace(hiding=tuple(readers.hiding()))
            while self.place.hiding and self._goes_on():
                self._look_behind(readers, self.place.hiding)
        self.more = bool(jobs or self.place.hiding)
        self._references.write(transaction)
        self.blob_bytes = _unnamed_bytes(transaction, self._references.blobs)

    def _work_off(self, readers: Readers, jobs: dict[int, list[Job]], branch: int) -> None:
        """Go on with the gap of a branch's first job."""
        transaction, place = self._transaction, self.place
        gap, same = _first_gap(readers, jobs[branch])
        if gap is None:
            self._count(0, 1)
        else:
            cursor = place.cursor if gap == place.gap else Cursor()
            remover = RowRemover(transaction, self._take_out)
            work = PruneRows(transaction.query, readers, gap, remover)
            rest = work.work(cursor, self._is_enough)
            self._count(remover.rows, work.looked)
            if rest is not None:
                self.place = place._replace(gap=gap, cursor=rest)
                return
            self.place = place._replace(gap=None)
            if gap.high is None and not gap.low:
                job = end_branch(transaction, readers, branch)
                if job is not None:
                    jobs.setdefault(job.branch, []).append(job)
                    self.ended_branches.append(branch)
        drop_jobs(transaction, same)
        done = set(same)  # of which there may be a hundred thousand
        jobs[branch] = [job for job in jobs[branch] if job not in done]
        if not jobs[branch]:
            del jobs[branch]

    def _look_behind(self, readers: Readers, hiding: tuple[int, ...]) -> None:
        """Go on with the first branch of those that hide."""
        remover = RowRemover(self._transaction, self._take_out)
        work = HiddenRows(self._transaction.query, readers, hiding[0], remover)
        rest = work.work(self.place.hiding_cursor, self._is_enough)
        self._count(remover.rows, work.looked)
        if rest is None:
            hiding = hiding[1:]
        self.place = self.place._replace(hiding=hiding, hiding_cursor=rest or HidingCursor())

    # --- how much ---------------------------------------------------------------------------

    def _count(self, rows: int, looked: int) -> None:
        self.rows += rows
        self._looked += max(1, looked)

    def _goes_on(self) -> bool:
        return not self._looked or not self._is_enough(0)

    def _is_enough(self, done: int) -> bool:
        return self.rows + self._looked + done >= self._most_rows or monotonic() >= self._until

    def _take_out(self, encoded: bytes, kept: list[bytes]) -> None:
        self.log_bytes += log_bytes(self._references.take_out(encoded), kept)


def _first_gap(readers: Readers, jobs: list[Job]) -> tuple[Gap | None, list[Job]]:
    """The gap that the first of a branch's jobs is about, with the oldest reader that has gone there, and all
    jobs that are about it."""
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
