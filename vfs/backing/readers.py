"""Who reads which branch of the index, and up to which generation: so which rows nobody sees.

A reader of a branch is a tree that lies on it (a live one sees all of it, a frozen one up to its generation),
or a branch that forks from it. A row is seen when some reader's limit lies at or above its generation and
below that of the next row of its key. Promises figures of one commit of the index. Never reads a row of a
file.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from vfs.backing.trees import LIVE, Branch
from vfs.errors import IndexDamaged
from vfs.numbers import LOCAL_MASK, MAIN_TREE, TREE_SHIFT


class Gap(NamedTuple):
    """Two readers of a branch between which there is none, and one that was there."""

    branch: int
    low: int
    """The largest reader below; 0: none. Rows of that generation or older are none of its business."""
    gone: int
    """The reader that is not there any more."""
    high: int | None
    """The smallest reader above; None: none, and whatever is younger than `low` is seen by nobody."""

    @property
    def base(self) -> int:
        """The first number of the branch's rows."""
        return self.branch << TREE_SHIFT

    @property
    def top(self) -> int:
        """The last number of the branch's rows."""
        return self.base | LOCAL_MASK


class Job(NamedTuple):
    """A row of `pruning`: a reader of the branch has gone, and what only it saw is to be looked for."""

    id: int
    branch: int
    gen: int


class Query(Protocol):
    """Asks the index; gives rows."""

    def __call__(self, sql: str, arguments: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Rows of any reading statement."""


class Readers:
    """The readers of all branches."""

    def __init__(self, trees: Iterable[tuple[int, int, int]], branches: Iterable[Branch]) -> None:
        """`trees`: (branch, gen, snapshot or 0) of each."""
        self.branches = {branch.id: branch for branch in branches}
        self._trees = list(trees)
        self._limits: dict[int, list[int]] = {}  # INVARIANT: sorted
        self._each: dict[int, list[tuple[int, int | None]]] = {}
        self._frozen: dict[int, list[tuple[int, int]]] = {}  # snapshot -> (branch, gen) of its trees
        for branch, gen, snapshot in self._trees:
            self._add(branch, gen, None)
            if snapshot:
                self._frozen.setdefault(snapshot, []).append((branch, gen))
        for fork in self.branches.values():
            if fork.parent is not None:
                self._add(fork.parent, fork.gen, fork.id)
        self._refuse_circles()

    @classmethod
    def load(cls, query: Query) -> "Readers":
        """Those of the index as the query sees it; IndexDamaged where they make no sense."""
        trees = list(query("SELECT branch, gen, snapshot FROM tree"))
        if not list(query("SELECT 1 FROM tree WHERE id=?", (MAIN_TREE,))):
            trees.append((0, LIVE, 0))  # it has no row before the first rollback
        branches = [Branch(*row) for row in query("SELECT id, parent, gen FROM branch")]
        if not all(type(value) is int for row in (*trees, *branches) for value in row):
            raise IndexDamaged("a tree or a branch is no row of numbers")
        return cls(trees, branches)

    def _add(self, branch: int, limit: int, fork: int | None) -> None:
        insort(self._limits.setdefault(branch, []), limit)
        self._each.setdefault(branch, []).append((limit, fork))

    def _refuse_circles(self) -> None:
        sound: set[int] = set()
        for branch in self.branches:
            passed: list[int] = []
            at: int | None = branch
            while at is not None and at not in sound:
                if at in passed:
                    raise IndexDamaged(f"branch {at} forks from itself")
                passed.append(at)
                fork = self.branches.get(at)
                at = None if fork is None else fork.parent
            sound.update(passed)

    def each(self, branch: int) -> list[tuple[int, int | None]]:
        """The readers of a branch: (limit, the branch that forks there, None for a tree)."""
        return self._each.get(branch, [])

    def levels(self, branch: int) -> list[tuple[int, int]]:
        """(branch, limit) of what a branch forks from, nearest first."""
        found: list[tuple[int, int]] = []
        fork = self.branches.get(branch)
        while fork is not None and fork.parent is not None:
            found.append((fork.parent, fork.gen))
            fork = self.branches.get(fork.parent)
        return found

    def hiding(self) -> list[int]:
        """Branches that may hide rows of those that they fork from: no tree sees all that they fork from."""
        return [
            fork.id
            for fork in self.branches.values()
            if fork.parent is not None and (fork.gen, None) not in self.each(fork.parent)
        ]

    def snapshots(self) -> list[int]:
        """The numbers of all snapshots that froze something."""
        return list(self._frozen)

    def of(self, branch: int) -> list[int]:
        """The limits of a branch's readers, in order."""
        return self._limits.get(branch, [])

    def gap(self, branch: int, gone: int) -> Gap | None:
        """Where a reader has gone; None while there is still one with the same limit."""
        limits = self.of(branch)
        at = bisect_left(limits, gone)
        high = limits[at] if at < len(limits) else None
        if high == gone:
            return None
        return Gap(branch, limits[at - 1] if at else 0, gone, high)

    def jobs_in(self, gap: Gap, jobs: Iterable[Job]) -> list[Job]:
        """Those that are about the same gap, the one that looks at most of it first."""
        high = LIVE + 1 if gap.high is None else gap.high
        found = [job for job in jobs if job.branch == gap.branch and gap.low < job.gen < high]
        return sorted(found, key=lambda job: (job.gen, job.id))

    def end(self, branch: int) -> Branch | None:
        """The branch is gone, and does no longer read the one that it forks from; None: there was none."""
        fork = self.branches.pop(branch, None)
        if fork is not None and fork.parent is not None:
            self._limits[fork.parent].remove(fork.gen)
            self._each[fork.parent].remove((fork.gen, branch))
        return fork

    # --- without some of them ---------------------------------------------------------------

    def gaps_without(self, snapshot: int) -> list[Gap]:
        """What would become of the branches if a snapshot went, and with it branches that it alone reads."""
        return self._gaps_after(self._frozen.get(snapshot, []))

    def without(self, snapshot: int) -> "Readers":
        """The others; branches that it alone reads are still there."""
        return Readers((tree for tree in self._trees if tree[2] != snapshot), self.branches.values())

    def forks_of(self, snapshot: int) -> list[int]:
        """Branches that fork from what a snapshot shows."""
        frozen = self._frozen.get(snapshot, [])
        return [fork.id for fork in self.branches.values() if (fork.parent, fork.gen) in frozen]

    def gaps_left(self, jobs: Iterable[Job]) -> list[Gap]:
        """The same for jobs that are to be done: their readers have gone already."""
        return self._gaps_after([(job.branch, job.gen) for job in jobs], there=False)

    def _gaps_after(self, gone: Iterable[tuple[int, int]], *, there: bool = True) -> list[Gap]:
        left: dict[int, list[int]] = {}

        def without(branch: int, limit: int) -> None:
            limits = left.setdefault(branch, list(self.of(branch)))
            at = bisect_right(limits, limit) - 1
            if at >= 0 and limits[at] == limit:
                del limits[at]

        waiting = list(gone)
        if there:
            for branch, limit in waiting:
                without(branch, limit)
        found: dict[tuple[int, int], Gap] = {}
        ended: set[int] = set()
        while waiting:
            branch, limit = waiting.pop()
            limits = left.get(branch, self.of(branch))
            at = bisect_left(limits, limit)
            high = limits[at] if at < len(limits) else None
            if high == limit:
                continue
            low = limits[at - 1] if at else 0
            before = found.get((branch, low))
            found[branch, low] = Gap(branch, low, min(limit, limit if before is None else before.gone), high)
            fork = self.branches.get(branch)
            if not limits and fork is not None and fork.parent is not None and branch not in ended:
                ended.add(branch)
                without(fork.parent, fork.gen)
                waiting.append((fork.parent, fork.gen))
        return list(found.values())
