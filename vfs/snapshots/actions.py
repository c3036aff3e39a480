"""What is done to snapshots, each together with a checkpoint: its rows go into the checkpoint's transaction.

So a snapshot is the state of exactly one moment, `begin_checkpoint`, costs what changed since the last one,
and no record of the log ever meets a tree that it does not expect: replay begins where the index ends.

Order of writes: that of a checkpoint (`checkpoint.py`). What `write` adds is there with the commit or not at
all; memory follows in `end`, after it. A failed one has changed nothing, but for numbers that nobody uses.
"""

from collections.abc import Iterable
from typing import Protocol

from vfs.backing.snapshot_names import check_name
from vfs.backing.transaction import Transaction
from vfs.backing.trees import LIVE, Branch, Snapshot, Tree
from vfs.clock import now_ns
from vfs.errors import SnapshotError
from vfs.inode.table import InodeTable
from vfs.inode.totals import Totals
from vfs.limits import COMMENT_CHARACTERS
from vfs.numbers import MAIN_TREE
from vfs.snapshots.rolled_back import RolledBack, roll_back


class Action(Protocol):
    """What a checkpoint does beside bringing the index up to date."""

    def begin(self, table: InodeTable) -> None:
        """Owner, at the moment of the checkpoint. SnapshotError: it cannot be; nothing has changed."""

    def write(self, transaction: Transaction) -> None:
        """Any thread: add the rows."""

    def shows(self, snapshots: dict[int, str]) -> bool:
        """Whether these, names by number, are the snapshots of an index that has what was written."""

    def end(self, table: InodeTable) -> None:
        """Owner: it is committed."""


def known(table: InodeTable, name: str) -> Snapshot:
    """The snapshot of that name; SnapshotError when there is none."""
    found = table.trees.snapshots.get(name)
    if found is None:
        raise table.trees.absent(name)
    return found


class CreateSnapshot:
    """Freeze all live trees as they are."""

    snapshot: Snapshot

    def __init__(self, name: str, comment: str = "", *, automatic: bool = False) -> None:
        self._name = name
        self._comment = comment
        self._automatic = automatic
        self._trees: list[Tree] = []
        self._next_generation = 0
        self._next_id = 0

    def check(self, table: InodeTable) -> None:
        """SnapshotError when it cannot be made, as far as that is known before its moment."""
        check_name(self._name)
        if len(self._comment) > COMMENT_CHARACTERS:
            raise SnapshotError(f"a comment has at most {COMMENT_CHARACTERS} characters")
        if self._name in table.trees.snapshots:
            raise SnapshotError(f"a snapshot is called {self._name!r} already; choose another name")

    def begin(self, table: InodeTable) -> None:
        self.check(table)
        trees = table.trees
        live = trees.live()
        for tree in live:
            trees.need_room(len(live), tree.chain)
        self.snapshot = Snapshot(trees.take_id(), self._name, now_ns(), self._comment, int(self._automatic))
        self._trees = [self._frozen(table, tree) for tree in (MAIN_TREE, *table.clones())]
        self._next_generation = trees.generation + 1
        self._next_id = trees.next_id

    def _frozen(self, table: InodeTable, tree: int) -> Tree:
        trees, totals = table.trees, table.totals if tree == MAIN_TREE else Totals()
        found = trees.get(tree)
        assert found is not None, "it is live"
        return Tree(
            *(trees.take_id(), tree, self.snapshot.id, found.branch, trees.generation, found.root),
            *(totals.files, totals.directories, totals.logical_bytes),
        )

    def write(self, transaction: Transaction) -> None:
        transaction.put_snapshot(self.snapshot)
        transaction.put_trees(self._trees)
        transaction.put_meta({"generation": self._next_generation, "next_tree": self._next_id})

    def shows(self, snapshots: dict[int, str]) -> bool:
        return self.snapshot.id in snapshots

    def end(self, table: InodeTable) -> None:
        trees = table.trees
        trees.snapshots[self.snapshot.name] = self.snapshot
        for tree in self._trees:
            trees.put(tree)
        trees.generation = self._next_generation


class DeleteSnapshots:
    """Forget snapshots. What only they showed goes later, in slices (`pruning`).

    From its beginning on nobody finds them: a clone or a copy of what they show that was logged behind the
    checkpoint's moment would name rows that the index is about to be rid of.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(dict.fromkeys(names))
        self._snapshots: list[Snapshot] = []

    def begin(self, table: InodeTable) -> None:
        self._snapshots = [known(table, name) for name in self._names]
        # All at once: each look for what is in memory of a tree is one at all inodes there.
        table.evict_trees(
            {tree.id for snapshot in self._snapshots for tree in table.trees.of_snapshot(snapshot.id)}
        )
        for snapshot in self._snapshots:
            table.trees.withhold(snapshot)

    def write(self, transaction: Transaction) -> None:
        for snapshot in self._snapshots:
            transaction.drop_snapshot(snapshot.id)

    def shows(self, snapshots: dict[int, str]) -> bool:
        return not any(snapshot.id in snapshots for snapshot in self._snapshots)

    def end(self, table: InodeTable) -> None:
        table.trees.release()


class RenameSnapshot:
    """Give a snapshot another name."""

    def __init__(self, name: str, new_name: str) -> None:
        self._name = name
        self._new_name = new_name

    def begin(self, table: InodeTable) -> None:
        found = known(table, self._name)
        check_name(self._new_name)
        if self._new_name in table.trees.snapshots:
            raise SnapshotError(f"a snapshot is called {self._new_name!r} already; choose another name")
        self._snapshot = found._replace(name=self._new_name)

    def write(self, transaction: Transaction) -> None:
        transaction.put_snapshot(self._snapshot)

    def shows(self, snapshots: dict[int, str]) -> bool:
        return snapshots.get(self._snapshot.id) == self._new_name

    def end(self, table: InodeTable) -> None:
        del table.trees.snapshots[self._name]
        table.trees.snapshots[self._new_name] = self._snapshot


class Rollback:
    """Make all live trees what a snapshot holds, and keep what they were as a snapshot. No change may come
    between `begin` and `end`."""

    result: RolledBack

    def __init__(self, name: str, kept_as: str) -> None:
        self._name = name
        self._keep = CreateSnapshot(kept_as, f"before the rollback to {name}", automatic=True)
        self._live: list[tuple[Tree, Branch]] = []
        self._totals = Totals()
        self._next_id = 0

    def begin(self, table: InodeTable) -> None:
        snapshot = known(table, self._name)
        self._keep.begin(table)
        trees = table.trees
        for tree in trees.of_snapshot(snapshot.id):
            trees.need_room(1, tree.chain)
            branch = Branch(trees.take_id(), tree.branch, tree.gen)
            self._live.append((Tree(tree.source, tree.source, 0, branch.id, LIVE, tree.root), branch))
            if tree.source == MAIN_TREE:
                self._totals = Totals(tree.files, tree.directories, tree.logical_bytes)
        self._next_id = trees.next_id

    def write(self, transaction: Transaction) -> None:
        self._keep.write(transaction)
        main = [(tree, branch) for tree, branch in self._live if tree.id == MAIN_TREE]
        transaction.put_trees([tree for tree, _ in main])
        transaction.put_branches([branch for _, branch in main])
        transaction.put_clones([(tree, branch) for tree, branch in self._live if tree.id != MAIN_TREE])
        transaction.put_meta({**self._totals.to_meta(), "next_tree": self._next_id})

    def shows(self, snapshots: dict[int, str]) -> bool:
        return self._keep.shows(snapshots)

    def end(self, table: InodeTable) -> None:
        self._keep.end(table)
        for _, branch in self._live:
            table.trees.branches[branch.id] = branch
        kept_as = self._keep.snapshot.name
        self.result = roll_back(table, [tree for tree, _ in self._live], self._totals, kept_as)
