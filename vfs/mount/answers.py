"""Attributes of inodes as the kernel is told of them.

Promises that an answer names the inode by its node id, and that it is made once for as long as the attributes
are what they are. Never changes an inode, but for the count of how often the kernel was told.
"""

from pyfuse3 import EntryAttributes, StatvfsData

from vfs.filesystem import FileSystem, Statistics
from vfs.inode.inode import Inode
from vfs.mount.nodes import NodeIds
from vfs.numbers import LOCAL_MASK, SNAPSHOTS_INO, tree_of


class Answers:
    """Makes answers. The kernel keeps them for `timeout_seconds`, but not what comes and goes without it."""

    def __init__(self, fs: FileSystem, nodes: NodeIds, timeout_seconds: float) -> None:
        self._fs = fs
        self._nodes = nodes
        self._timeout = timeout_seconds
        self._missing = _nothing(timeout_seconds)
        self._missing_now = _nothing(0)

    def missing(self, directory: int) -> EntryAttributes:
        """For a name that there is not in a directory."""
        return self._missing if directory != SNAPSHOTS_INO else self._missing_now

    def attributes(self, inode: Inode) -> EntryAttributes:
        """Its attributes, as the kernel may keep them."""
        view = inode.view
        if view is not None and view[0] == inode.version:
            known: EntryAttributes = view[1]
            return known
        entry = self._entry(inode)
        comes_and_goes = inode.ino > LOCAL_MASK and self._comes_and_goes(inode.ino)
        entry.entry_timeout = entry.attr_timeout = 0 if comes_and_goes else self._timeout
        inode.view = (inode.version, entry)
        return entry

    def told(self, inode: Inode) -> EntryAttributes:
        """Attributes in an answer that makes the kernel know the inode."""
        inode.lookups += 1
        return self.attributes(inode)

    def passing(self, inode: Inode | None) -> EntryAttributes:
        """The same, or that there is none, under a name that is to be asked for each time."""
        if inode is None:
            return self._missing_now
        inode.lookups += 1
        entry = self._entry(inode)
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def unreadable(self, number: int, kind: int) -> EntryAttributes:
        """What is said of a listed inode that cannot be read: nothing that lasts, so whoever wants to know
        more asks again, and gets the error."""
        entry = EntryAttributes()
        entry.st_ino = self._nodes.node(number)
        entry.st_mode = kind << 12
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def _comes_and_goes(self, number: int) -> bool:
        """Whether an inode is the directory of snapshots or one of those that are found in it."""
        if number == SNAPSHOTS_INO:
            return True
        tree = self._fs.table.trees.get(tree_of(number))
        return tree is not None and not tree.live and tree.root_ino == number

    def _entry(self, inode: Inode) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_ino = self._nodes.node(inode.ino) if self._nodes.renumbered else inode.ino
        entry.st_mode = inode.mode
        entry.st_nlink = inode.nlink
        entry.st_uid = inode.uid
        entry.st_gid = inode.gid
        entry.st_rdev = inode.rdev
        entry.st_size = inode.size
        entry.st_blksize = 4096
        entry.st_blocks = (inode.allocated + 511) >> 9
        entry.st_atime_ns = inode.atime_ns
        entry.st_mtime_ns = inode.mtime_ns
        entry.st_ctime_ns = inode.ctime_ns
        return entry


def _nothing(timeout_seconds: float) -> EntryAttributes:
    entry = EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = entry.attr_timeout = timeout_seconds
    return entry


def statvfs_data(figures: Statistics) -> StatvfsData:
    """The figures of the file system for statvfs(3)."""
    data = StatvfsData()
    data.f_bsize = data.f_frsize = figures.block_bytes
    data.f_blocks = figures.blocks
    data.f_bfree, data.f_bavail = figures.unused_blocks, figures.free_blocks
    data.f_files = figures.files
    data.f_ffree = data.f_favail = figures.free_files
    data.f_namemax = figures.name_bytes
    return data
