"""What a file system is, in plain values: a tree of nodes that never changes, and what a step does to one.

States are kept apart by keeping them all: a step makes new ones (`worlds.py`) and leaves the old as they are.
Restates POSIX without a look at the code under test, of which it knows only the names of errors. Times are
those of the steps; access times are left out, since what has no room to note them need not.
"""

import hashlib
import stat
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from tests.crash.trees import Tree as Found
from vfs.errors import (
    Exists,
    InvalidArgument,
    IsADirectory,
    NoEntry,
    NotADirectory,
    NotEmpty,
    NotPermitted,
)

ROOT = 1
LONGEST_READ = 100_000

Handles = Mapping[int, int]
"""Open files: handle -> inode number."""


class Node(NamedTuple):
    """One inode. `content` of a file, `names` of a directory, `target` of a symbolic link."""

    mode: int
    birth: int
    mtime: int
    ctime: int
    uid: int = 0
    gid: int = 0
    content: bytes | None = None
    names: Mapping[str, int] | None = None
    target: bytes | None = None
    xattrs: Mapping[bytes, bytes] = {}
    outside: int = 0
    """Names that the inode says it has, and that lie outside of the clone it is in."""


class Tree:
    """All inodes by number, those without a name as well. INVARIANT: never changes."""

    def __init__(self, nodes: Mapping[int, Node]) -> None:
        self._nodes = nodes

    def node(self, ino: int) -> Node:
        return self._nodes[ino]

    def ino(self, path: str) -> int:
        """Follow a path. The targets of all links here lead nowhere."""
        at = ROOT
        parts = [part for part in path.split("/") if part]
        for part in parts:
            node = self._nodes[at]
            if node.target is not None:
                raise NoEntry(path)
            if node.names is None:
                raise NotADirectory(path)
            if part not in node.names:
                raise NoEntry(path)
            at = node.names[part]
        return at

    def paths(self) -> dict[str, int]:
        """Every path that leads somewhere."""
        found = {"/": ROOT}
        rest = [("", ROOT)]
        while rest:
            path, ino = rest.pop()
            for name, child in (self._nodes[ino].names or {}).items():
                found[f"{path}/{name}"] = child
                rest.append((f"{path}/{name}", child))
        return found

    def named(self) -> "Tree":
        """Without the inodes that no path leads to: they end with who holds them."""
        kept = set(self.paths().values())
        return Tree({ino: node for ino, node in self._nodes.items() if ino in kept})

    def numbered(self, old: int, new: int) -> "Tree":
        """With another number for one inode."""
        nodes = {}
        for ino, node in self._nodes.items():
            if node.names is not None and old in node.names.values():
                names = {name: new if child == old else child for name, child in node.names.items()}
                node = node._replace(names=names)
            nodes[new if ino == old else ino] = node
        return Tree(nodes)

    def pictured(self, ino: int, links: int) -> tuple[Any, ...]:
        """One inode as `tests.crash.trees.tree` sees it, but for places of bytes and access times."""
        node = self._nodes[ino]
        size = len(node.content or node.target or b"")
        if node.names is not None:
            links = 2 + sum(self._nodes[child].names is not None for child in node.names.values())
            size = len(node.names)
        sizes = (ino, node.mode, node.uid, node.gid, links, size)
        digest = None if node.content is None else _digest(node.content)
        return (*sizes, node.mtime, node.ctime, node.birth, node.target, dict(node.xattrs), digest)


def pictured(found: Found) -> Found:
    """A tree that was found, less what the model leaves out."""
    shown: Found = {}
    for path, node in found.items():
        if path.endswith(":"):
            shown[path] = node
            continue
        if not path:
            low, high = node["logical_bytes"], node["logical_bytes_high"]
            shown[path] = (node["files"], node["directories"], low + (high << 62))
            continue
        row, xattrs, digest = node
        shown[path] = (*row[:6], *row[9:12], row[14], xattrs, digest)
    return shown


@lru_cache(maxsize=4096)
def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


class Change:
    """One operation on a copy of the nodes: a method for each verb of `tests.crash.operations`."""

    def __init__(self, nodes: Mapping[int, Node], now: int, new_ino: int, handles: Handles) -> None:
        self.nodes = dict(nodes)
        self._tree = Tree(self.nodes)
        self._now = now
        self._new_ino = new_ino
        self._handles = handles

    # --- names ------------------------------------------------------------------------------

    def _place(self, path: str) -> tuple[int, str]:
        """The directory of a path and the last name in it."""
        folder, _, name = path.rpartition("/")
        ino = self._tree.ino(folder)
        if self.nodes[ino].names is None:
            raise NotADirectory(folder)
        return ino, name

    def _entry(self, path: str) -> tuple[int, str, int]:
        folder, name = self._place(path)
        names = self.nodes[folder].names or {}
        if name not in names:
            raise NoEntry(path)
        return folder, name, names[name]

    def _put(self, folder: int, name: str, ino: int | None) -> None:
        """Give or take a name; the directory is stamped."""
        names = dict(self.nodes[folder].names or {})
        if ino is None:
            del names[name]
        else:
            names[name] = ino
        self.nodes[folder] = self.nodes[folder]._replace(names=names, mtime=self._now, ctime=self._now)

    def _stamp(self, ino: int) -> None:
        self.nodes[ino] = self.nodes[ino]._replace(ctime=self._now)

    def _new(self, path: str, mode: int, **fields: Any) -> None:
        folder, name = self._place(path)
        parent = self.nodes[folder]
        if name in (parent.names or {}):
            raise Exists(path)
        if parent.mode & stat.S_ISGID:
            fields["gid"] = parent.gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        now, number = self._now, self._number_in(folder)
        self.nodes[number] = Node(mode, now, now, now, **fields)
        self._put(folder, name, number)

    def _number_in(self, folder: int) -> int:
        """What a new inode in that directory is called."""
        return self._new_ino

    def _create(self, path: str) -> None:
        self._new(path, stat.S_IFREG | 0o644, content=b"")

    def _mkdir(self, path: str) -> None:
        self._new(path, stat.S_IFDIR | 0o755, names={})

    def _symlink(self, path: str) -> None:
        self._new(path, stat.S_IFLNK | 0o777, target=b"target of " + path.encode())

    def _fifo(self, path: str) -> None:
        self._new(path, stat.S_IFIFO | 0o600)

    def _link(self, old: str, new: str) -> None:
        ino = self._tree.ino(old)
        folder, name = self._place(new)
        if self.nodes[ino].names is not None:
            raise NotPermitted(old)
        if name in (self.nodes[folder].names or {}):
            raise Exists(new)
        self._put(folder, name, ino)
        self._stamp(ino)

    def _unlink(self, path: str) -> None:
        folder, name, ino = self._entry(path)
        if self.nodes[ino].names is not None:
            raise IsADirectory(path)
        self._put(folder, name, None)
        self._stamp(ino)

    def _rmdir(self, path: str) -> None:
        folder, name, ino = self._entry(path)
        names = self.nodes[ino].names
        if names is None:
            raise NotADirectory(path)
        if names:
            raise NotEmpty(path)
        self._put(folder, name, None)
        self._stamp(ino)

    def _rename(self, old: str, new: str, flags: int) -> None:
        new_folder, new_name = self._place(new)
        folder, name, ino = self._entry(old)
        other = (self.nodes[new_folder].names or {}).get(new_name)
        if flags == 1 and other is not None:
            raise Exists(new)
        if flags == 2 and other is None:
            raise NoEntry(new)
        if other == ino:
            return
        self._refuse_loop(ino, new_folder)
        if flags == 2:
            assert other is not None
            self._refuse_loop(other, folder)
            self._put(folder, name, other)
        else:
            if other is not None:
                self._refuse_replacing(ino, other, new)
            self._put(folder, name, None)
        self._put(new_folder, new_name, ino)
        for touched in (ino, other):
            if touched is not None:
                self._stamp(touched)

    def _refuse_loop(self, ino: int, folder: int) -> None:
        below = [ino]
        while below:
            at = below.pop()
            if at == folder:
                raise InvalidArgument("a directory into itself")
            below += (self.nodes[at].names or {}).values()

    def _refuse_replacing(self, ino: int, other: int, new: str) -> None:
        if self.nodes[ino].names is None:
            if self.nodes[other].names is not None:
                raise IsADirectory(new)
        elif self.nodes[other].names is None:
            raise NotADirectory(new)
        elif self.nodes[other].names:
            raise NotEmpty(new)

    # --- attributes -------------------------------------------------------------------------

    def _attributes(self, path: str, changes: Mapping[str, int]) -> None:
        ino = self._tree.ino(path)
        node = self.nodes[ino]
        mode = node.mode
        if "mode" in changes:
            mode = stat.S_IFMT(mode) | stat.S_IMODE(changes["mode"])
        elif ("uid" in changes or "gid" in changes) and node.names is None:
            mode = _plain(mode)
        self.nodes[ino] = node._replace(
            mode=mode,
            uid=changes.get("uid", node.uid),
            gid=changes.get("gid", node.gid),
            mtime=changes.get("mtime_ns", node.mtime),
            ctime=self._now,
        )

    def _xattr(self, path: str, name: bytes, value: bytes) -> None:
        ino = self._tree.ino(path)
        xattrs = dict(self.nodes[ino].xattrs)
        if not value and name in xattrs:
            del xattrs[name]
        else:
            xattrs[name] = value
        self.nodes[ino] = self.nodes[ino]._replace(xattrs=xattrs, ctime=self._now)

    # --- contents ---------------------------------------------------------------------------

    def _content(self, ino: int) -> bytes:
        node = self.nodes[ino]
        if node.names is not None:
            raise IsADirectory(str(ino))
        if node.content is None:
            raise InvalidArgument(str(ino))
        return node.content

    def _become(self, ino: int, content: bytes) -> None:
        node = self.nodes[ino]
        self.nodes[ino] = node._replace(
            content=content, mode=_plain(node.mode), mtime=self._now, ctime=self._now
        )

    def _write_into(self, ino: int, offset: int, data: bytes) -> None:
        content = self._content(ino).ljust(offset, b"\0")
        self._become(ino, content[:offset] + data + content[offset + len(data) :])

    def _write(self, path: str, offset: int, data: Any) -> None:
        self._write_into(self._tree.ino(path), offset, data.make())

    def _append(self, path: str, data: Any) -> None:
        ino = self._tree.ino(path)
        self._write_into(ino, len(self._content(ino)), data.make())

    def _write_open(self, handle: int, data: Any) -> None:
        if handle in self._handles:
            self._write_into(self._handles[handle], 30, data.make())

    def _truncate(self, path: str, size: int) -> None:
        ino = self._tree.ino(path)
        self._become(ino, self._content(ino)[:size].ljust(size, b"\0"))

    def _punch(self, path: str, offset: int, length: int) -> None:
        ino = self._tree.ino(path)
        content = self._content(ino)
        length = min(length, len(content) - offset)
        if length > 0:
            self._write_into(ino, offset, bytes(length))

    def _clone(self, source: str, offset: int, length: int, target: str, target_offset: int) -> None:
        ino, other = self._tree.ino(source), self._tree.ino(target)
        if ino == other:
            return
        data = self._content(ino)[offset : offset + length]
        self._content(other)
        if data:
            self._write_into(other, target_offset, data)

    def _read(self, path: str) -> None:
        self._content(self._tree.ino(path))

    def _read_open(self, handle: int) -> None:
        if handle in self._handles:
            self._content(self._handles[handle])

    def _begin_read(self, path: str, client: int) -> None:
        self._content(self._tree.ino(path))

    def _open(self, path: str, handle: int) -> None:
        if self.nodes[self._tree.ino(path)].names is not None:
            raise IsADirectory(path)


def _plain(mode: int) -> int:
    """Without set-id bits, as after a change of content or owner."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode
