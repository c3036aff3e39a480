"""Clones in the namespace of the main tree while that is mended: each looks like an empty folder there.

Promises that a clone keeps its name where that can be, that one which has lost it goes to /lost+found like
any folder, and that it knows afterwards where it lies. Never looks into a clone.
"""

import stat
from typing import NamedTuple

from vfs.backing.index import Index
from vfs.backing.mending import Mending
from vfs.backing.transaction import InodeRow
from vfs.numbers import LOCAL_MASK, MAIN_TREE, TREE_SHIFT, tree_of
from vfs.repair.found import new_row

_PARENT, _LINKS = 12, 4
"""Where these stand in an InodeRow."""


class _Clone(NamedTuple):
    root: int
    """The number of its root."""
    reference: int
    """What an entry of the main tree calls it."""
    parent: int


class ClonesInPlace:
    """The live clones of a draft whose log was replayed, but those that lie in other clones."""

    def __init__(self, index: Index) -> None:
        self._clones: list[_Clone] = []
        self._moved: dict[int, int] = {}  # root -> directory
        trees = index.trees
        clones = {tree.id for tree in trees.live()} - {MAIN_TREE}
        for tree in trees.live():
            row = None if tree.id == MAIN_TREE else index.inode(tree.root_ino)
            if row is not None and tree_of(_number(row, _PARENT)) not in clones:
                reference = (tree.id + 1) << TREE_SHIFT | tree.root
                self._clones.append(_Clone(tree.root_ino, reference, _number(row, _PARENT) & LOCAL_MASK))

    def stand_in(self, mending: Mending) -> None:
        """Put a folder in the place of each."""
        for clone in self._clones:
            row = list(new_row(clone.reference, stat.S_IFDIR | 0o700, 0, 0, clone.parent))
            row[_LINKS] = 2
            mending.put_row(tuple(row))  # type: ignore[arg-type]

    def stand_down(self, mending: Mending) -> None:
        """Take these folders away, and note where they are now."""
        for clone in self._clones:
            row = mending.inode_row(clone.reference)
            if row is not None and _number(row, _PARENT) != clone.parent:
                self._moved[clone.root] = _number(row, _PARENT)
            mending.forget_inode(clone.reference)

    def follow(self, index: Index) -> None:
        """Tell the clones where they lie now."""
        rows = [(root, index.inode(root), parent) for root, parent in self._moved.items()]
        with index.transaction() as transaction:
            for _, row, parent in rows:
                assert row is not None, "it was there a moment ago"
                moved = (*row[:_PARENT], parent, *row[_PARENT + 1 :])
                transaction.put_inodes(iter([moved]))  # type: ignore[list-item]


def _number(row: InodeRow, place: int) -> int:
    value = row[place]
    assert isinstance(value, int), "all but the last of them are numbers"
    return value
