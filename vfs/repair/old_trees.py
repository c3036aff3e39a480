"""Snapshots and clones of an old index: which of them can be kept, and why the others go.

Promises that one is kept only if every row that it sees is as it was written: where a row is missing, or had
to be changed, an older one might show in its place. What goes is said, one line each. Never reads the rows of
the namespace.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from itertools import pairwise
from typing import Any

from vfs.backing.history import History
from vfs.backing.mending import Mending
from vfs.backing.readers import Readers
from vfs.backing.salvage import OldRows
from vfs.backing.shapes import sound_rows
from vfs.backing.snapshot_names import is_snapshot_name
from vfs.backing.trees import (
    LIVE,
    MOST_GENERATION,
    MOST_LEVELS,
    MOST_LEVELS_IN_ALL,
    MOST_TOGETHER,
    MOST_TREES,
    Branch,
    Chain,
    Level,
    Snapshot,
    Tree,
    join_bits,
)
from vfs.limits import ROOT_INO
from vfs.numbers import LAST_TREE, MAIN_TREE, TREE_SHIFT
from vfs.repair.plan import Plan

TREES = "snapshots and clones"
_NOT_SAID = -1
MOST_CANDIDATES = 1000
"""Branches that are looked at to find that of the main tree."""


class OldTrees:
    """The trees of an old index, then those of the new one."""

    def __init__(self, rows: OldRows | None, meta: Mapping[str, int], plan: Plan) -> None:
        self._plan = plan
        self._tails: dict[int, Chain | None] = {}
        self.branches: dict[int, Branch] = {0: Branch(0, None, 0)}
        self.trees: dict[int, Tree] = {}
        """All but the main one."""
        self.snapshots: dict[int, Snapshot] = {}
        self._main_branch = _NOT_SAID
        numbers = [0]
        if rows is not None:
            for table in sorted(
                rows.missing & {"branch", "snapshot", "tree"} if meta.get("schema", 1) > 2 else ()
            ):
                self._plan.add(TREES, f"the table {table} is missing: what only it told is lost")
            numbers += self._branches(rows)
            numbers += self._snapshots(rows)
            numbers += self._trees(rows)
        noted = meta.get("next_tree", 1)
        self.next_id = max(noted if noted <= LAST_TREE else 1, *(number + 1 for number in numbers))
        clock = meta.get("generation", 1)
        frozen = (tree.gen + 1 for tree in self.trees.values() if not tree.live)
        self.generation = max(clock if clock <= MOST_GENERATION else 1, *frozen, 1)
        self._clock = self.generation
        cloned = {tree.branch for tree in self.trees.values() if tree.live}
        self._unexplained = bool(self.branches.keys() - cloned - {0})
        self._uncertain = (
            self._main_branch == _NOT_SAID
            and rows is not None
            and not self.trees
            and bool(rows.lost_pages or "tree" in rows.missing)
        )
        self.first_branch = 0
        """What branch 0 is called in the new index."""
        self.main_chain = self._main_chain(max(self._main_branch, 0))
        self._put_chains()
        self._only_whole_snapshots()
        together = Counter(tree.snapshot for tree in self.trees.values())
        crowds = {snapshot for snapshot, count in together.items() if count >= MOST_TOGETHER}
        crowd = [tree.id for tree in self.trees.values() if tree.snapshot in crowds]
        self.drop(crowd, f"there are more than {MOST_TOGETHER} trees together")

    # --- reading ------------------------------------------------------------------------------

    def _branches(self, rows: OldRows) -> Iterator[int]:
        for row in sound_rows("a branch", _first(rows.rows("branch"), LAST_TREE)):
            branch = Branch(*row)
            self.branches.setdefault(branch.id, branch)
            yield branch.id

    def _snapshots(self, rows: OldRows) -> Iterator[int]:
        names: set[str] = set()
        found = sound_rows("a snapshot", _first(rows.rows("snapshot"), MOST_TREES))
        for snapshot in sorted(Snapshot(*row) for row in found):
            name = snapshot.name
            if not is_snapshot_name(name) or name in names:
                name = f"snapshot-{snapshot.id}"
                while name in names:
                    name += "-again"
                shown = repr(snapshot.name)[:80]
                self._plan.add(TREES, f"no snapshot can be called {shown}: it becomes {name}")
            names.add(name)
            self.snapshots[snapshot.id] = snapshot._replace(name=name)
            yield snapshot.id

    def _trees(self, rows: OldRows) -> Iterator[int]:
        known: set[tuple[int, int]] = set()
        found = sound_rows("a tree", _first(rows.rows("tree"), MOST_TREES))
        if len(found) > MOST_TREES:
            self._plan.add(TREES, f"there are more than {MOST_TREES:,}: all of them go")
            return
        branches: set[int] = {0}  # that live trees write to
        for row in found:
            tree = Tree(*(*row[:8], join_bits(row[8], row[9])))
            yield tree.id
            key = (tree.snapshot, tree.source)
            if tree.id == MAIN_TREE:
                if tree.live and tree.root == ROOT_INO:
                    self._main_branch = tree.branch
            elif key in known or not self._can_be(tree) or (tree.live and tree.branch in branches):
                self._plan.add(TREES, f"tree {tree.id} cannot be: it goes")
            else:
                known.add(key)
                branches |= {tree.branch} if tree.live else set()
                self.trees[tree.id] = tree

    def _can_be(self, tree: Tree) -> bool:
        if tree.source == MAIN_TREE and tree.root != ROOT_INO:
            return False
        return (tree.source, tree.gen) == (tree.id, LIVE) if tree.live else tree.gen <= MOST_GENERATION

    def _main_chain(self, branch: int) -> Chain:
        found = self._chain(branch, LIVE)
        if found is None:
            self._plan.add(
                TREES, f"what branch {branch} forks from is lost: only what was written there is left"
            )
        return found or (Level(branch << TREE_SHIFT, LIVE),)

    @property
    def layered(self) -> bool:
        """Whether older rows may show in the place of newer ones."""
        return self._clock > 1

    def choose_main(self, history: History) -> None:
        """Where it is lost which branch is that of the main tree: the last one that is not of a clone."""
        if not self._uncertain:
            return
        for branch in sorted(self.branches, reverse=True)[:MOST_CANDIDATES]:
            chain = self._chain(branch, LIVE)
            if chain is not None and not any(
                history.has_roots_of_clones(base >> TREE_SHIFT, limit) for base, limit in chain
            ):
                self.main_chain = chain
                self._main_branch = branch
                self._plan.add(TREES, f"which branch the tree is on is lost: branch {branch} is taken for it")
                return

    @property
    def rolled_back(self) -> bool:
        """Whether the main tree was, or may have been, made what it had been before."""
        return self._main_branch > 0 or self._unexplained

    def _chain(self, branch: int, limit: int) -> Chain | None:
        if branch not in self._tails:
            self._tails[branch] = self._tail(branch)
        tail = self._tails[branch]
        return None if tail is None else (Level(branch << TREE_SHIFT, limit), *tail)

    def _tail(self, branch: int) -> Chain | None:
        tail: list[Level] = []
        at = self.branches.get(branch)
        while at is not None and len(tail) <= MOST_LEVELS:
            if at.parent is None:
                return tuple(tail)
            tail.append(Level(at.parent << TREE_SHIFT, at.gen))
            at = self.branches.get(at.parent)
        return None

    def _put_chains(self) -> None:
        unknown: list[int] = []
        levels = 0
        for tree in list(self.trees.values()):
            chain = self._chain(tree.branch, tree.gen)
            if chain is None or levels + len(chain) > MOST_LEVELS_IN_ALL:
                unknown.append(tree.id)
            else:
                levels += len(chain)
                self.trees[tree.id] = replace(tree, chain=chain)
        self.drop(unknown, "of its branch, or of one that this forks from, nothing is known")

    # --- dropping -----------------------------------------------------------------------------

    def _only_whole_snapshots(self) -> None:
        """A snapshot is all its trees, and one of them is that of the main one."""
        whole = {tree.snapshot for tree in self.trees.values() if tree.source == MAIN_TREE}
        self._drop_snapshots(self.snapshots.keys() - whole, "its tree is lost")
        self.trees = {
            tree.id: tree for tree in self.trees.values() if tree.live or tree.snapshot in self.snapshots
        }

    def _drop_snapshots(self, numbers: Set[int], why: str) -> None:
        """Snapshots go with all their trees."""
        for number in sorted(numbers):
            snapshot = self.snapshots.pop(number, None)
            if snapshot is not None:
                self._plan.add(TREES, f"snapshot {snapshot.name} goes: {why}")
        self.trees = {tree.id: tree for tree in self.trees.values() if tree.snapshot not in numbers}

    def drop(self, numbers: Iterable[int], why: str) -> None:
        """These trees go."""
        found = [self.trees[number] for number in numbers if number in self.trees]
        for tree in found:
            if tree.live:
                del self.trees[tree.id]
                self._plan.add(TREES, f"clone {tree.id} goes: {why}")
        self._drop_snapshots({tree.snapshot for tree in found if not tree.live}, why)

    def drop_all(self, why: str) -> None:
        """There are no snapshots and no clones any more."""
        self.drop(list(self.trees), why)

    def drop_seeing(self, altered: Mapping[int, int]) -> None:
        """All go that see rows which are not as they were: branch -> the oldest generation of such rows."""
        seeing = [
            tree.id
            for tree in self.trees.values()
            if any(altered.get(base >> TREE_SHIFT, LIVE + 1) <= limit for base, limit in tree.chain)
        ]
        self.drop(seeing, "rows that it sees are damaged")

    # --- the new index ------------------------------------------------------------------------

    def renumber(self) -> None:
        """Leave branch 0 to the main tree; without others the clock begins anew."""
        if not self.trees:
            self.branches, self.generation = {}, 1
            return
        used = {base >> TREE_SHIFT for tree in self.trees.values() for base, _ in tree.chain}
        self.branches = {number: branch for number, branch in self.branches.items() if number in used}
        new = self.first_branch = self.next_id
        self.next_id += 1
        others = [branch for number, branch in self.branches.items() if number]
        self.branches = {new: Branch(new, 0, 0)}  # before anything was written there
        for branch in others:
            old = branch.parent == 0 and branch.gen > 0
            self.branches[branch.id] = branch._replace(parent=new) if old else branch
        for tree in list(self.trees.values()):
            self.trees[tree.id] = replace(tree, branch=tree.branch or new, chain=())

    def write(self, transaction: Mending) -> None:
        """Put the rows of what is kept into the index, and have all that nobody sees any more looked for."""
        transaction.put_branches(list(self.branches.values()))
        transaction.put_trees(list(self.trees.values()))
        for snapshot in self.snapshots.values():
            transaction.put_snapshot(snapshot)
        transaction.put_meta({"generation": self.generation, "next_tree": self.next_id})
        trees = ((tree.branch, tree.gen, tree.snapshot) for tree in self.trees.values())
        readers = Readers(trees, self.branches.values())
        for branch in self.branches:
            limits = sorted({*readers.of(branch), LIVE + 1})
            for low, high in pairwise([0, *limits]):
                if low + 1 < high:
                    transaction.put_job(branch, high - 1)


def _first(rows: Iterable[Any], most: int) -> list[Any]:
    """So many of them: no honest index has more."""
    found = []
    for row in rows:
        found.append(row)
        if len(found) > most:
            break
    return found
