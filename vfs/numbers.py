"""Numbers of inodes: which tree an inode is seen in, and which one it is there.

A number is `tree << 40 | local`. Local numbers come from one sequence for all trees, so a file has the same
one in the tree where it was made, in every snapshot of it and in every clone of those. Tree 0 is what is
mounted: its numbers are plain. Never knows which trees there are.
"""

TREE_SHIFT = 40
"""A million million inodes in a store, and four million trees."""

LOCAL_MASK = (1 << TREE_SHIFT) - 1

MAIN_TREE = 0
"""The tree that is mounted."""

LAST_TREE = 2**22 - 100
"""No tree or branch gets a number so high; some of those above stand for what is in no store."""

KERNEL_TREE = 2**22 - 2
"""Not of a tree: node ids that the mount gives to inodes whose own number the kernel may not use any more."""

SNAPSHOTS_TREE = 2**22 - 1
"""Not of a tree: the directory in which snapshots are found."""


def tree_of(number: int) -> int:
    """The tree that an inode is seen in."""
    return number >> TREE_SHIFT


def local_of(number: int) -> int:
    """Which inode of its tree it is."""
    return number & LOCAL_MASK


def number_of(tree: int, local: int) -> int:
    """The number of an inode in a tree."""
    return tree << TREE_SHIFT | local


SNAPSHOTS_INO = number_of(SNAPSHOTS_TREE, 1)
"""The directory in which snapshots are found."""
