"""Extended attributes of inodes in memory, charged to the limiter like all that can be read again.

Promises that attributes which the index does not have yet stay, and that all others can be given up at any
time. Never logs, and never decides what an attribute may be.
"""

from collections.abc import Mapping
from typing import Protocol

from vfs.inode.inode import Inode
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.tracker import Tracker

ATTRIBUTE_BYTES = 128
"""What an attribute takes besides its name and value: two objects and a place in a dictionary."""


class XattrSource(Protocol):
    """Where the rows of attributes lie."""

    def xattrs(self, ino: int) -> dict[bytes, bytes]: ...


class XattrMemory:
    """The attributes of all inodes in memory. They hang on the inodes.

    INVARIANT: the limiter is charged `xattr_bytes` of what hangs on each inode.
    """

    def __init__(self, source: XattrSource, limiter: MemoryLimiter, tracker: Tracker) -> None:
        self._source = source
        self._limiter = limiter
        self._tracker = tracker

    def of(self, inode: Inode) -> dict[bytes, bytes]:
        """The attributes, to look at."""
        attributes = inode.xattrs
        if attributes is None:
            attributes = inode.xattrs = self._source.xattrs(inode.ino) if inode.persisted else {}
            if attributes:
                self._limiter.charge(inode.ino, xattr_bytes(attributes))
        return attributes

    def put(self, inode: Inode, name: bytes, value: bytes | None) -> None:
        """Set one; None removes it, if it is there."""
        attributes = self.of(inode)
        before = xattr_bytes({name: attributes[name]}) if name in attributes else 0
        if value is None:
            attributes.pop(name, None)
            self._limiter.charge(inode.ino, -before)
        else:
            attributes[name] = value
            self._limiter.charge(inode.ino, xattr_bytes({name: value}) - before)
        inode.xattrs_changed = True

    def shed(self, inode: Inode) -> None:
        """Give up what the index has as well."""
        if inode.xattrs and not self._tracker.holds_xattrs(inode):
            self.release(inode)

    def release(self, inode: Inode) -> None:
        """The inode goes, or its attributes do."""
        if inode.xattrs:
            self._limiter.charge(inode.ino, -xattr_bytes(inode.xattrs))
        inode.xattrs = None


def xattr_bytes(attributes: Mapping[bytes, bytes]) -> int:
    """What attributes take in memory, roughly."""
    return sum(len(name) + len(value) + ATTRIBUTE_BYTES for name, value in attributes.items())
