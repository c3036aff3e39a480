"""The POSIX rules of attributes: mode, owner, times, extended attributes.

Promises nanosecond times within the years 1677 to 2262 and that a change of owner clears the set-id bits.
Never decides who may change what, but for one kind of chown: the kernel checks that before it asks.
"""

import stat

from vfs.changes import SetAttributes, SetXattr
from vfs.clock import now_ns
from vfs.contents import without_privileges
from vfs.errors import (
    AttributeNameTooLong,
    AttributeTooLarge,
    Exists,
    NoAttribute,
    NotPermitted,
    NotSupported,
)
from vfs.inode.inode import Inode
from vfs.journal import Journal
from vfs.limits import XATTR_BYTES, XATTR_LIST_BYTES, XATTR_NAME_BYTES, XATTR_VALUE_BYTES
from vfs.numbers import LOCAL_MASK

XATTR_CREATE = 1
XATTR_REPLACE = 2

XATTR_NAMESPACES = (b"user.", b"trusted.", b"security.")
_TIME_LIMIT = 2**63 - 1


class Attributes(Journal):
    """Attributes of inodes."""

    def set_attributes(
        self,
        ino: int,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
        ctime_ns: int | None = None,
    ) -> Inode:
        """chmod, chown and utimens in one; what is None stays. Without `ctime_ns` it is now.

        Nothing is recorded where all is so already: with its write-back cache the kernel sends the times of
        each file that it has renamed or unlinked, and mostly they are those that we gave it.
        """
        if self.read_only or ino > LOCAL_MASK or self.log.failed is not None:
            self.writable(ino)
        inode = self.table.get(ino)
        new_mode = inode.mode if mode is None else stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)
        if (uid is not None or gid is not None) and mode is None and not inode.is_directory:
            new_mode = without_privileges(new_mode)
        uid = inode.uid if uid is None else uid
        gid = inode.gid if gid is None else gid
        atime_ns = inode.atime_ns if atime_ns is None else _bounded(atime_ns)
        mtime_ns = inode.mtime_ns if mtime_ns is None else _bounded(mtime_ns)
        ctime_ns = now_ns() if ctime_ns is None else _bounded(ctime_ns)
        if (
            ctime_ns != inode.ctime_ns
            or mtime_ns != inode.mtime_ns
            or atime_ns != inode.atime_ns
            or (new_mode, uid, gid) != (inode.mode, inode.uid, inode.gid)
        ):
            self.table.tracker.before_logging(inode)
            self.record(SetAttributes(ino, new_mode, uid, gid, atime_ns, mtime_ns, ctime_ns))
        return inode

    def chown_to_nobody_else(self, ino: int, caller_uid: int, *, ctime_ns: int | None = None) -> Inode:
        """chown(2) that leaves owner and group as they are: like any other one it clears the set-id bits.

        NotPermitted for a caller who is neither the owner nor root, if there are any to be cleared: the
        kernel, which leaves the bits to us, lets everybody pass.
        """
        inode = self.table.get(ino)
        keeps = inode.is_directory or without_privileges(inode.mode) == inode.mode
        if not keeps and caller_uid not in (0, inode.uid):
            raise NotPermitted(f"the set-id bits of inode {ino} are not user {caller_uid}'s")
        return self.set_attributes(ino, uid=inode.uid, ctime_ns=ctime_ns)

    def clear_set_ids(self, ino: int, caller_gid: int) -> None:
        """What precedes a change of content by somebody who may not keep the set-id bits of a file.

        Whoever is of its group keeps the set-group-id bit of a file that the group may not execute, as on
        ext4; but we know only one of the groups that the caller is of.
        """
        inode = self.table.get(ino)
        mode = without_privileges(inode.mode)
        if caller_gid != inode.gid:
            mode &= ~stat.S_ISGID
        if mode != inode.mode and not inode.is_directory:
            self.set_attributes(ino, mode=mode)

    def get_xattr(self, ino: int, name: bytes) -> bytes:
        """The value of an extended attribute."""
        inode = self.table.get(ino)
        attributes = inode.xattrs
        if attributes is None:
            attributes = self._xattrs(inode)
        try:
            return attributes[name]
        except KeyError:
            raise NoAttribute(name.decode(errors="backslashreplace")) from None

    def list_xattrs(self, ino: int) -> list[bytes]:
        """The names of all extended attributes."""
        return sorted(self._xattrs(self.table.get(ino)))

    def _xattrs(self, inode: Inode) -> dict[bytes, bytes]:
        attributes = self.table.xattrs(inode)
        if self.limiter.over:
            self.relieve()
        return attributes

    def set_xattr(self, ino: int, name: bytes, value: bytes, flags: int = 0) -> None:
        """Set one; XATTR_CREATE wants it new, XATTR_REPLACE wants it there."""
        self.writable(ino)
        inode = self.table.get(ino)
        if not name.startswith(XATTR_NAMESPACES):
            raise NotSupported(name.decode(errors="backslashreplace"))
        if len(name) > XATTR_NAME_BYTES:
            raise AttributeNameTooLong(name.decode(errors="backslashreplace"))
        if len(value) > XATTR_VALUE_BYTES:
            raise AttributeTooLarge(f"{len(value)} bytes")
        attributes = self.table.xattrs(inode)
        if flags & XATTR_CREATE and name in attributes:
            raise Exists(name.decode(errors="backslashreplace"))
        if flags & XATTR_REPLACE and name not in attributes:
            raise NoAttribute(name.decode(errors="backslashreplace"))
        if name not in attributes and sum(len(n) + 1 for n in attributes) + len(name) + 1 > XATTR_LIST_BYTES:
            raise AttributeTooLarge("too many extended attributes")
        if sum(len(n) + len(v) for n, v in attributes.items() if n != name) + len(name + value) > XATTR_BYTES:
            raise AttributeTooLarge("its extended attributes take too much in all")
        self.need_room(len(value) + 512)
        self.table.tracker.before_logging(inode)
        self.record(SetXattr(ino, name, value, now_ns()))
        if self.limiter.over:
            self.relieve()

    def remove_xattr(self, ino: int, name: bytes) -> None:
        """Remove one."""
        self.writable(ino)
        inode = self.table.get(ino)
        if name not in self.table.xattrs(inode):
            raise NoAttribute(name.decode(errors="backslashreplace"))
        self.table.tracker.before_logging(inode)
        self.record(SetXattr(ino, name, None, now_ns()))


def _bounded(time: int) -> int:
    return time if -_TIME_LIMIT <= time <= _TIME_LIMIT else _TIME_LIMIT if time > 0 else -_TIME_LIMIT
