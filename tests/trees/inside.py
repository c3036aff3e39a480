"""What a tree inside a file system looks like, to compare: all that a copy must have as well.

Reads without leaving a trace. Leaves out inode numbers and times of change; further names are told as the
first path of the same inode.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from vfs.backing.tree_rows import EntryRow
from vfs.contents import ReadPlan
from vfs.errors import NoSpace
from vfs.filesystem import FileSystem
from vfs.inode.extents import Lost, is_hole
from vfs.inode.inode import Inode

Told = dict[bytes, dict[str, Any]]


def told(fs: FileSystem, ino: int) -> Told:
    """Everything at and below an inode, by path."""
    found: Told = {}
    first: dict[int, bytes] = {}
    _walk(fs, fs.get(ino), b"", found, first)
    return found


def _walk(fs: FileSystem, inode: Inode, path: bytes, found: Told, first: dict[int, bytes]) -> None:
    entry: dict[str, Any] = {
        "mode": oct(inode.mode),
        "owner": (inode.uid, inode.gid),
        "times": (inode.atime_ns, inode.mtime_ns),
        "xattrs": dict(fs.table.xattrs(inode)),
        "rdev": inode.rdev,
        "target": inode.target,
        "size": inode.size,
        "allocated": inode.allocated,
        "same as": first.setdefault(inode.ino, path),
    }
    found[path] = entry
    if inode.is_file:
        entry["content"] = content(fs, inode)
    elif inode.is_directory:
        entry["links"] = inode.nlink
        for name, ino, _, _ in sorted(_rows(fs, inode)):
            _walk(fs, fs.get(ino), path + b"/" + name, found, first)


def content(fs: FileSystem, inode: Inode) -> str:
    """A hash of what is in a file, and of where its holes and lost ranges are."""
    digest = hashlib.blake2b(digest_size=8)
    at = 0
    for extent in fs.table.file(inode).plan(0, inode.size):
        if type(extent) is Lost or is_hole(extent):
            digest.update(b"%s from %d;" % (type(extent).__name__.encode(), at))
        else:
            digest.update(fs.run_read(ReadPlan([extent], extent.length)))
        at += extent.length
    return f"{digest.hexdigest()} to {at}"


def names(fs: FileSystem, ino: int = 1) -> list[bytes]:
    """What is in a folder."""
    return sorted(row[0] for row in _rows(fs, fs.get(ino)))


def _rows(fs: FileSystem, folder: Inode) -> list[EntryRow]:
    rows: list[EntryRow] = []
    cookie = 2
    while more := fs.table.directory(folder).list_after(cookie, 1000):
        rows += more
        cookie = more[-1][2]
    return rows


def room_for(need_room: Callable[[int], None], most: int) -> Callable[[int], None]:
    """A `need_room` that is asked in vain after so many times."""
    asked = 0

    def need(size: int) -> None:
        nonlocal asked
        asked += 1
        if asked > most:
            raise NoSpace("the disk that holds the store is full")
        need_room(size)

    return need
