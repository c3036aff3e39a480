"""All trees of a store, looked at one after the other: the main one, clones, then what snapshots froze.

Promises that each tree is looked at as it shows itself, in time that grows with the trees and what they show,
and in memory that does not: what one tree sees is put into TEMP tables (`seen.py`). Never repairs.
"""

from collections.abc import Callable, Iterator

from vfs.backing.trees import Tree, Trees
from vfs.checks.crossings import CrossingChecks
from vfs.checks.extents import ExtentChecks
from vfs.checks.namespace import NamespaceChecks
from vfs.checks.seen import SeenTables
from vfs.checks.view import View
from vfs.numbers import MAIN_TREE

NextCall = Callable[[str], None]
"""Told which tree comes."""


def check_everything(view: View, tell: NextCall) -> None:
    """Names, inodes and files of all trees of a store with a history; what maps name is counted once."""

    def look(names: NamespaceChecks) -> None:
        names.entries()
        names.directories()
        names.links()
        names.contents()
        names.attributes()
        names.totals()

    crossings = CrossingChecks(view)
    _look(view, look, tell, crossings)
    crossings.run()


def check_contents(view: View) -> ExtentChecks:
    """Only the extents of all files, and what they say of their size: of any store."""
    if view.plain:
        extents = ExtentChecks(view)
        extents.run()
        NamespaceChecks(view).contents()
        return extents
    return _look(view, NamespaceChecks.contents, lambda name: None, None)


def _look(
    view: View, look: Callable[[NamespaceChecks], None], tell: NextCall, crossings: CrossingChecks | None
) -> ExtentChecks:
    seen = SeenTables(view.transaction)
    extents = ExtentChecks(view, seen.add_ends)
    tell("extents")
    extents.run()
    seen.begin()
    for tree, name in named_trees(view.trees):
        tell(name or "the main tree")
        seen.show(tree)
        where = f"in {name}: " if name else ""
        look(NamespaceChecks(view, tree, where))
        if crossings is not None:
            crossings.gather(tree, where)
    seen.end()
    return extents


def named_trees(trees: Trees) -> Iterator[tuple[Tree, str]]:
    """Each tree with what to call it, the main one nothing: live ones, then snapshots, the newest first."""
    for tree in sorted(trees.live(), key=lambda tree: tree.id):
        yield tree, "" if tree.id == MAIN_TREE else f"clone {tree.id}"
    for snapshot in sorted(trees.snapshots.values(), reverse=True):
        for tree in sorted(trees.of_snapshot(snapshot.id), key=lambda tree: tree.source):
            clone = "" if tree.source == MAIN_TREE else f"clone {tree.source} of "
            yield tree, f"{clone}snapshot {snapshot.name!r}"
