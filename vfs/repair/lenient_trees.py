"""Clones in the records of a damaged log: which of them there can be, and which can be kept.

Promises that a clone is made only of what is there to be seen, and that nothing is done in a tree that is not
there. A clone in which a record makes no sense is doubtful: it cannot be kept, it would not be what it was.
"""

from collections.abc import Mapping

import msgspec

from vfs.backing.trees import Trees
from vfs.changes import AnyChange
from vfs.numbers import LOCAL_MASK, MAIN_TREE, tree_of
from vfs.repair.old_trees import TREES
from vfs.repair.plan import Plan
from vfs.tree_changes import Clone, DropTree

_NUMBERS = ("ino", "parent", "new_parent", "other_parent", "other_ino", "replaced")


class LenientTrees:
    """What a replay knows of trees. `first_branch`: what branch 0 of the records is called now."""

    def __init__(self, first_branch: int, unsound: Mapping[int, str], plan: Plan) -> None:
        self._first_branch = first_branch
        self._unsound = unsound
        self._plan = plan
        self.doubtful: dict[int, str] = {}
        """Clones that the next draft has to be made without, and why."""

    def is_about_nothing(self, change: AnyChange, trees: Trees) -> bool:
        """Whether a record is about a tree that is not there, or cannot change."""
        for number in _numbers(change):
            if number > LOCAL_MASK:
                tree = trees.get(tree_of(number))
                if tree is None or not tree.live:
                    return True
        return False

    def doubt(self, change: AnyChange, lsn: int) -> None:
        """A record cannot be applied: the clones that it is about are not what they were."""
        for number in _numbers(change):
            if number > LOCAL_MASK:
                why = f"record {lsn} of the log, which changes it, cannot be applied"
                self.doubtful.setdefault(tree_of(number), why)

    def clone(self, change: Clone, trees: Trees) -> Clone | None:
        """The record as it can be applied; None when the clone cannot be, or is there."""
        if change.tree in self._unsound:
            if trees.get(change.tree) is None:
                self._plan.add(TREES, f"clone {change.tree} goes: {self._unsound[change.tree]}")
            return None
        if trees.get(change.tree) is not None:
            return None
        branch = change.source_branch or self._first_branch
        is_there = any(
            (tree.branch, tree.gen) == (branch, change.source_gen) for tree in trees if not tree.live
        )
        if not is_there or change.branch in trees.branches:
            self._plan.add(TREES, f"clone {change.tree} goes: the snapshot that it began as is not there")
            return None
        return msgspec.structs.replace(change, source_branch=branch)

    def dropped(self, change: DropTree, trees: Trees) -> list[int]:
        """The trees that a record removes, as far as they are there."""
        numbers = [*change.inside, tree_of(change.root)]
        live = {tree.id for tree in trees.live()} - {MAIN_TREE}
        return [number for number in numbers if number in live]


def _numbers(change: AnyChange) -> list[int]:
    if isinstance(change, Clone):
        return [change.parent]
    if isinstance(change, DropTree):
        return []
    return [getattr(change, name, 0) for name in _NUMBERS]
