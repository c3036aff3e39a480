"""A store as the model's beginning: what a repair has left becomes what must be there from now on.

What the repair has noted as lost is emptied first, as a user would who has a copy elsewhere.
"""

from tests.simulation.model import Node
from tests.simulation.worlds import World
from vfs.errors import RangeLost
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO


def adopted(fs: FileSystem) -> World:
    """The tree of a store, all of which can be read afterwards."""
    nodes: dict[int, Node] = {}
    _adopt(fs, fs.get(ROOT_INO), nodes)
    return World(nodes)


def _adopt(fs: FileSystem, inode: Inode, nodes: dict[int, Node]) -> None:
    content = _content(fs, inode) if inode.is_file else None
    names: dict[str, int] | None = None
    if inode.is_directory:
        names = {}
        cookie = 2
        while rows := fs.table.directory(inode).list_after(cookie, 1000):
            for name, ino, cookie, _ in rows:  # noqa: B007 - the last cookie is where to go on
                names[name.decode()] = ino
    nodes[inode.ino] = Node(
        inode.mode,
        inode.birth_ns,
        inode.mtime_ns,
        inode.ctime_ns,
        inode.uid,
        inode.gid,
        content,
        names,
        inode.target,
        dict(fs.table.xattrs(inode)),
    )
    for ino in (names or {}).values():
        if ino not in nodes:
            _adopt(fs, fs.get(ino), nodes)


def _content(fs: FileSystem, inode: Inode) -> bytes:
    try:
        return bytes(fs.read(inode.ino, 0, inode.size))
    except RangeLost:
        fs.truncate(inode.ino, 0)
        return b""
