"""Trees and branches: which rows of the index make up what is seen as one tree of files.

A *branch* is a line of rows: those whose numbers carry its id above bit 40. It forks from another one at a
generation and is read through: its own rows first, then that one's up to that generation. A *tree* is what is
seen: the live one that is mounted (0), a live clone, or one that a snapshot has frozen at its generation.
Promises that a number is translated to the row and back in one place. Never reads or writes rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from vfs.errors import IndexDamaged, SnapshotError
from vfs.limits import LAST_NUMBER, ROOT_INO
from vfs.numbers import LAST_TREE, LOCAL_MASK, MAIN_TREE, SNAPSHOTS_INO, TREE_SHIFT

LOW_BITS = 62
"""A sum of sizes can be larger than an integer of SQLite, so it is stored in two parts."""

LIVE = LAST_NUMBER
"""The limit of a tree that sees its newest rows."""


def split_bits(total: int) -> tuple[int, int]:
    """A sum of sizes as it is stored: its low bits and the rest."""
    return total & ((1 << LOW_BITS) - 1), total >> LOW_BITS


def join_bits(low: int, high: int) -> int:
    """The sum that was stored so."""
    return (high << LOW_BITS) + low


class Level(NamedTuple):
    """Rows that a tree sees: those of the branch whose numbers begin at `base`, up to generation `limit`."""

    base: int
    limit: int


Chain = tuple[Level, ...]
"""What a tree sees, nearest first."""


MOST_LEVELS = 10_000
"""Branches that fork from each other in a row. Each costs whoever looks for what is not there a look-up."""

MOST_TREES = 100_000
"""Of all kinds: each takes half a kilobyte of memory, and more where chains are long."""

FIRST_CHAIN: Chain = (Level(0, LIVE),)
"""What the main tree sees before the first rollback."""


class Branch(NamedTuple):
    """A line of rows that forks from `parent` at `gen`; the first one from none."""

    id: int
    parent: int | None
    gen: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree. `source` is the live tree that a frozen one shows, its own id for a live one."""

    id: int
    source: int
    snapshot: int
    """Of which snapshot it is a part; 0: it is live."""
    branch: int
    gen: int
    """The newest generation that it sees; LIVE: all."""
    root: int
    """Its root directory, as local number."""
    files: int = 0
    directories: int = 0
    logical_bytes: int = 0
    chain: Chain = ()
    """INVARIANT: at least its own branch, then those that it forks from."""

    @property
    def live(self) -> bool:
        """Whether it can change."""
        return self.snapshot == 0

    @property
    def root_ino(self) -> int:
        """The number of its root directory."""
        return self.id << TREE_SHIFT | self.root


class Snapshot(NamedTuple):
    """A name for a generation. `created` in ns; `automatic`: made by a policy or a rollback."""

    id: int
    name: str
    created: int
    comment: str
    automatic: int


class Trees:
    """All trees and snapshots of a store, by number and by name."""

    def __init__(self) -> None:
        self.generation = 1
        """What rows are written with: it grows with each snapshot."""
        self.next_id = 1
        """No tree, branch or snapshot was ever called so or higher."""
        self.branches: dict[int, Branch] = {0: Branch(0, None, 0)}
        self.snapshots: dict[str, Snapshot] = {}
        self._trees: dict[int, Tree] = {}
        self._frozen: dict[tuple[int, int], int] = {}  # (snapshot, source) -> tree
        self._through: dict[int, list[int]] = {}  # base of a branch -> trees
        self._withheld: list[tuple[Snapshot, list[Tree]]] = []
        self.put(Tree(MAIN_TREE, MAIN_TREE, 0, 0, LIVE, ROOT_INO))

    @classmethod
    def load(
        cls,
        meta: dict[str, int],
        branches: Iterable[Branch],
        trees: Iterable[Tree],
        snapshots: Iterable[Snapshot],
    ) -> "Trees":
        """As the index has them; IndexDamaged where they contradict each other."""
        loaded = cls()
        loaded.generation = meta.get("generation", 1)
        loaded.next_id = meta.get("next_tree", 1)
        loaded.branches.update((branch.id, branch) for branch in branches)
        loaded.snapshots = {snapshot.name: snapshot for snapshot in snapshots}
        ids = {snapshot.id for snapshot in loaded.snapshots.values()}
        for tree in trees:
            if tree.snapshot and tree.snapshot not in ids:
                raise IndexDamaged(f"tree {tree.id} is of snapshot {tree.snapshot}, which does not exist")
            loaded.put(tree)
        for snapshot in loaded.snapshots.values():
            if (snapshot.id, MAIN_TREE) not in loaded._frozen:
                raise IndexDamaged(f"snapshot {snapshot.id} has no tree")
        return loaded

    def restrict(self, name: str) -> None:
        """Show a snapshot in the place of all that is live; KeyError when there is none of that name."""
        snapshot = self.snapshots[name].id
        shown = [tree for tree in self if tree.snapshot == snapshot]
        self._trees, self._frozen, self._through, self.snapshots = {}, {}, {}, {}
        for tree in shown:
            self.put(replace(tree, id=tree.source))

    @property
    def plain(self) -> bool:
        """Whether there is but the first branch, and nothing but the main tree sees it."""
        return len(self._trees) == 1 and self._trees[MAIN_TREE].chain == FIRST_CHAIN

    # --- looking ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Tree]:
        return iter(list(self._trees.values()))

    def get(self, tree: int) -> Tree | None:
        """The tree of that id."""
        return self._trees.get(tree)

    def live(self) -> list[Tree]:
        """The trees that can change."""
        return [tree for tree in self._trees.values() if tree.live]

    def of_snapshot(self, snapshot: int) -> list[Tree]:
        """The trees that a snapshot has frozen."""
        return [tree for tree in self._trees.values() if tree.snapshot == snapshot]

    def frozen(self, name: str) -> Tree | None:
        """The main tree as a snapshot has frozen it."""
        snapshot = self.snapshots.get(name)
        return None if snapshot is None else self._trees[self._frozen[snapshot.id, MAIN_TREE]]

    def frozen_of(self, snapshot: int, source: int) -> Tree | None:
        """A tree as a snapshot has frozen it."""
        found = self._frozen.get((snapshot, source))
        return None if found is None else self._trees[found]

    def through(self, branch: int) -> list[int]:
        """The trees that see rows of a branch."""
        return self._through.get(branch << TREE_SHIFT, [])

    # --- changing ---------------------------------------------------------------------------

    def take_id(self) -> int:
        """A number for a tree, branch or snapshot that was never used. SnapshotError when there is none."""
        if self.next_id > LAST_TREE:
            raise SnapshotError(
                "this store has had all the snapshots and clones that it can have; export it into a new one"
            )
        self.next_id += 1
        return self.next_id - 1

    def put(self, tree: Tree) -> Tree:
        """Add a tree, or put it in the place of the one with its id."""
        if tree.id in self._trees:
            self.drop(tree.id)
        tree = replace(tree, chain=self._chain(tree))
        self._trees[tree.id] = tree
        for level in tree.chain:
            self._through.setdefault(level.base, []).append(tree.id)
        if tree.snapshot:
            self._frozen[tree.snapshot, tree.source] = tree.id
        return tree

    def _chain(self, tree: Tree) -> Chain:
        chain: list[Level] = []
        at: int | None = tree.branch
        limit = tree.gen
        while at is not None:
            branch = self.branches.get(at)
            if branch is None or len(chain) > len(self.branches):
                raise IndexDamaged(f"tree {tree.id} is of branch {at}, which does not exist")
            chain.append(Level(at << TREE_SHIFT, limit))
            at, limit = branch.parent, branch.gen
        return tuple(chain)

    def drop(self, tree: int) -> None:
        """Forget a tree."""
        gone = self._trees.pop(tree)
        for level in gone.chain:
            self._through[level.base].remove(tree)
        if gone.snapshot:
            del self._frozen[gone.snapshot, gone.source]

    # --- snapshots that are about to go -----------------------------------------------------

    def withhold(self, snapshot: Snapshot) -> None:
        """Have the snapshot no longer, but for `restore`. Its trees must be unused."""
        trees = self.of_snapshot(snapshot.id)
        for tree in trees:
            self.drop(tree.id)
        del self.snapshots[snapshot.name]
        self._withheld.append((snapshot, trees))

    def release(self) -> None:
        """What is withheld is gone."""
        self._withheld = []

    def restore(self) -> None:
        """What is withheld stays."""
        for snapshot, trees in self._withheld:
            self.snapshots[snapshot.name] = snapshot
            for tree in trees:
                self.put(tree)
        self._withheld = []

    def drop_branches(self, branches: Iterable[int]) -> None:
        """Forget branches whose rows are gone, and which nothing reads."""
        for branch in branches:
            if not self.through(branch):
                self.branches.pop(branch, None)

    # --- translating ------------------------------------------------------------------------

    def chain(self, number: int) -> Chain:
        """Where the rows of an inode are looked for; nowhere when its tree is gone."""
        tree = self._trees.get(number >> TREE_SHIFT)
        return () if tree is None else tree.chain

    def chains(self) -> dict[int, Chain]:
        """Where rows of each live tree are written and looked for, as of this moment; in any thread."""
        return {tree.id: tree.chain for tree in self if tree.live}

    def row_number(self, number: int) -> int:
        """What an inode is called in the rows of its tree's own branch."""
        return self._trees[number >> TREE_SHIFT].chain[0].base | number & LOCAL_MASK

    def to_row(self, tree: int, number: int) -> int:
        """How a row of a tree refers to an inode: by its local number, or across to another tree."""
        other = number >> TREE_SHIFT
        if other == tree:
            return number & LOCAL_MASK
        found = self._trees.get(other)
        return (other if found is None else found.source) + 1 << TREE_SHIFT | number & LOCAL_MASK

    def from_row(self, tree: int, reference: int) -> int:
        """The number of the inode that a row refers to, as it is seen from a tree."""
        other = reference >> TREE_SHIFT
        if not other:
            return tree << TREE_SHIFT | reference
        source = other - 1
        snapshot = self._trees[tree].snapshot
        if snapshot and tree != source:
            source = self._frozen.get((snapshot, source), source)
        return source << TREE_SHIFT | reference & LOCAL_MASK

    def parent_from_row(self, number: int, reference: int) -> int:
        """`from_row` for the directory that an inode lies in: the root of a snapshot lies among snapshots."""
        tree = number >> TREE_SHIFT
        parent = self.from_row(tree, reference)
        if parent == number and tree != MAIN_TREE and not self._trees[tree].live:
            return SNAPSHOTS_INO
        return parent
