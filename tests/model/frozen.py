"""A moment of the world in plain Python: every node with all that it holds, and how the host gets it back.

It is what a snapshot must show, what a rollback must make of the whole tree and a clone of a part of it.
Never asks vfs for anything.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tests.model.node import Node, Times, host_times
from tests.model.ranges import Range
from vfs.numbers import tree_of


class FrozenNode(NamedTuple):
    """One inode of that moment, under the number that it had in the live trees."""

    ino: int
    mode: int
    uid: int
    gid: int
    rdev: int
    links: int
    outside: int
    size: int
    ranges: list[Range]
    data: list[bytes]
    """What lies in each of the ranges."""
    target: bytes | None
    xattrs: Mapping[bytes, bytes]
    times: Times
    names: Mapping[bytes, int] | None
    """Of a directory: what its names lead to."""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


Frozen = dict[int, FrozenNode]
"""All nodes by number, also those without a name that somebody held."""


def freeze(nodes: Iterable[Node]) -> Frozen:
    """The nodes as they are now."""
    nodes = list(nodes)
    numbers = {node.host_ino: node.ino for node in nodes}
    return {node.ino: _frozen(node, numbers) for node in nodes}


def _frozen(node: Node, numbers: dict[int, int]) -> FrozenNode:
    status = node.status()
    names = None
    if node.is_directory:
        names = {name: numbers[host_ino] for name, (host_ino, _) in node.names().items()}
    return FrozenNode(
        *(node.ino, status.st_mode, status.st_uid, status.st_gid, status.st_rdev, node.links, node.outside),
        status.st_size if node.is_file else 0,
        list(node.ranges.ranges),
        [os.pread(node.data_fd, stop - start, start) for start, stop in node.ranges.ranges],
        os.readlink(b"", dir_fd=node.fd) if stat.S_ISLNK(node.kind) else None,
        dict(node.xattrs),
        node.times,
        names,
    )


def below(frozen: Frozen, ino: int) -> dict[int, int]:
    """The nodes at and below a directory, each with the number of names that it has there."""
    found = {ino: 1}
    waiting = [ino]
    while waiting:
        for child in (frozen[waiting.pop()].names or {}).values():
            if child not in found:
                waiting.append(child)
            found[child] = found.get(child, 0) + 1
    return found


def find_path(frozen: Frozen, root: int, ino: int) -> str | None:
    """A path from `root` to a directory, without a slash before it; None where there is none."""
    waiting = [(root, "")]
    while waiting:
        at, path = waiting.pop()
        if at == ino:
            return path
        for name, child in (frozen[at].names or {}).items():
            waiting.append((child, f"{path}/{os.fsdecode(name)}".lstrip("/")))
    return None


class Planter:
    """Puts frozen nodes into a directory of the host. `number` says what each is called from now on."""

    def __init__(self, frozen: Frozen, number: Callable[[int], int]) -> None:
        self._frozen = frozen
        self._number = number
        self.nodes: dict[int, Node] = {}

    def fill(self, folder: int, names: Mapping[bytes, int]) -> None:
        """Everything that these names lead to."""
        for name, ino in names.items():
            self.plant(ino, folder, name)

    def plant(self, ino: int, folder: int, name: bytes) -> Node:
        """One node with all below it; another name of one that is there already."""
        there = self.nodes.get(self._number(ino))
        if there is not None:
            os.link(there.path, name, dst_dir_fd=folder, follow_symlinks=True)
            there.links += 1
            there.host_times = host_times(there)
            return there
        found = self._frozen[ino]
        _make(found, folder, name)
        node = Node(self._number(ino), os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder))
        self.nodes[node.ino] = node
        if found.names is not None:
            self.fill(node.fd, found.names)
        dress(node, found)
        return node


def _make(found: FrozenNode, folder: int, name: bytes) -> None:
    if found.is_directory:
        os.mkdir(name, 0o700, dir_fd=folder)
    elif found.target is not None:
        os.symlink(found.target, name, dir_fd=folder)
    else:
        os.mknod(name, stat.S_IFMT(found.mode) | 0o600, found.rdev, dir_fd=folder)


def dress(node: Node, found: FrozenNode) -> None:
    """Content, attributes and what the model notes of a node."""
    if node.is_file:
        os.truncate(node.data_fd, found.size)
        for (start, _), data in zip(found.ranges, found.data, strict=True):
            os.pwrite(node.data_fd, data, start)
        node.ranges.ranges = list(found.ranges)
    for name, value in found.xattrs.items():
        if name.startswith(b"user."):
            os.setxattr(node.path, name, value)
    os.chown(node.path, found.uid, found.gid)
    if found.target is None:
        os.chmod(node.path, stat.S_IMODE(found.mode))
    node.xattrs = dict(found.xattrs)
    node.times, node.host_times = found.times, host_times(node)


def clear(node: Node) -> None:
    """A directory of the host becomes empty."""
    folder = os.readlink(node.path)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    for name in os.listxattr(node.path):
        if name.startswith("user."):
            os.removexattr(node.path, name)


def trees_in(frozen: Frozen) -> set[int]:
    """The live trees of that moment."""
    return {tree_of(ino) for ino in frozen}
