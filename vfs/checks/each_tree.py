"""All trees of a store, looked at one after the other: the main one, clones, then what snapshots froze.

Promises that each tree is looked at as it shows itself, in time that grows with the trees and what they show,
and in memory that does not: what one tree sees is put into TEMP tables (`seen.py`). Never repairs.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from vfs.backing.trees import Tree, Trees
from vfs.checks.alike import Alike, Shown
from vfs.checks.crossings import CrossingChecks, TreeEdge
from vfs.checks.extents import ExtentChecks
from vfs.checks.namespace import NamespaceChecks
from vfs.checks.seen import SeenTables
from vfs.checks.view import View
from vfs.numbers import MAIN_TREE

NextCall = Callable[[str], None]
"""Told which tree comes."""


class Turn(NamedTuple):
    """A tree whose turn it is."""

    tree: Tree
    where: str
    """How messages about it begin."""
    shown: Shown
    is_new: bool
    """Whether its tables are there; else they were, for one that shows the same."""


def check_everything(view: View, tell: NextCall) -> None:
    """Names, inodes and files of all trees of a store with a history; what maps name is counted once."""
    crossings = CrossingChecks(view)
    found: dict[Shown, tuple[dict[str, int], TreeEdge]] = {}
    seen = SeenTables(view.transaction)
    tell("extents")
    ExtentChecks(view, seen.add_ends).run()
    for tree, where, shown, is_new in _turns(view, seen, tell):
        names = NamespaceChecks(view, tree, where)
        if is_new:
            names.entries()
            names.directories()
            names.links()
            names.contents()
            names.attributes()
            found[shown] = names.counted(), crossings.look(tree, where)
        counted, edge = found[shown]
        names.totals(counted)
        crossings.add(tree, where, edge)
    crossings.run()


def check_contents(view: View) -> ExtentChecks:
    """Only the extents of all files, and what they say of their size: of any store."""
    if view.plain:
        extents = ExtentChecks(view)
        extents.run()
        NamespaceChecks(view).contents()
        return extents
    seen = SeenTables(view.transaction)
    extents = ExtentChecks(view, seen.add_ends)
    extents.run()
    for tree, where, _, is_new in _turns(view, seen, lambda name: None):
        if is_new:
            NamespaceChecks(view, tree, where).contents()
    return extents


def _turns(view: View, seen: SeenTables, tell: NextCall) -> Iterator[Turn]:
    alike = Alike(view)
    known: set[Shown] = set()
    seen.begin()
    for tree, name in named_trees(view.trees):
        tell(name or "the main tree")
        shown = alike.shown(tree)
        is_new = shown not in known
        if is_new:
            known.add(shown)
            seen.show(tree)
        yield Turn(tree, f"in {name}: " if name else "", shown, is_new)
    seen.end()


def named_trees(trees: Trees) -> Iterator[tuple[Tree, str]]:
    """Each tree with what to call it, the main one nothing: live ones, then snapshots, the newest first."""
    for tree in sorted(trees.live(), key=lambda tree: tree.id):
        yield tree, "" if tree.id == MAIN_TREE else f"clone {tree.id}"
    for snapshot in sorted(trees.snapshots.values(), reverse=True):
        for tree in sorted(trees.of_snapshot(snapshot.id), key=lambda tree: tree.source):
            clone = "" if tree.source == MAIN_TREE else f"clone {tree.source} of "
            yield tree, f"{clone}snapshot {snapshot.name!r}"
