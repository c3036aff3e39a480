"""What differs between two states, asked of an open store: `diff` for a library, its steps for a daemon.

Promises that what is now means everything that was answered before. Beside clients: bring the index up to
date, `begin_diff` in the owner's thread, `run_diff` in any, `end_diff` in the owner's again. Never holds
anybody up: the thread reads one commit of the index on a connection of its own, and the epoch that it is in
keeps all data that this commit names.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from vfs.backing.index_view import IndexView
from vfs.contents import ReadPlan
from vfs.errors import SnapshotError
from vfs.inode.extents import Extent
from vfs.snapshots.diff import Difference, compare
from vfs.snapshots.sides import default_other, is_about_now
from vfs.snapshots.snapshotting import Snapshotting


class DiffPlan(NamedTuple):
    """A comparison that was begun."""

    old: str
    new: str
    epoch: int


class Diffing(Snapshotting):
    """Comparisons of snapshots, clones and what is now."""

    replayed_records: int

    def diff(self, old: str, new: str | None = None) -> Iterator[Difference]:
        """The differences between two folders, ordered by path.

        NAME is a snapshot, NAME:sub/dir a folder of it, / what is now, /sub/dir a folder of that or a clone.
        Without `new` a snapshot is compared with the same folder as it is now. Raises SnapshotError, NoEntry
        and NotADirectory for what does not exist.
        """
        if self.diff_needs_now(old, new):
            self.checkpoint()
        plan = self.begin_diff(old, new)
        try:
            return iter(self.run_diff(plan))
        finally:
            self.end_diff(plan)

    @property
    def index_is_now(self) -> bool:
        """Of a store that is read-only: whether nothing stands in its log alone."""
        return not self.replayed_records

    def diff_needs_now(self, old: str, new: str | None) -> bool:
        """Whether the index must be brought up to date first. An error when that cannot be."""
        if not is_about_now(old, new):
            return False
        if self.failed is not None:
            raise self.failed
        if not self.read_only:
            return True
        if not self.index_is_now:
            raise SnapshotError(
                "what is now stands in the log alone, which a read-only store keeps as it is; mount it"
                " writable once, or compare two snapshots"
            )
        return False

    def begin_diff(self, old: str, new: str | None) -> DiffPlan:
        """First step, after a checkpoint where it is needed."""
        return DiffPlan(old, new or default_other(old), self.epochs.enter())

    def run_diff(self, plan: DiffPlan, on_step: Callable[[], None] = lambda: None) -> list[Difference]:
        """The work, in any thread. `on_step` is called now and then, and may raise to end it."""
        index = self.store.index
        with index.checking(writable=False) as transaction:
            rows = IndexView(transaction, index.shown)
            return compare(rows, plan.old, plan.new, self._read_extents, on_step)

    def end_diff(self, plan: DiffPlan) -> None:
        """Last step."""
        self.end_read(ReadPlan([], 0, plan.epoch))

    def _read_extents(self, extents: list[Extent]) -> bytes | memoryview:
        return self.run_read(ReadPlan(extents, 0))
