"""Which frozen trees show the very same rows, so that one look is enough for all of them.

A branch in which nothing was written between two snapshots is the same in both, and so is what it forks from.
Promises that two trees are said to be alike only then. Reads the generations of rows, not the rows.
"""

from bisect import bisect_right
from typing import NamedTuple

from vfs.backing.trees import Tree
from vfs.checks.view import View
from vfs.numbers import TREE_SHIFT

_TABLES = (("inode", "ino"), ("entry", "parent"), ("extent", "ino"), ("xattr", "ino"))


class Shown(NamedTuple):
    """Trees that have the same show the same, to the last row."""

    source: int
    is_live: bool
    """One without a root is allowed, a frozen one is not: so they are looked at by themselves."""
    branch: int
    newest: int
    """The newest generation of rows that the tree sees of its own branch."""
    root: int


class Alike:
    """The generations in which something was written, branch by branch."""

    def __init__(self, view: View) -> None:
        found: dict[int, set[int]] = {}
        for table, column in _TABLES:
            sql = f"SELECT DISTINCT {column}>>{TREE_SHIFT}, gen FROM {table} WHERE gen>1"
            for branch, gen in view.query(sql):
                found.setdefault(branch, set()).add(gen)
        self._written = {branch: sorted(gens) for branch, gens in found.items()}

    def shown(self, tree: Tree) -> Shown:
        """What the tree shows."""
        gens = self._written.get(tree.branch, [])
        at = bisect_right(gens, tree.gen)
        return Shown(tree.source, tree.live, tree.branch, gens[at - 1] if at else 1, tree.root)
