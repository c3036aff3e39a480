"""Removing an entry with all that is in it, in slices.

Promises to remove only what lies below that very inode, found under the name that was given, whoever changes
what meanwhile; and to take memory for the depth of the tree alone. Moves and follows nothing.
"""

import stat
from collections.abc import Iterator

from vfs.errors import NoEntry
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.trees.planter import Changed

ROWS = 50
"""Removed between two looks at what clients want: some milliseconds."""

DIRECTORY_KIND = stat.S_IFDIR >> 12


def remove(fs: FileSystem, parent: int, name: bytes, ino: int, changed: list[Changed]) -> Iterator[None]:
    """Remove the inode from under that name, a folder with all that is in it; stops now and then.

    What the kernel may know of is added to `changed`. Nothing is done where the name has come to lead to
    something else.
    """
    levels = [
        (parent, name, ino, 2)
    ]  # folder, name in it, inode, cookie of the last entry that was looked at
    while levels:
        parent, name, ino, cookie = levels.pop()
        try:
            folder, found = fs.get(parent), fs.find(parent, name)
        except NoEntry:
            continue  # somebody else removes it too
        if found is None or found.ino != ino:
            continue
        if folder.lookups:
            changed.append(Changed(parent, name))
        if not found.is_directory:
            fs.unlink(parent, name)
            tell_links(found, changed)
            continue
        rows = fs.readdir(ino, cookie, ROWS)
        if not rows:
            fs.rmdir(parent, name)
            continue
        for inner, child, at, kind in rows:
            cookie = at
            if kind == DIRECTORY_KIND:
                levels += [(parent, name, ino, cookie), (ino, inner, child, 2)]
                break
            if found.lookups:
                changed.append(Changed(ino, inner))
            fs.unlink(ino, inner)
            tell_links(fs.table.in_memory(child), changed)
        else:
            levels.append((parent, name, ino, cookie))
        yield


def tell_links(inode: Inode | None, changed: list[Changed]) -> None:
    """A name of the inode has gone: how many it has is news to whoever knows it by another one."""
    if inode is not None and inode.nlink and inode.lookups:
        changed.append(Changed(inode.ino, b"", is_file=True))
