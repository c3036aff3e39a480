"""Node ids: by which numbers the kernel knows inodes. Their own ones, until a rollback.

Promises that a node id never means another content than the one that the kernel has cached under it: what a
rollback has changed or taken away keeps its old id only as a *stale* one, whose every request is refused,
and gets a new one. Directories keep theirs, since the kernel believes us whatever we say of them; only one
that it was told to remove stays removed for it.
Never costs anything before the first rollback, and again as soon as the kernel has forgotten the stale ids.

With its write-back cache the kernel trusts its own size and times of a regular file for as long as it holds
the inode, and may write a page that was dirtied before the rollback at any time after it. So an unchanged
file that is open is a *suspect* until its pages were dropped: the first thing that is written to it makes its
id stale as well. Lives in the trio thread.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from vfs.errors import IndexDamaged, NoEntry, Stale
from vfs.inode.inode import Inode
from vfs.numbers import KERNEL_TREE, number_of, tree_of
from vfs.snapshots.rolled_back import RolledBack


class Holds(NamedTuple):
    """How often the kernel was told of something, less what it has forgotten; how often it has it open; and
    whether it will be stale for as long as that lasts."""

    lookups: int
    opens: int
    for_good: bool = True


class Table(Protocol):
    """The inode table, as far as it knows who holds what."""

    def in_memory(self, ino: int) -> Inode | None: ...

    def loaded(self) -> Iterator[Inode]: ...

    def is_held(self, number: int) -> bool: ...

    def knows(self, number: int) -> bool: ...

    def forget(self, ino: int, count: int) -> None: ...

    def drop_if_unheld(self, inode: Inode) -> None: ...


class Inodes(Protocol):
    """The file system, as far as this needs it."""

    @property
    def table(self) -> Table: ...

    def get(self, ino: int) -> Inode: ...

    def release(self, ino: int) -> None: ...


class Outdated(NamedTuple):
    """What the kernel may have cached and must not believe any more, by node ids."""

    names: list[tuple[int, bytes]]
    nodes: list[int]
    suspects: list[int]


class NodeIds:
    """Which number each node id stands for.

    INVARIANT: an inode has a new id only while the kernel may hold something under its own number, or holds
    that new id. INVARIANT: `renumbered` is set exactly while some id does not simply mean its own number.
    """

    def __init__(self, fs: Inodes) -> None:
        self._fs = fs
        self.renumbered = False
        self._numbers: dict[int, int] = {}  # new node id -> number
        self._nodes: dict[int, int] = {}  # the other way round
        self._stale: dict[int, Holds] = {}
        self._suspects: set[int] = set()  # node ids
        self._made = 0

    # --- translating ------------------------------------------------------------------------

    def number(self, node: int) -> int:
        """The inode number of a request's node id or handle; Stale when it stands for none any more."""
        if not self.renumbered:
            return node
        if node in self._stale:
            raise Stale(f"node {node}")
        number = self._numbers.get(node)
        if number is not None:
            return number
        if tree_of(node) == KERNEL_TREE:
            raise Stale(f"node {node}")  # from a file handle that outlived its inode (NFS)
        return node

    def node(self, number: int) -> int:
        """The node id under which the kernel is told of an inode: a new one while its own is stale."""
        if number in self._stale and number not in self._nodes:
            self._made += 1
            node = self._nodes[number] = number_of(KERNEL_TREE, self._made)
            self._numbers[node] = number
        return self._nodes.get(number, number)

    def written(self, node: int) -> int:
        """The inode number of what the kernel's cache writes to; Stale also for a suspect, from now on."""
        number = self.number(node)
        if node in self._suspects:
            self._condemn(node, number)
            raise Stale(f"node {node}")
        return number

    # --- forgetting -------------------------------------------------------------------------

    def forget(self, node: int, count: int) -> None:
        """The kernel forgot so many of the times it was told of a node id."""
        stale = self._stale.get(node)
        if stale is not None:
            self._keep_stale(node, stale._replace(lookups=stale.lookups - count))
            return
        number = self._numbers.get(node, node)
        self._fs.table.forget(number, count)
        self._make_plain(number)

    def release(self, node: int) -> None:
        """The kernel closed a handle."""
        if not self.renumbered:
            self._fs.release(node)
            return
        stale = self._stale.get(node)
        if stale is not None:
            self._keep_stale(node, stale._replace(opens=stale.opens - 1))
            return
        number = self._numbers.get(node, node)
        self._fs.release(number)
        self._make_plain(number)

    def _keep_stale(self, node: int, holds: Holds) -> None:
        if holds.lookups > 0 or holds.opens > 0:
            self._stale[node] = holds
            return
        del self._stale[node]
        self._make_plain(node)

    def _make_plain(self, number: int) -> None:
        """Call an inode by its own number again, once the kernel knows neither that nor the new id."""
        if number in self._nodes and number not in self._stale and not self._fs.table.is_held(number):
            del self._numbers[self._nodes.pop(number)]
            inode = self._fs.table.in_memory(number)
            if inode is not None:
                inode.view = None  # which has the node id in it
        self._look_whether_renumbered()

    def _look_whether_renumbered(self) -> None:
        self.renumbered = bool(self._stale or self._numbers or self._suspects)

    # --- a rollback -------------------------------------------------------------------------

    def follow(self, rolled: RolledBack) -> Outdated:
        """Right after a rollback, before anything else runs: which of the kernel's ids are void now, and what
        it has to be told. `cleared` ends the suspicion of each of the suspects."""
        nodes = [
            self._make_stale(held.number, Holds(held.lookups, held.opens, held.exists or held.nameless))
            for held in rolled.stale
            if held.lookups or held.opens
        ]
        nodes += self._directories_that_are_back()
        for inode in self._fs.table.loaded():
            if inode.opens and inode.is_file:
                self._suspects.add(self.node(inode.ino))
        self._look_whether_renumbered()
        knows = self._fs.table.knows  # also of the directories that are back
        names = [(self.node(directory), name) for directory, name in rolled.names if knows(directory)]
        return Outdated(names, nodes + [self.node(number) for number in rolled.kept], sorted(self._suspects))

    def cleared(self, node: int) -> bool:
        """A suspect has no page left from before the rollback. False when it was found guilty meanwhile."""
        was_suspect = node in self._suspects
        self._suspects.discard(node)
        self._look_whether_renumbered()
        return was_suspect

    def unforgotten(self, nodes: Iterable[int]) -> list[int]:
        """Those of them that the kernel holds, or is just being told of. Not an id of before that it has
        forgotten, while it holds the same inode under a new one."""
        return [node for node in nodes if node in self._stale or self._is_held(node)]

    def _is_held(self, node: int) -> bool:
        number = self._numbers.get(node, node)
        return self._nodes.get(number, number) == node and self._fs.table.is_held(number)

    def _make_stale(self, number: int, holds: Holds) -> int:
        """Void the node id that the kernel has of an inode, which nobody holds under its number any more."""
        node = self._nodes.pop(number, number)
        self._numbers.pop(node, None)
        self._suspects.discard(node)
        self._stale[node] = holds
        return node

    def _condemn(self, node: int, number: int) -> None:
        self._suspects.discard(node)
        inode = self._fs.get(number)  # in memory, being open
        holds, inode.lookups, inode.opens = Holds(inode.lookups, inode.opens), 0, 0
        inode.view = None
        self._make_stale(number, holds)
        self._fs.table.drop_if_unheld(inode)

    def _directories_that_are_back(self) -> list[int]:
        """Directories that had gone with an earlier rollback: who held one finds it again."""
        found = []
        for node, holds in list(self._stale.items()):
            inode = None if holds.for_good else self._directory(node)
            if inode is not None:
                del self._stale[node]
                inode.lookups += holds.lookups
                inode.opens += holds.opens
                found.append(node)
        return found

    def _directory(self, number: int) -> Inode | None:
        try:
            inode = self._fs.get(number)
        except (NoEntry, IndexDamaged):
            return None
        return inode if inode.is_directory else None
