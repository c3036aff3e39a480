"""Losing bytes of a file as a repair would note it, so that everything else can be tried with lost ranges.

Only a record that is logged; nothing here damages a store.
"""

from vfs.changes import Place
from vfs.filesystem import FileSystem
from vfs.inode.extents import Lost
from vfs.inode.inode import Inode


def lose(fs: FileSystem, inode: Inode, offset: int, length: int) -> None:
    """Bytes [offset, offset+length) of a file, as far as it has them, are a lost range from now on."""
    length = min(length, inode.size - offset)
    if length > 0:
        fs.table.tracker.before_logging(inode)
        fs.table.file(inode).load(offset, length)
        fs.record(Place(inode.ino, offset, inode.size, inode.mode, inode.mtime_ns, (Lost(length),)))
