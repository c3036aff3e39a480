"""Trees and branches: which rows of the index make up what is seen as one tree of files.

A *branch* is a line of rows: those whose numbers carry its id above bit 40. It forks from another one at a
generation and is read through: its own rows first, then that one's up to that generation. A *tree* is what is
seen: the live one that is mounted (0), a live clone, or one that a snapshot has frozen at its generation.
Promises that a number is translated to the row and back in one place. Never reads or writes rows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from vfs.backing.snapshot_names import is_snapshot_name
from vfs.errors import IndexDamaged, SnapshotError
from vfs.limits import CLONES, LAST_NUMBER, ROOT_INO
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

MOST_TOGETHER = 2 * CLONES
"""That are live, or of one snapshot: clones that are removed while in use are not counted as such."""

MOST_LEVELS_IN_ALL = 1_000_000
"""Of the chains of all trees: each takes a hundred bytes."""

MOST_GENERATION = 1 << 40
"""A clock that says it is later is damaged."""

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
        self._live: dict[int, Tree] = {}  # INVARIANT: those of `_trees` that can change
        self._frozen: dict[tuple[int, int], int] = {}  # (snapshot, source) -> tree
        self._through: dict[int, dict[int, None]] = {}  # base of a branch -> trees
        self._levels = 0
        """INVARIANT: the sum over the chains of all trees."""
        self._tails: dict[int, Chain] = {}  # branch -> what lies below it
        self._withheld: list[tuple[Snapshot, list[Tree]]] = []
        self._alone: str | None = None  # the snapshot that is shown in the place of all
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
        if loaded.generation > MOST_GENERATION:
            raise IndexDamaged(f"its clock says {loaded.generation}: so many snapshots were never taken")
        loaded.branches.update((branch.id, branch) for branch in branches)
        for snapshot in snapshots:
            if not is_snapshot_name(snapshot.name):
                raise IndexDamaged(f"snapshot {snapshot.id} has a name that none can have")
            loaded.snapshots[snapshot.name] = snapshot
        ids = {snapshot.id for snapshot in loaded.snapshots.values()}
        for tree in trees:
            loaded._check(tree, ids)
            loaded.put(tree)
        together = Counter(tree.snapshot for tree in loaded)
        if max(together.values()) > MOST_TOGETHER:
            raise IndexDamaged(f"more than {MOST_TOGETHER} trees are live, or of one snapshot")
        for snapshot in loaded.snapshots.values():
            if (snapshot.id, MAIN_TREE) not in loaded._frozen:
                raise IndexDamaged(f"snapshot {snapshot.id} has no tree")
        if len({tree.branch for tree in loaded.live()}) < len(loaded.live()):
            raise IndexDamaged("two live trees write to the same branch")
        loaded.next_id = max(meta.get("next_tree", 1), *(number + 1 for number in ids), 1)
        loaded.next_id = max(loaded.next_id, max(loaded.branches) + 1, max(loaded._trees) + 1)
        return loaded

    def _check(self, tree: Tree, snapshots: set[int]) -> None:
        """IndexDamaged where a tree would do harm to others, or cannot be shown."""
        what = f"tree {tree.id}"
        if tree.live:
            if tree.source != tree.id or tree.gen != LIVE:
                raise IndexDamaged(
                    f"{what} is live, but shows tree {tree.source} up to generation {tree.gen}"
                )
        elif tree.id == MAIN_TREE:
            raise IndexDamaged(f"{what} is of snapshot {tree.snapshot}, but it is the one that is mounted")
        elif tree.snapshot not in snapshots:
            raise IndexDamaged(f"{what} is of snapshot {tree.snapshot}, which does not exist")
        elif tree.gen >= self.generation:
            raise IndexDamaged(f"{what} is frozen at generation {tree.gen}, which is still to come")
        elif (tree.snapshot, tree.source) in self._frozen:
            raise IndexDamaged(f"{what} shows tree {tree.source}, as another one of the same snapshot does")
        if tree.source == MAIN_TREE and tree.root != ROOT_INO:
            raise IndexDamaged(f"{what} has its root at inode {tree.root}")

    def restrict(self, name: str) -> None:
        """Show a snapshot in the place of all that is live; KeyError when there is none of that name."""
        snapshot = self.snapshots[name].id
        self._alone = name
        shown = [tree for tree in self if tree.snapshot == snapshot]
        self._trees, self._live, self._frozen, self._through = {}, {}, {}, {}
        self.snapshots, self._levels = {}, 0
        for tree in shown:
            self.put(replace(tree, id=tree.source))

    def check_complete(self) -> None:
        """SnapshotError where one snapshot is shown in the place of all: the others are not known then."""
        if self._alone is not None:
            raise SnapshotError(
                f"only snapshot {self._alone!r} of the store is mounted; unmount it to see the others"
            )

    def absent(self, name: str) -> SnapshotError:
        """What to say of a snapshot that there is not."""
        self.check_complete()
        return SnapshotError(f"no snapshot is called {name!r}; list them with: vfs snapshot list")

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
        return list(self._live.values())

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
        return list(self._through.get(branch << TREE_SHIFT, ()))

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
        self._levels += len(tree.chain)
        if self._levels > MOST_LEVELS_IN_ALL:
            raise IndexDamaged("its snapshots and clones lie on too many branches")
        for level in tree.chain:
            self._through.setdefault(level.base, {})[tree.id] = None
        if tree.live:
            self._live[tree.id] = tree
        else:
            self._frozen[tree.snapshot, tree.source] = tree.id
        return tree

    def _chain(self, tree: Tree) -> Chain:
        if tree.branch not in self.branches:
            raise IndexDamaged(f"tree {tree.id} is of branch {tree.branch}, which does not exist")
        return (Level(tree.branch << TREE_SHIFT, tree.gen), *self._tail(tree.branch))

    def _tail(self, branch: int) -> Chain:
        """What shows below a branch; the levels are shared by all that fork there."""
        found = self._tails.get(branch)
        if found is not None:
            return found
        tail: list[Level] = []
        at = self.branches[branch]
        while at.parent is not None:
            below = self.branches.get(at.parent)
            if below is None:
                raise IndexDamaged(f"branch {at.id} forks from branch {at.parent}, which does not exist")
            if len(tail) >= MOST_LEVELS:
                raise IndexDamaged(f"more than {MOST_LEVELS} branches below branch {branch}")
            tail.append(Level(at.parent << TREE_SHIFT, at.gen))
            at = below
        self._tails[branch] = tuple(tail)
        return self._tails[branch]

    def need_room(self, trees: int, on: Chain) -> None:
        """SnapshotError unless so many more trees, or branches that fork from what `on` shows, may be."""
        levels = self._levels + trees * (len(on) + 1)
        if len(self._trees) + trees > MOST_TREES or levels > MOST_LEVELS_IN_ALL:
            raise SnapshotError(f"a store has at most {MOST_TREES:,} trees; delete snapshots or clones")
        if len(on) >= MOST_LEVELS:
            raise SnapshotError(
                f"{MOST_LEVELS:,} snapshots and rollbacks lie below it: it cannot be gone on with"
            )

    def drop(self, tree: int) -> None:
        """Forget a tree."""
        gone = self._trees.pop(tree)
        self._levels -= len(gone.chain)
        for level in gone.chain:
            del self._through[level.base][tree]
        if gone.live:
            del self._live[tree]
        else:
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
                self._tails.pop(branch, None)

    # --- translating ------------------------------------------------------------------------

    def chain(self, number: int) -> Chain:
        """Where the rows of an inode are looked for; nowhere when its tree is gone."""
        tree = self._trees.get(number >> TREE_SHIFT)
        return () if tree is None else tree.chain

    def chains(self) -> dict[int, Chain]:
        """Where rows of each live tree are written and looked for, as of this moment; in any thread."""
        return {tree.id: tree.chain for tree in self.live()}

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
        if source > LAST_TREE:
            raise IndexDamaged(f"a row leads to inode {reference}, which is of no tree")
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
