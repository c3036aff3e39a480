"""The records of clones: a tree that begins as a snapshot, and one that goes as a whole.

A snapshot itself is no record: it is made together with a checkpoint (`snapshots.py`).
"""

from vfs.backing.trees import LIVE, Branch, Tree
from vfs.inode.table import InodeTable
from vfs.numbers import number_of, tree_of
from vfs.record_types import (
    BranchId,
    Change,
    Cookie,
    DataPlace,
    Generation,
    Ino,
    Links,
    Local,
    Name,
    Time,
    TreeId,
)


class Clone(Change, frozen=True, tag=15):
    """A new live tree, under a name, that sees what `source_branch` held at `source_gen`, from `root` on.

    `replaces`: the name leads to the clone that the source had there, of which this one is a clone.
    """

    parent: Ino
    name: Name
    cookie: Cookie
    tree: TreeId
    branch: BranchId
    source_branch: BranchId
    source_gen: Generation
    root: Local
    parent_nlink: Links
    time_ns: Time
    replaces: bool = False

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.trees.branches[self.branch] = Branch(self.branch, self.source_branch, self.source_gen)
        table.add_tree(Tree(self.tree, self.tree, 0, self.branch, LIVE, self.root))
        parent = table.get(self.parent)
        root = table.get(number_of(self.tree, self.root))
        if self.replaces:
            table.drop_entry(parent, self.name)
        table.put_entry(parent, self.name, root.ino, self.cookie, root.mode)
        # What lay there lies there still: neither it nor the folder has changed.
        table.move(root, parent.ino, root.ctime_ns if self.replaces else self.time_ns)
        root.entered = self.cookie
        if not self.replaces:
            table.stamp_directory(parent, self.time_ns, self.parent_nlink)


class DropTree(Change, frozen=True, tag=16):
    """A clone goes as a whole, with those that lie in it."""

    parent: Ino
    name: Name
    root: Ino
    inside: tuple[TreeId, ...]
    parent_nlink: Links
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        parent = table.get(self.parent)
        table.drop_entry(parent, self.name)
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        for tree in (*self.inside, tree_of(self.root)):
            table.drop_tree(tree)
