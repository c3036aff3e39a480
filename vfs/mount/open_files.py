"""Files that are open for writing: what the kernel may keep pages of that programs have written.

Promises that each of them can be opened by whoever runs as we do, while `reachable` lasts, under a name in
the root that tells nothing (it is no secret: others see it); and that closed files are forgotten. Never lists
those names, and costs a look-up nothing whose name is there.

Why it is needed: syncfs(2) waits for no page of a FUSE mount, with Linux 6.18 not even until it is sent;
fsync(2) waits for those of one file. Close and munmap do as well, so a file that is not open has none. The
program that calls fsync is another one (see detach.py), and has to open the file by some name. The kernel
keeps that name, and the inode with it, until it is looked for again: `Pages` has that done.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from vfs.errors import Stale
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO
from vfs.mount.nodes import NodeIds


class OpenFiles:
    """Of one mount, by node ids. Lives in the trio thread."""

    def __init__(self, fs: FileSystem, nodes: NodeIds) -> None:
        self._fs = fs
        self._nodes = nodes
        self._written: set[int] = set()
        self.names: dict[bytes, int] = {}
        """Of `reachable`, while it lasts."""

    def opened(self, node: int, flags: int) -> None:
        """A handle was given out for a file."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._written.add(node)

    def closed(self, node: int) -> None:
        """A handle was closed; there may be others of the same file."""
        if node in self._written and self._inode(node) is None:
            self._written.discard(node)

    @contextmanager
    def reachable(self) -> Iterator[list[str]]:
        """Names in the root, of all that are open for writing now. They are held."""
        names = {}
        for node in self._written:
            inode = self._inode(node)
            if inode is not None and inode.nlink:
                inode.opens += 1
                names[b".vfs-" + secrets.token_hex(16).encode()] = node
        self.names |= names
        try:
            yield [name.decode() for name in names]
        finally:
            for name, node in names.items():
                del self.names[name]
                self._nodes.release(node)
                self.closed(node)

    def find(self, parent: int, name: bytes, uid: int) -> Inode | None:
        """What such a name leads to, for whoever runs as we do: it passes by the directories that the file is
        in, and by their permissions. Stale after a rollback that has changed it."""
        node = self.names.get(name)
        if node is None or parent != ROOT_INO or uid != os.geteuid():
            return None
        return self._fs.table.get(self._nodes.number(node))

    def _inode(self, node: int) -> Inode | None:
        """What a node id stands for; None when it is not open any more, or no write to it is taken."""
        try:
            inode = self._fs.table.in_memory(self._nodes.number(node))
        except Stale:
            return None
        return inode if inode is not None and inode.opens else None
