"""What fsck looks at where trees meet: each clone is found under one name, in a tree that can be reached.

What leads from one tree into another is gathered while each is looked at (its tables are there then), and
compared when all were: those that are live with each other, and those of each snapshot. Memory grows with the
number of clones, not with files. Never repairs.
"""

from collections import defaultdict
from typing import NamedTuple

from vfs.backing.trees import Tree
from vfs.checks.view import View
from vfs.limits import ROOT_INO
from vfs.numbers import LOCAL_MASK, MAIN_TREE, TREE_SHIFT

_DIRECTORY_KIND = 4


class Crossing(NamedTuple):
    """An entry that leads into another tree: where it lies (as a reference from there), and what it says."""

    tree: Tree
    parent: int
    name: bytes
    reference: int
    kind: int


class TreeEdge(NamedTuple):
    """What of a tree is about others; trees that show the same rows have the same."""

    names: list[tuple[int, bytes, int, int]]
    """Entries that lead elsewhere: (parent, name, reference, kind)."""
    parent: int | None
    """Where its root says that it lies; None: there is no root."""


class CrossingChecks:
    """The checks of all trees with each other."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._names: dict[int, list[Crossing]] = defaultdict(list)  # snapshot or 0 -> what leads elsewhere
        self._parents: dict[int, int | None] = {}  # tree -> where its root says that it lies; None: no root
        self._where: dict[int, str] = {}

    def look(self, tree: Tree, where: str) -> TreeEdge:
        """Look at one tree, whose tables are there; `where` begins messages about it."""
        self._where[tree.id] = where
        rows = self._view.query("SELECT parent, name, ino, kind FROM entry WHERE ino>?", (LOCAL_MASK,))
        names = [row for row in list(rows) if self._is_inside(tree, row[0])]
        # One that was removed may still be held: it has no name, and the tree goes with it.
        sql = "SELECT parent FROM inode WHERE ino=? AND (nlink>0 OR ?)"
        found = list(self._view.query(sql, (tree.root, not tree.live)))
        strays = self._view.query(
            "SELECT ino, parent FROM inode WHERE parent>? AND ino<>?", (LOCAL_MASK, tree.root)
        )
        for ino, parent in list(strays):
            if tree.root == ROOT_INO or self._is_inside(tree, ino):
                self._tell(
                    "directory", tree, f"inode {ino} says it lies in {parent}, which is of another tree"
                )
        return TreeEdge(names, found[0][0] if found else None)

    def add(self, tree: Tree, where: str, edge: TreeEdge) -> None:
        """Note what was found of a tree."""
        self._where[tree.id] = where
        self._parents[tree.id] = edge.parent
        self._names[tree.snapshot] += [Crossing(tree, *name) for name in edge.names]

    def _is_inside(self, tree: Tree, directory: int) -> bool:
        """Whether a directory lies in the folder that the tree is a clone of, not in what was around it."""
        passed: set[int] = set()
        while tree.root != ROOT_INO and directory != tree.root:
            row = next(
                iter(list(self._view.query("SELECT parent FROM inode WHERE ino=?", (directory,)))), None
            )
            if row is None or directory in passed or directory == ROOT_INO or row[0] > LOCAL_MASK:
                return False
            passed.add(directory)
            directory = row[0]
        return True

    def _tell(self, kind: str, tree: Tree, message: str) -> None:
        self._view.tell_once(kind, self._where[tree.id], message)

    # --- when all were gathered ---------------------------------------------------------------

    def run(self) -> None:
        """Compare the trees that are seen together."""
        snapshots = {tree.snapshot for tree in self._view.trees}
        for snapshot in sorted(snapshots):
            self._together(
                {tree.source: tree for tree in self._view.trees if tree.snapshot == snapshot}, snapshot
            )

    def _together(self, trees: dict[int, Tree], snapshot: int) -> None:
        found: dict[int, list[Crossing]] = defaultdict(list)
        for crossing in self._names[snapshot]:
            target = self._target(crossing, trees)
            if target is not None:
                found[target.source].append(crossing)
        for source, tree in trees.items():
            if source != MAIN_TREE:
                self._names_of(tree, found[source])
        for tree in trees.values():
            self._reaches_main(tree, found)

    def _target(self, crossing: Crossing, trees: dict[int, Tree]) -> Tree | None:
        """The tree that it leads to."""
        source = (crossing.reference >> TREE_SHIFT) - 1
        target = trees.get(source)
        entry = f"entry {crossing.name!r} of directory {crossing.parent}"
        if target is None or source == crossing.tree.source:
            self._tell("entry", crossing.tree, f"{entry} leads into tree {source}, which is not there")
            return None
        if crossing.reference & LOCAL_MASK != target.root or crossing.kind != _DIRECTORY_KIND:
            self._tell("entry", crossing.tree, f"{entry} leads into tree {source}, but not to its root")
            return None
        return target

    def _names_of(self, tree: Tree, names: list[Crossing]) -> None:
        parent = self._parents[tree.id]
        if parent is None:
            if names:
                self._tell("entry", tree, "its root has a name, but it does not exist")
            return
        if len(names) != 1:
            self._tell("links", tree, f"its root {tree.root} has {len(names)} names instead of one")
        for name in names:
            lies = name.tree.source + 1 << TREE_SHIFT | name.parent
            if parent != lies:
                self._tell("directory", tree, f"its root says it lies in {parent}, its entry lies in {lies}")

    def _reaches_main(self, tree: Tree, found: dict[int, list[Crossing]]) -> None:
        passed: set[int] = set()
        at = tree
        while at.source != MAIN_TREE and found[at.source]:
            if at.id in passed:
                self._tell("directory", tree, "it cannot be reached from the root")
                return
            passed.add(at.id)
            at = found[at.source][0].tree
