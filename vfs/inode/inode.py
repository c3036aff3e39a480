"""One inode in memory: its attributes, and what hangs on it while it is here.

Promises that `row()` and `from_row` are each other's inverse. Never reads or writes a store.
"""

import stat
from typing import Any

from vfs.backing.transaction import InodeRow
from vfs.inode.directory import Directory
from vfs.inode.offloaded import OffloadedFile


class Inode:
    """Attributes as in stat(2); times in nanoseconds since 1970; sizes in bytes.

    A directory's `size` is its number of entries and its `cookie` is the cookie that its next new entry gets.
    `parent` is the directory that a directory lies in (any of them for other kinds, for repair only).
    INVARIANT: for a file with `file` loaded, size and allocated equal the file's.
    """

    __slots__ = (
        "ahead_end",
        "allocated",
        "atime_ns",
        "birth_ns",
        "cookie",
        "ctime_ns",
        "directory",
        "dropped",
        "entered",
        "file",
        "gid",
        "ino",
        "lookups",
        "mode",
        "mtime_ns",
        "nlink",
        "opens",
        "parent",
        "persisted",
        "rdev",
        "read_end",
        "size",
        "target",
        "uid",
        "used",
        "version",
        "view",
        "xattrs",
        "xattrs_changed",
    )

    def __init__(self, row: InodeRow, *, persisted: bool) -> None:
        (
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.size,
            self.allocated,
            self.rdev,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            self.birth_ns,
            self.parent,
            self.cookie,
            self.target,
        ) = row
        self.persisted = persisted  # the index has, or is being given, rows of this inode
        self.file: OffloadedFile | None = None
        self.directory: Directory | None = None
        self.xattrs: dict[bytes, bytes] | None = None
        self.xattrs_changed = False
        self.lookups = 0  # how often the kernel was told of it, less what it has forgotten
        self.opens = 0
        self.dropped = False
        self.entered = 0  # of a directory: the cookie of the entry that it was found by, or put under since
        self.used = True
        self.version = 0  # grows with each change of an attribute
        self.read_end = 0  # where the last read ended, and how far behind it packed data was asked for
        self.ahead_end = 0
        self.view: tuple[int, Any] | None = None  # (version, what the layer above made of the attributes)

    def row(self) -> InodeRow:
        """The inode as the index keeps it."""
        return (
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.size,
            self.allocated,
            self.rdev,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            self.birth_ns,
            self.parent,
            self.cookie,
            self.target,
        )

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return self.mode & 0o170000 == 0o040000

    @property
    def is_file(self) -> bool:
        """True for a regular file."""
        return self.mode & 0o170000 == 0o100000

    @property
    def is_symlink(self) -> bool:
        """True for a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def held(self) -> bool:
        """True while the kernel or an open handle refers to it."""
        return self.lookups > 0 or self.opens > 0
