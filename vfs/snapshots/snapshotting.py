"""Snapshots, clones and rollback of an open store.

Promises that each happens at one moment, in constant time for any number of files, and shares everything with
what it came from until one of them is written. Never copies data.
"""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from vfs.backing.trees import Snapshot, Tree
from vfs.changes import Together
from vfs.checkpoint import Checkpoints
from vfs.clock import now_ns
from vfs.errors import Exists, IndexUnwritten, NoEntry, NoSpace, NotADirectory, SnapshotError
from vfs.inode.inode import Inode
from vfs.limits import CLONES
from vfs.namespace import RECORD_BYTES
from vfs.numbers import MAIN_TREE, local_of, number_of, tree_of
from vfs.paths import Paths, split
from vfs.snapshots.actions import CreateSnapshot, DeleteSnapshots, RenameSnapshot, Rollback, known
from vfs.snapshots.directory import SnapshotDirectory
from vfs.snapshots.rolled_back import RolledBack
from vfs.tree_changes import Clone, DropTree


class SnapshotFacts(NamedTuple):
    """A snapshot, as it is listed. Bytes are sums of file sizes."""

    name: str
    created_ns: int
    comment: str
    automatic: bool
    files: int
    directories: int
    logical_bytes: int


class Snapshotting(SnapshotDirectory, Paths, Checkpoints):
    """Operations on trees as a whole."""

    # --- snapshots --------------------------------------------------------------------------

    def create_snapshot(self, name: str, comment: str = "", *, automatic: bool = False) -> SnapshotFacts:
        """Freeze everything as it is now. SnapshotError: the name is taken, or none."""
        self.writable()
        self.checkpoint(action=CreateSnapshot(name, comment, automatic=automatic))
        return self.snapshot(name)

    def snapshot(self, name: str) -> SnapshotFacts:
        """What is known of a snapshot; SnapshotError when there is none of that name."""
        return self._facts(known(self.table, name))

    def snapshots(self) -> list[SnapshotFacts]:
        """All snapshots, the oldest first; SnapshotError where one alone is shown."""
        self.table.trees.check_complete()
        return [self._facts(snapshot) for snapshot in sorted(self.table.trees.snapshots.values())]

    def _facts(self, snapshot: Snapshot) -> SnapshotFacts:
        tree = self._frozen(snapshot.name)
        return SnapshotFacts(
            *(snapshot.name, snapshot.created, snapshot.comment, bool(snapshot.automatic)),
            *(tree.files, tree.directories, tree.logical_bytes),
        )

    def _frozen(self, name: str) -> Tree:
        known(self.table, name)
        tree = self.table.trees.frozen(name)
        assert tree is not None, "each snapshot has its main tree"
        return tree

    def snapshot_root(self, name: str) -> Inode:
        """The root directory of a snapshot."""
        return self.table.get(self._frozen(name).root_ino)

    def delete_snapshots(self, names: Iterable[str]) -> None:
        """Forget snapshots; SnapshotError when one of them does not exist, and then all stay."""
        self.writable()
        self.checkpoint(action=DeleteSnapshots(names))

    def rename_snapshot(self, name: str, new_name: str) -> None:
        """Give a snapshot another name."""
        self.writable()
        self.checkpoint(action=RenameSnapshot(name, new_name))

    def rollback(self, name: str) -> RolledBack:
        """Make the whole tree what it was; what it is now is kept as an automatic snapshot."""
        self.writable()
        action = Rollback(name, self._free_name("before-rollback"))
        try:
            self.checkpoint(action=action)
        except (NoSpace, IndexUnwritten) as error:
            raise SnapshotError(f"nothing was rolled back: {error}") from error
        return action.result

    def _free_name(self, what: str) -> str:
        base = name = f"{what}-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(now_ns() // 10**9))}"
        number = 1
        while name in self.table.trees.snapshots:
            number += 1
            name = f"{base}-{number}"
        return name

    def begin_checkpoint(self, **options: Any) -> None:
        """This moment's state is the one to bring into the index; with it the action, if it can be."""
        super().begin_checkpoint(**options)
        if self._action is not None:
            self.show_snapshots()  # those that are to be deleted are not found any more

    def abandon_checkpoint(self) -> None:
        """The commit failed: all is as it was."""
        changed = self._action is not None
        super().abandon_checkpoint()
        if changed:
            self.show_snapshots()

    def end_checkpoint(self) -> None:
        """The index has it: let go of memory and of chunks."""
        changed = self._action is not None
        super().end_checkpoint()
        if changed:
            self.show_snapshots()

    # --- clones -----------------------------------------------------------------------------

    def clone(self, source: str, parent: int, name: bytes) -> Inode:
        """A writable tree under a new name: it begins as a snapshot, NAME, or a folder of it, NAME:path."""
        snapshot, _, path = source.partition(":")
        root = self._folder_of(snapshot, path)
        directory = self._place_for(parent, name)
        if self._entry(directory, name) is not None:
            raise Exists(name.decode(errors="backslashreplace"))
        self.need_room(RECORD_BYTES)
        tree = self.table.trees.get(tree_of(root.ino))
        assert tree is not None, "its root was found"
        new = self._clone_of(tree, directory.ino, name, directory.cookie, directory.nlink + 1)
        new = msgspec.structs.replace(new, root=local_of(root.ino))
        nested = self._clones_inside(tree.snapshot, root, new.tree)
        if len(self.table.clones()) + 1 + len(nested) > CLONES:
            inside = f", and {source} has {len(nested)} in it" if nested else ""
            raise SnapshotError(f"a store may have {CLONES} clones{inside}; remove some: vfs clone --delete")
        self.table.trees.need_room(1 + len(nested), tree.chain)
        self.record(Together((new, *nested)) if nested else new)
        return self.table.get(number_of(new.tree, new.root))

    def _folder_of(self, snapshot: str, path: str) -> Inode:
        inode = self.snapshot_root(snapshot)
        if b".." in split(path):  # which would lead out of the snapshot, to what is alive
            raise NoEntry(f"{path} in snapshot {snapshot}")
        for part in split(path):
            inode = self.lookup(inode.ino, part)
        if not inode.is_directory:
            raise NotADirectory(f"{path} is no folder in snapshot {snapshot}")
        return inode

    def _clone_of(
        self, source: Tree, parent: int, name: bytes, cookie: int, nlink: int, *, replaces: bool = False
    ) -> Clone:
        take_id = self.table.trees.take_id
        return Clone(
            *(parent, name, cookie, take_id(), take_id(), source.branch, source.gen),
            *(source.root, nlink, now_ns(), replaces),
        )

    def _clones_inside(self, snapshot: int, root: Inode, tree: int) -> list[Clone]:
        """The clones that lay below a folder of a snapshot, cloned themselves: outer ones first."""
        below: dict[int, list[Tree]] = {}  # by the frozen tree that they lie in
        for other in self.table.trees.of_snapshot(snapshot):
            if other.source != MAIN_TREE:
                below.setdefault(tree_of(self.table.get(other.root_ino).parent), []).append(other)
        new = {tree_of(root.ino): tree}  # frozen tree -> its clone
        found: list[Clone] = []
        cookies: dict[int, int] = {}
        outer = [tree_of(root.ino)]
        for above_tree in outer:
            for other in below.get(above_tree, ()):
                if other.id in new:
                    raise SnapshotError(f"clone {other.source} lies in itself; run vfs fsck on the store")
                if above_tree != outer[0] or self._lies_in(other.root_ino, root.ino):
                    clone = self._inner_clone(other, new[above_tree], cookies)
                    found.append(clone)
                    new[other.id] = clone.tree
                    outer.append(other.id)
        return found

    def _inner_clone(self, source: Tree, tree: int, cookies: dict[int, int]) -> Clone:
        """Of a clone that lies in a snapshot, in the clone `tree` of what it lies in there."""
        inode = self.table.get(source.root_ino)
        above = self.table.get(inode.parent)
        name = self.table.directory(above).name_of(inode.ino)
        if name is None:
            raise NoEntry(f"clone {source.source} has no name in its snapshot")
        parent = number_of(tree, local_of(above.ino))
        cookie = cookies.get(parent, above.cookie)
        cookies[parent] = cookie + 1
        return self._clone_of(source, parent, name, cookie, above.nlink, replaces=True)

    def _lies_in(self, number: int, folder: int) -> bool:
        """Whether a directory is, or lies below, another one."""
        passed: set[int] = set()
        while number != folder:
            if number in passed:
                return False
            passed.add(number)
            number = self.table.get(number).parent
        return True

    def is_clone(self, number: int) -> bool:
        """Whether that is the root of a clone."""
        tree = self.table.trees.get(tree_of(number))
        return tree is not None and tree.live and tree.id != MAIN_TREE and number == tree.root_ino

    def drop_clone(self, number: int) -> None:
        """Remove a clone with all that is in it, also with the clones in it."""
        inode = self.table.get(number)
        if not self.is_clone(number):
            raise SnapshotError("that is no clone: remove it as any folder")
        self.writable(number, inode.parent)
        above = self.table.get(inode.parent)
        name = self.table.directory(above).name_of(number)
        if name is None:
            raise NoEntry(f"clone {tree_of(number)} has no name")
        inside = [
            other
            for other in self.table.clones()
            if other != tree_of(number) and self._lies_in(number_of(other, self._root_of(other)), number)
        ]
        self.table.before_dropping((*inside, tree_of(number)))
        self.record(DropTree(above.ino, name, number, tuple(inside), above.nlink - 1, now_ns()))

    def _root_of(self, tree: int) -> int:
        found = self.table.trees.get(tree)
        assert found is not None, "it is live"
        return found.root
