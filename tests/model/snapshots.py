"""The snapshots that there must be, each a moment in plain Python, and what a rollback makes of the world.

Compares what `.snapshots` shows with those moments. Never looks at rows.
"""

import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.model.frozen import Frozen, FrozenNode, Planter, clear, dress, freeze
from tests.model.node import Node, Times
from vfs.errors import Stale
from vfs.limits import ROOT_INO
from vfs.mount.errno_table import ERRNO
from vfs.numbers import MAIN_TREE, SNAPSHOTS_INO, local_of, number_of, tree_of
from vfs.snapshots.rolled_back import Held, RolledBack

if TYPE_CHECKING:
    from tests.model.world import World


class Snapshot:
    """A moment with what is told of it. `root` is the number of its root directory, once it was seen."""

    def __init__(self, frozen: Frozen, comment: str) -> None:
        self.frozen = frozen
        self.comment = comment
        self.root = 0
        self.numbers: dict[int, int] = {}
        """Live tree of that moment -> the tree that shows it."""

    def number(self, ino: int) -> int:
        """What an inode of that moment is called in the snapshot."""
        return number_of(self.numbers[tree_of(ino)], local_of(ino))


class Snapshots:
    """All snapshots of a world by name, and the action of the checkpoint in flight."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.by_name: dict[str, Snapshot] = {}
        self.gone: set[int] = set()
        """Numbers of inodes in trees that are gone."""
        self.committed = False
        """The index has the action of the checkpoint in flight."""
        self._action: Callable[[], None] | None = None
        self._undo: Callable[[], None] | None = None

    def freeze(self) -> Frozen:
        """This moment."""
        return freeze(self._world.nodes.values())

    # --- actions ----------------------------------------------------------------------------

    def action_begun(self, action: Callable[[], None], undo: Callable[[], None] | None = None) -> None:
        """What is to be done to the snapshots when the checkpoint has come to its end, or has failed."""
        self._action, self._undo = action, undo

    def action_committed(self) -> None:
        """The checkpoint, which may have an action, is in the index."""
        self.committed = self._action is not None

    def action_over(self, *, happened: bool) -> None:
        """The checkpoint is over."""
        action, undo = self._action, self._undo
        self._action = self._undo = None
        self.committed = False
        if happened and action is not None:
            action()
        elif undo is not None:
            undo()

    def add(self, name: str, frozen: Frozen, comment: str = "") -> None:
        """There is one more."""
        self.by_name[name] = Snapshot(frozen, comment)

    def lost(self, snapshot: Snapshot) -> None:
        """It is gone, with all numbers that lead there."""
        trees = snapshot.numbers.keys()
        self.gone.update(snapshot.number(ino) for ino in snapshot.frozen if tree_of(ino) in trees)

    # --- comparing --------------------------------------------------------------------------

    def compare(self) -> None:
        """Every snapshot shows its moment, and what is gone stays gone."""
        fs = self._world.fs
        if self.committed:
            return  # the index has an action that memory does not know yet
        assert {facts.name: facts.comment for facts in fs.snapshots()} == {
            name: snapshot.comment for name, snapshot in self.by_name.items()
        }
        listed = [row[0].decode() for row in fs.readdir(SNAPSHOTS_INO, 1, 100)]
        assert sorted(listed) == sorted(["..", *self.by_name])
        for name, snapshot in self.by_name.items():
            self._compare_snapshot(name, snapshot)
        for number in list(self.gone)[:20]:
            self._world.refused(lambda number=number: fs.get(number), ERRNO[Stale])  # type: ignore[misc]

    def _compare_snapshot(self, name: str, snapshot: Snapshot) -> None:
        fs = self._world.fs
        root = fs.lookup(SNAPSHOTS_INO, name.encode()).ino
        assert snapshot.root in (0, root), "the numbers of a snapshot stay the same"
        snapshot.root = root
        self._name(snapshot, MAIN_TREE, tree_of(root))
        facts = fs.snapshot(name)
        main = [node for ino, node in snapshot.frozen.items() if tree_of(ino) == MAIN_TREE and node.links]
        assert facts.directories == sum(node.is_directory for node in main)
        assert facts.files == sum(not node.is_directory for node in main)
        assert facts.logical_bytes == sum(node.size for node in main)
        self._compare_below(snapshot, snapshot.frozen[ROOT_INO], SNAPSHOTS_INO, set())

    def _name(self, snapshot: Snapshot, source: int, tree: int) -> None:
        assert snapshot.numbers.setdefault(source, tree) == tree, "a tree is shown under two numbers"
        assert tree != source, "a number is shown in two trees"

    def _compare_below(self, snapshot: Snapshot, node: FrozenNode, parent: int, passed: set[int]) -> None:
        if node.ino in passed:
            return
        passed.add(node.ino)
        number = snapshot.number(node.ino)
        self.compare_node(number, node)
        if node.names is None:
            return
        listed = self._listed(number, parent)
        assert listed.keys() == node.names.keys()
        for name, (ino, kind) in listed.items():
            child = snapshot.frozen[node.names[name]]
            self._name(snapshot, tree_of(child.ino), tree_of(ino))
            assert (ino, kind) == (snapshot.number(child.ino), stat.S_IFMT(child.mode))
            assert self._world.fs.lookup(number, name).ino == ino
            self._compare_below(snapshot, child, number, passed)

    def _listed(self, number: int, parent: int) -> dict[bytes, tuple[int, int]]:
        listed: dict[bytes, tuple[int, int]] = {}
        cookie = 1
        while rows := self._world.fs.readdir(number, cookie, 3):
            cookie = rows[-1][2]
            for name, ino, _, kind in rows:
                assert name not in listed, f"{name!r} is listed twice"
                listed[name] = ino, kind << 12
        assert listed.pop(b"..")[0] == parent
        return listed

    def compare_node(self, number: int, node: FrozenNode) -> None:
        """One inode of a snapshot, or any other that must be as it was then."""
        fs = self._world.fs
        inode = fs.get(number)
        assert (inode.mode, inode.uid, inode.gid) == (node.mode, node.uid, node.gid)
        assert Times(inode.atime_ns, inode.mtime_ns, inode.ctime_ns) == node.times
        assert {name: fs.get_xattr(number, name) for name in fs.list_xattrs(number)} == node.xattrs
        if node.names is not None:
            folders = sum(kind == stat.S_IFDIR for _, kind in self._listed(number, inode.parent).values())
            assert inode.nlink == (2 + folders if node.links else 0)
            return
        assert inode.nlink == node.links + node.outside
        assert inode.target == node.target
        assert inode.rdev == (node.rdev if stat.S_IFMT(node.mode) in (stat.S_IFCHR, stat.S_IFBLK) else 0)
        if node.is_file:
            assert inode.size == node.size
            assert inode.allocated == sum(stop - start for start, stop in node.ranges)
            for (start, stop), data in zip(node.ranges, node.data, strict=True):
                assert self._world.read(number, start, stop - start) == data
                assert fs.seek_data(number, start) == start
                assert fs.seek_hole(number, start) == stop

    # --- rolling back -----------------------------------------------------------------------

    def rolled_back(self, before: Frozen, then: Frozen, done: RolledBack) -> None:
        """The world is what it was: the host as well, and nothing else may have changed in memory."""
        world = self._world
        stale = {held.number: held for held in done.stale}
        for node in list(world.nodes.values()):
            if node.held:
                _check_told(node, before[node.ino], then.get(node.ino), stale, done.kept)
        old, world.nodes = world.nodes, {}
        clear(world.root)
        planter = Planter(then, lambda ino: ino)
        planter.nodes[ROOT_INO] = world.root
        planter.fill(world.root.fd, then[ROOT_INO].names or {})
        dress(world.root, then[ROOT_INO])
        world.nodes = planter.nodes
        for ino, node in old.items():
            self._keep(node, then.get(ino), is_stale=ino in stale)
        for ino, node in world.nodes.items():
            node.outside = then[ino].outside
        trees = {tree_of(ino) for ino in then}
        self.gone = {number for number in self.gone if tree_of(number) not in trees}
        self.gone.update(ino for ino in before if tree_of(ino) not in trees)

    def _keep(self, node: Node, found: FrozenNode | None, *, is_stale: bool) -> None:
        """Who held an inode that is still the same goes on to hold it."""
        nodes = self._world.nodes
        if node is self._world.root:
            return
        new = nodes.get(node.ino)
        if new is None and found is not None and node.held and not is_stale:
            nodes[node.ino] = node  # it has no name then either
            return
        if new is not None and not is_stale:
            new.lookups, new.opens = node.lookups, node.opens
        node.close()


def _check_told(
    node: Node, before: FrozenNode, then: FrozenNode | None, stale: dict[int, Held], kept: list[int]
) -> None:
    """Who holds an inode learns what became of it."""
    number = node.ino
    if then is not None and then == before and number not in stale:
        return
    was_removed = before.is_directory and not before.links  # the kernel never takes it for alive again
    if then is not None and not was_removed and _is_kept(before, then):
        assert number in kept or number in stale, f"inode {number} has changed, and nobody was told"
        assert number not in stale or not then.is_directory, "a directory stays what it is"
        return
    assert number in stale, f"inode {number} has changed, and nobody was told"
    held = stale[number]
    assert (held.lookups, held.opens, held.exists) == (node.lookups, node.opens, then is not None)


def _is_kept(before: FrozenNode, then: FrozenNode) -> bool:
    return then.is_directory or _without_access(then) == _without_access(before)


def _without_access(node: FrozenNode) -> FrozenNode:
    return node._replace(times=node.times._replace(atime=0))
