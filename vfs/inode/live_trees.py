"""The part of the inode table that is about trees: which are live, and those that come and go.

Promises that nothing stays in memory of a tree that is gone, and that the capture of a checkpoint knows the
trees of its moment. Never decides what may be cloned or dropped.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from vfs.backing.index import Index
from vfs.backing.trees import Branch, Chain, Tree, Trees
from vfs.inode.inode import Inode
from vfs.inode.lookups import LookupCounts
from vfs.inode.totals import Totals
from vfs.inode.tracker import Tracker
from vfs.numbers import LOCAL_MASK, MAIN_TREE, TREE_SHIFT, number_of, tree_of

LOOKS = 2000
"""Inodes that are looked at with one query: one by one they take three times as long, and each one hands the
interpreter to other threads."""


class LiveTrees:
    """The live trees of a table, and the inodes of theirs that are in memory."""

    tracker: Tracker
    _inodes: dict[int, Inode]
    _lookups: LookupCounts

    def _evict(self, inode: Inode) -> None:
        raise NotImplementedError

    def _begin_trees(self, index: Index, meta: dict[str, int]) -> None:
        self.index = index
        self.trees: Trees = index.trees
        shown = self.trees.get(MAIN_TREE)
        if shown is None or shown.live:
            self.totals = Totals.from_meta(meta)
        else:
            self.totals = Totals(shown.files, shown.directories, shown.logical_bytes)
        """Of the main tree."""
        self._untold = Totals()
        """Of clones: a clone of a folder would have to be counted to know."""
        self._clones: set[int] = set()
        self._rootless: set[int] = set()
        """Clones whose root was removed, and of which somebody may hold a file. They go with a checkpoint."""
        for tree in self.trees.live():
            if tree.id != MAIN_TREE:
                self._clones.add(tree.id)
                if index.inode(tree.root_ino) is None:
                    self._rootless.add(tree.id)

    def is_gone(self, number: int) -> bool:
        """Whether the number is one of a tree that does not exist."""
        return number > LOCAL_MASK and self.trees.get(number >> TREE_SHIFT) is None

    def totals_of(self, number: int) -> Totals:
        """What the tree of an inode holds in all."""
        return self.totals if number <= LOCAL_MASK else self._untold

    def changed_inodes(self) -> list[int]:
        """The inodes that the index does not have as they are, in trees that are there."""
        return [number for number in self.tracker.changed_inodes() if not self.is_gone(number)]

    def clones(self) -> list[int]:
        """The live trees but the main one, without those that have no name any more and are about to go."""
        return [tree for tree in self._clones if tree not in self._rootless and self._is_named(tree)]

    def _is_named(self, tree: int) -> bool:
        found = self.trees.get(tree)
        root = None if found is None else self._inodes.get(found.root_ino)
        return root is None or root.nlink > 0  # one without a name stays in memory while it is held

    def seeing(self, row: int) -> list[Inode]:
        """The inodes in memory that may be seen through rows of that number: one for each tree, at most."""
        if self.trees.plain:
            inode = self._inodes.get(row)
            return [] if inode is None else [inode]
        local = row & LOCAL_MASK
        numbers = (number_of(tree, local) for tree in self.trees.through(row >> TREE_SHIFT))
        return [self._inodes[number] for number in numbers if number in self._inodes]

    # --- coming and going -------------------------------------------------------------------

    def add_tree(self, tree: Tree) -> None:
        """A new live tree."""
        self.trees.put(tree)
        self.trees.next_id = max(self.trees.next_id, tree.id + 1, tree.branch + 1)
        self._clones.add(tree.id)

    def before_dropping(self, trees: Iterable[int]) -> None:
        """Live trees are about to go, and nothing of that is in the log yet: see `Tracker.before_logging`."""
        for tree in trees:
            self.tracker.capture_tree(tree)

    def drop_tree(self, tree: int) -> None:
        """A live tree goes with all that is in it, whoever holds something of it."""
        if tree in self._clones:
            self.tracker.drop_tree(tree)
            self.forget_tree(tree)

    def put_live(self, live: list[Tree], totals: Totals) -> None:
        """These are the live trees now, and what the main one holds in all. The caller dropped all others."""
        for tree in live:
            self.trees.put(tree)
        self.totals = totals
        self._clones = {tree.id for tree in live if tree.id != MAIN_TREE}
        self._rootless.clear()  # a snapshot has none

    def forget_tree(self, tree: int) -> None:
        """A tree is gone that nobody changes: so is what is in memory of it."""
        self.evict_trees((tree,))
        self.trees.drop(tree)
        self._clones.discard(tree)
        self._rootless.discard(tree)

    def evict_trees(self, trees: Collection[int]) -> None:
        """Forget what is in memory of trees that are going."""
        for inode in [inode for ino, inode in self._inodes.items() if ino >> TREE_SHIFT in trees]:
            inode.dropped = True
            self._evict(inode)

    def _root_dropped(self, inode: Inode) -> None:
        """An inode of another tree than the main one was dropped: when it is the root of a clone, that one is
        at its end."""
        tree = self.trees.get(inode.ino >> TREE_SHIFT)
        if tree is not None and tree.root_ino == inode.ino:
            self._rootless.add(tree.id)

    def make_up(self, inode: Inode) -> None:
        """Have an inode that is in no store, in place of the one with its number. It stays in memory."""
        before = self._inodes.get(inode.ino)
        inode.lookups, inode.opens = 0, 1
        if before is not None:
            inode.lookups, inode.opens = before.lookups, before.opens
            if before.directory is not None:
                before.directory.release()
        self._inodes[inode.ino] = inode

    def is_held(self, number: int) -> bool:
        """Whether the kernel knows an inode, or has it open."""
        inode = self._inodes.get(number)
        return number in self._lookups if inode is None else inode.held

    # --- after a rollback -------------------------------------------------------------------

    def known_numbers(self) -> Iterator[int]:
        """The inodes that somebody may know: those in memory, and those that the kernel was told of."""
        return chain(self._inodes, (number for number in self._lookups if number not in self._inodes))

    def knows(self, number: int) -> bool:
        """Whether an inode is one of these."""
        return number in self._inodes or number in self._lookups

    def look_at(self, numbers: list[int]) -> dict[int, Inode]:
        """Inodes of one tree as the index has them, without bringing them into memory, by number."""
        parts = (numbers[first : first + LOOKS] for first in range(0, len(numbers), LOOKS))
        rows = (row for part in parts for row in self.index.inode_rows(part))
        return {row[0]: Inode(row, persisted=True) for row in rows}

    def refresh(self, number: int, now: Inode) -> None:
        """A directory is another one now, with the same number: whoever holds it goes on."""
        inode = self._inodes.get(number)
        if inode is None:
            return
        now.lookups, now.opens, now.version = inode.lookups, inode.opens, inode.version + 1
        self._evict(inode)
        self._lookups.take(number)
        self._inodes[number] = now

    def read_at(self, number: int, time_ns: int) -> None:
        """A file is the same, but was read at another time: it stays with all that hangs on it."""
        inode = self._inodes.get(number)
        if inode is not None:
            inode.atime_ns = time_ns
            inode.version += 1

    def let_go(self, number: int) -> tuple[int, int]:
        """Forget an inode that the index has as it is; returns how often it was looked up and opened."""
        inode = self._inodes.get(number)
        opens = 0
        if inode is not None:
            opens = inode.opens
            inode.dropped = True
            self._evict(inode)
        return self._lookups.take(number), opens

    # --- checkpoints ------------------------------------------------------------------------

    def _begin_trees_capture(self) -> tuple[int, dict[int, Chain], list[tuple[Tree, Branch]]]:
        """Generation, chains and clones of this moment; clones without a root that nobody uses go."""
        held = (
            {tree_of(ino) for ino, inode in self._inodes.items() if inode.held} if self._rootless else set()
        )
        gone = self._rootless - held
        if gone:
            # Nothing of them is captured: the index may never have heard of one, and its rows would stay.
            self.tracker.keep_trees(lambda tree: tree not in gone)
        for tree in gone:
            self.forget_tree(tree)
        chains = self.trees.chains()
        clones = [tree for tree in self.trees.live() if tree.id != MAIN_TREE]
        branches = self.trees.branches
        return self.trees.generation, chains, [(tree, branches[tree.branch]) for tree in clones]
