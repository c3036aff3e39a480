"""What fsck looks at in branches, trees and snapshots themselves: they name each other, and no number twice.

What would keep a store from being opened is refused there (`Trees.load`, `Readers`) and told as damage of the
index: a tree of no branch or snapshot, a name that none can have, branches that fork from each other. Looks
at the rows of these tables alone, which are few. Never repairs.
"""

from vfs.backing.trees import Branch, Tree
from vfs.checks.view import View
from vfs.numbers import MAIN_TREE


class ForestChecks:
    """The checks of the tables of branches, trees and snapshots."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._trees = view.trees
        self._report = view.report
        self._used = {branch.parent for branch in view.trees.branches.values()}
        self._used.update(tree.branch for tree in view.trees)

    def run(self) -> None:
        """All of them."""
        for branch in self._trees.branches.values():
            if branch.parent is not None:
                self._branch(branch, branch.parent)
        for tree in self._trees:
            self._tree(tree)
        for snapshot in self._trees.snapshots.values():
            self._snapshot(snapshot.id, snapshot.name)
        self._ids()
        if not self._view.plain:
            clones = sum(tree.live for tree in self._trees) - 1
            self._report.counts.update(snapshots=len(self._trees.snapshots), clones=clones)

    def _branch(self, branch: Branch, parent: int) -> None:
        name = f"branch {branch.id}"
        below = self._trees.branches.get(parent)
        if below is None:
            self._report.add("branch", f"{name} forks from branch {parent}, which does not exist")
        elif branch.gen >= self._trees.generation or (below.parent is not None and branch.gen <= below.gen):
            self._report.add(
                "branch", f"{name} forks from branch {parent} at generation {branch.gen}, which it never had"
            )
        if branch.id not in self._used:
            jobs = "SELECT EXISTS (SELECT 1 FROM pruning WHERE branch=?)"
            if not next(self._view.query(jobs, (branch.id,)))[0]:
                self._report.add(
                    "branch", f"{name} has no tree and no fork, and nobody is about to remove it"
                )

    def _tree(self, tree: Tree) -> None:
        if tree.live:
            return
        name = f"tree {tree.id}"
        branch = self._trees.branches[tree.branch]
        if branch.parent is not None and tree.gen <= branch.gen:
            self._report.add(
                "tree",
                f"{name} is frozen at generation {tree.gen}, which branch {tree.branch} never had",
            )
        source = self._trees.get(tree.source)
        if source is not None and not source.live:
            self._report.add("tree", f"{name} shows tree {source.id}, which is frozen itself")

    def _snapshot(self, snapshot: int, name: str) -> None:
        gens = {tree.gen for tree in self._trees.of_snapshot(snapshot)}
        if len(gens) > 1:
            told = ", ".join(map(str, sorted(gens)))
            self._report.add("snapshot", f"snapshot {name!r} is of more than one generation: {told}")

    def _ids(self) -> None:
        found = [
            *((tree.id, f"tree {tree.id}") for tree in self._trees if tree.id != MAIN_TREE),
            *((tree.source, f"tree {tree.source}") for tree in self._trees),
            *((branch, f"branch {branch}") for branch in self._trees.branches),
            *((snapshot.id, f"snapshot {snapshot.id}") for snapshot in self._trees.snapshots.values()),
        ]
        following = self._view.meta.get("next_tree", 1)
        for name in sorted({name for number, name in found if number and number >= following}):
            self._report.add("sequence", f"next_tree is {following}, but {name} exists")
