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
from vfs.numbers import local_of, tree_of

Tree = dict[str, Any]
"""Path -> attributes, content hash, extended attributes; `totals` under the empty path. What is in a snapshot
is under `NAME:/path`, what is told of it under `NAME:`. Numbers of inodes are those within their trees."""

_PIECE_BYTES = 1 << 20


def tree(fs: FileSystem) -> Tree:
    """Everything that a program could find out."""
    found: Tree = {"": fs.table.totals.to_meta()}
    _walk(fs, "/", fs.get(ROOT_INO), found)
    for facts in fs.snapshots():
        found[f"{facts.name}:"] = tuple(facts[1:])
        _walk(fs, f"{facts.name}:/", fs.snapshot_root(facts.name), found)
    return found


ROOT_OF_CLONE = "root of a clone"
"""In the place of a content hash."""


def _walk(fs: FileSystem, path: str, inode: Inode, found: Tree, tree: int | None = None) -> None:
    attributes = dict(fs.table.xattrs(inode))
    row = inode.row()
    row = (local_of(row[0]), *row[1:12], local_of(row[12]), *row[13:])
    content = _content_hash(fs, inode) if inode.is_file else None
    if tree not in (None, tree_of(inode.ino)):
        content = ROOT_OF_CLONE
    found[path] = (row, attributes, content)
    if inode.is_directory:
        cookie = 2
        while rows := fs.table.directory(inode).list_after(cookie, 1000):
            for name, ino, cookie, _ in rows:  # noqa: B007 - the last cookie is where to go on
                _walk(fs, f"{path.rstrip('/')}/{name.decode()}", fs.get(ino), found, tree_of(inode.ino))


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
