"""A whole file system as one comparable value: names, attributes, contents, extended attributes, totals.

Reads without leaving a trace: no access time changes, nothing is logged.
"""

import hashlib
from itertools import groupby
from typing import Any

from vfs.contents import ReadPlan
from vfs.filesystem import FileSystem
from vfs.inode.extents import Lost
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO

Tree = dict[str, Any]
"""Path -> attributes, content hash, extended attributes; `totals` under the empty path."""

_PIECE_BYTES = 1 << 20


def tree(fs: FileSystem) -> Tree:
    """Everything that a program could find out."""
    found: Tree = {"": fs.table.totals.to_meta()}
    _walk(fs, "/", fs.get(ROOT_INO), found)
    return found


def _walk(fs: FileSystem, path: str, inode: Inode, found: Tree) -> None:
    attributes = dict(fs.table.xattrs(inode))
    found[path] = (inode.row(), attributes, _content_hash(fs, inode) if inode.is_file else None)
    if inode.is_directory:
        cookie = 2
        while rows := fs.table.directory(inode).list_after(cookie, 1000):
            for name, ino, cookie, _ in rows:  # noqa: B007 - the last cookie is where to go on
                _walk(fs, f"{path.rstrip('/')}/{name.decode()}", fs.get(ino), found)


def _content_hash(fs: FileSystem, inode: Inode) -> str:
    digest = hashlib.blake2b(digest_size=8)
    file = fs.table.file(inode)
    for offset in range(0, inode.size, _PIECE_BYTES):
        length = min(_PIECE_BYTES, inode.size - offset)
        for is_lost, group in groupby(file.plan(offset, length), lambda extent: type(extent) is Lost):
            extents = list(group)
            held = sum(extent.length for extent in extents)
            digest.update(b"lost %d" % held if is_lost else fs.run_read(ReadPlan(extents, held)))
    return digest.hexdigest()


def difference(found: Tree, expected: Tree) -> list[str]:
    """What differs, in lines for a message."""
    lines = [f"missing: {path} {expected[path]}" for path in expected.keys() - found.keys()]
    lines += [f"too many: {path} {found[path]}" for path in found.keys() - expected.keys()]
    for path in found.keys() & expected.keys():
        if found[path] != expected[path]:
            lines.append(f"{path!r} is {found[path]}, was {expected[path]}")
    return lines
