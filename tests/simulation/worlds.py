"""The model with all trees: what is live, with its clones, and the moments that snapshots have frozen.

A `World` never changes, as its trees do not. Numbers of inodes are made as vfs makes them, tree and local
number; which number a tree has is the model's own affair, so pictures show local ones.
"""

import stat
import time
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from tests.crash.steps import Step
from tests.crash.tree_operations import NEWEST
from tests.crash.trees import ROOT_OF_CLONE
from tests.crash.trees import Tree as Found
from tests.simulation.model import ROOT, Change, Handles, Node, Tree
from vfs.errors import CrossTree, Exists, NoEntry, NotADirectory, SnapshotError
from vfs.numbers import MAIN_TREE, local_of, number_of, tree_of

Nodes = Mapping[int, Node]


class Moment:
    """What a snapshot has frozen, and what is told of it. INVARIANT: never changes."""

    def __init__(self, nodes: Nodes, created: int, comment: str, *, automatic: bool = False) -> None:
        self.nodes = nodes
        self.created = created
        self.comment = comment
        self.automatic = automatic

    @cached_property
    def picture(self) -> Found:
        """As `tests.crash.trees.tree` sees it, without the snapshot's name."""
        found = live_picture(self.nodes)
        found[""] = (self.created, self.comment, self.automatic, *found[""])
        return found


class Waiting(NamedTuple):
    """An action of a checkpoint in slices, and the moment that it is about."""

    verb: str
    names: tuple[str, ...]
    moment: Moment


class World(Tree):
    """The live trees and the snapshots."""

    def __init__(
        self,
        nodes: Nodes,
        moments: Mapping[str, Moment] | None = None,
        waiting: Waiting | None = None,
        next_tree: int = 1,
    ) -> None:
        super().__init__(nodes)
        self.moments = moments or {}
        self.waiting = waiting
        self.next_tree = next_tree

    @classmethod
    def empty(cls, now: int) -> "World":
        """The root alone."""
        return cls({ROOT: Node(stat.S_IFDIR | 0o755, now, now, now, names={})})

    @property
    def nodes(self) -> Nodes:
        return self._nodes

    def named(self) -> "World":
        """Without the inodes that no path leads to, and with nothing under way."""
        return World(super().named()._nodes, self.moments, None, self.next_tree)

    def numbered(self, old: int, new: int) -> "World":
        """With another number for one inode."""
        return World(super().numbered(old, new)._nodes, self.moments, self.waiting, self.next_tree)

    def calm(self) -> "World":
        """With nothing under way."""
        return self if self.waiting is None else World(self._nodes, self.moments, None, self.next_tree)

    def acted(self, waiting: Waiting) -> "World":
        """With what an action has done to the snapshots, whatever has become of the trees."""
        moments = dict(self.moments)
        if waiting.verb == "snapshot":
            moments[waiting.names[0]] = waiting.moment
        else:
            moments[waiting.names[1]] = moments.pop(waiting.names[0])
        return World(self._nodes, moments, None, self.next_tree)

    def called(self, name: str) -> str:
        """The name of a snapshot; `*` is the newest that a rollback has kept."""
        if name != NEWEST:
            return name
        kept = [found for found, moment in self.moments.items() if moment.automatic]
        return kept[-1] if kept else "none"

    def after(self, step: Step, now: int, new_local: int, handles: Handles) -> "World":
        """The world after an operation (this one where nothing changes), or the error that it answers.

        `new_local` is the inode that it makes.
        """
        change = WorldChange(self, now, new_local, handles)
        verb = getattr(change, f"_{step.verb}", None)
        if verb is None:
            return self
        verb(*step.args)
        same = change.nodes == self._nodes and change.moments == self.moments
        if same and change.waiting is self.waiting:
            return self
        return World(change.nodes, change.moments, change.waiting, change.next_tree)

    def picture(self) -> Found:
        found = live_picture(self._nodes)
        for name, moment in self.moments.items():
            found.update((f"{name}:{path}", node) for path, node in moment.picture.items())
        return found


def live_picture(nodes: Nodes) -> Found:
    """The paths of some live trees, or of those of a moment."""
    tree = Tree(nodes)
    paths = tree.paths()
    links: dict[int, int] = {}
    for ino in paths.values():
        links[ino] = links.get(ino, 0) + 1
    found: Found = {}
    for path, ino in paths.items():
        shown = tree.pictured(ino, links[ino] + nodes[ino].outside)
        above = paths[path.rpartition("/")[0] or "/"]
        crosses = tree_of(ino) != tree_of(above)
        found[path] = (local_of(shown[0]), *shown[1:-1], ROOT_OF_CLONE if crosses else shown[-1])
    main = [nodes[ino] for ino in links if tree_of(ino) == MAIN_TREE]
    folders = sum(node.names is not None for node in main)
    found[""] = (len(main) - folders, folders, sum(len(node.content or b"") for node in main))
    return found


class WorldChange(Change):
    """One operation on a copy of a world."""

    def __init__(self, world: World, now: int, new_local: int, handles: Handles) -> None:
        super().__init__(world.nodes, now, new_local, handles)
        self._world = world
        self.moments = dict(world.moments)
        self.waiting = world.waiting
        self.next_tree = world.next_tree

    # --- within one tree --------------------------------------------------------------------

    def _number_in(self, folder: int) -> int:
        return number_of(tree_of(folder), self._new_ino)

    def _link(self, old: str, new: str) -> None:
        ino = self._tree.ino(old)
        folder, _ = self._place(new)
        if tree_of(ino) != tree_of(folder):
            raise CrossTree(new)
        super()._link(old, new)

    def _rename(self, old: str, new: str, flags: int) -> None:
        if tree_of(self._place(old)[0]) != tree_of(self._place(new)[0]):
            raise CrossTree(new)
        super()._rename(old, new, flags)

    # --- snapshots --------------------------------------------------------------------------

    def _known(self, name: str) -> Moment:
        found = self.moments.get(self._world.called(name))
        if found is None:
            raise SnapshotError(f"no snapshot is called {name}")
        return found

    def _free(self, name: str) -> None:
        if name in self.moments:
            raise SnapshotError(f"a snapshot is called {name} already")

    def _snapshot(self, name: str) -> None:
        self._free(name)
        self.moments[name] = Moment(dict(self.nodes), self._now, f"called {name}")

    def _delete_snapshot(self, name: str) -> None:
        self._known(name)
        del self.moments[self._world.called(name)]

    def _rename_snapshot(self, name: str, new_name: str) -> None:
        found = self._known(name)
        self._free(new_name)
        called = self._world.called(name)
        del self.moments[called]
        self.moments[new_name] = found

    def _rollback(self, name: str) -> None:
        found, now = self._known(name), self._now
        base = kept_as = f"before-rollback-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(now // 10**9))}"
        number = 1
        while kept_as in self.moments:
            number += 1
            kept_as = f"{base}-{number}"
        comment = f"before the rollback to {self._world.called(name)}"
        self.moments[kept_as] = Moment(dict(self.nodes), now, comment, automatic=True)
        self.nodes = dict(found.nodes)

    def _begin_action(self, verb: str, *names: str) -> None:
        if verb == "rename_snapshot":
            self._known(names[0])
        self._free(names[-1])
        self.waiting = Waiting(verb, names, Moment(dict(self.nodes), self._now, f"called {names[0]}"))

    def _commit(self) -> None:
        if self.waiting is not None:
            self.moments = dict(self._world.acted(self.waiting).moments)
            self.waiting = None

    # --- clones -----------------------------------------------------------------------------

    def _fork(self, name: str, folder: str, path: str) -> None:
        self._tree.ino(path.rpartition("/")[0])
        moment = self._known(name)
        root = _folder(moment.nodes, folder)
        parent, last = self._place(path)
        if last in (self.nodes[parent].names or {}):
            raise Exists(path)
        inside = names_below(moment.nodes, root)
        everywhere = _names_of_all(moment.nodes)
        trees: dict[int, int] = {}
        for ino in inside:
            if tree_of(ino) not in trees:
                trees[tree_of(ino)] = self.next_tree
                self.next_tree += 1

        def number(ino: int) -> int:
            return number_of(trees[tree_of(ino)], local_of(ino))

        for ino, count in inside.items():
            node = moment.nodes[ino]
            outside = 0
            if node.names is None:
                outside = node.outside + everywhere[ino] - count
            else:
                node = node._replace(names={key: number(child) for key, child in node.names.items()})
            self.nodes[number(ino)] = node._replace(outside=outside)
        self._put(parent, last, number(root))
        self._stamp(number(root))

    def _unfork(self, path: str) -> None:
        folder, name, ino = (*self._place(path), self._tree.ino(path)) if path != "/" else (ROOT, "", ROOT)
        if tree_of(ino) == tree_of(folder):
            raise SnapshotError("that is no clone")
        gone = {tree_of(found) for found in names_below(self.nodes, ino)}
        self._put(folder, name, None)
        for found in [found for found in self.nodes if tree_of(found) in gone]:
            del self.nodes[found]


def names_below(nodes: Nodes, root: int) -> dict[int, int]:
    """The nodes at and below a directory, each with the number of its names there."""
    found = {root: 1}
    waiting = [root]
    while waiting:
        for child in (nodes[waiting.pop()].names or {}).values():
            if child not in found:
                waiting.append(child)
            found[child] = found.get(child, 0) + 1
    return found


def _names_of_all(nodes: Nodes) -> dict[int, int]:
    found = dict.fromkeys(nodes, 0)
    for node in nodes.values():
        for child in (node.names or {}).values():
            found[child] += 1
    return found


def _folder(nodes: Nodes, path: str) -> int:
    at = ROOT
    for part in [part for part in path.split("/") if part]:
        names = nodes[at].names
        if names is None:
            raise NotADirectory(path)
        if part not in names:
            raise NoEntry(path)
        at = names[part]
    if nodes[at].names is None:
        raise NotADirectory(path)
    return at
