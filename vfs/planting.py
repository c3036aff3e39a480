"""Whole files at once: new entries with all their attributes, whose bytes lie in the store already.

Promises that each entry appears as a whole, in one record of the log, or, where it is too large for one,
under its name only when all of it is there; and that what it replaces is gone in that very moment. Never
reads or writes data, and follows no symbolic link: whoever plants says where.
"""

import stat
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from vfs.attributes import XATTR_NAMESPACES
from vfs.changes import (
    AnyChange,
    Create,
    CreateUnnamed,
    Link,
    Place,
    SetAttributes,
    SetXattr,
    Together,
    Unlink,
)
from vfs.clock import now_ns
from vfs.contents import CLONE_EXTENTS
from vfs.errors import FileTooLarge, IsADirectory, NameTooLong, NotADirectory, TooManyLinks
from vfs.inode.extents import Encodable
from vfs.inode.inode import Inode
from vfs.limits import (
    FILE_BYTES,
    FRAME_COMMAND_BYTES,
    LINKS,
    TARGET_BYTES,
    XATTR_BYTES,
    XATTR_LIST_BYTES,
    XATTR_NAME_BYTES,
    XATTR_VALUE_BYTES,
)
from vfs.namespace import RECORD_BYTES
from vfs.paths import Paths

EXTENT_BYTES = 32
"""More than an extent takes in a record."""

TOGETHER_BYTES = FRAME_COMMAND_BYTES // 2
"""Most that is put into one record, as we estimate it."""

Xattrs = Mapping[bytes, bytes]
NO_XATTRS: Xattrs = MappingProxyType({})
Extents = Sequence[Encodable]


class Look(NamedTuple):
    """The attributes of an entry that is planted. `atime_ns` None: now."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None = None
    rdev: int = 0
    target: bytes | None = None
    xattrs: Xattrs = NO_XATTRS


class Planting(Paths):
    """Operations for whoever brings whole trees in."""

    def plant(self, parent: int, name: bytes, look: Look, extents: Extents = ()) -> Inode:
        """A new entry of any kind but a folder, in place of one that is no folder."""
        directory, old = self._free_place(parent, name)
        size = _checked(look, extents)
        need = _estimate(look, extents)
        if need > TOGETHER_BYTES and not stat.S_ISREG(look.mode):
            inode = self.plant(parent, name, look._replace(xattrs={}))
            self.dress(inode.ino, look)
            return inode
        if need > TOGETHER_BYTES:
            ino = self.plant_unnamed(parent, look)
            try:
                self.extend_unnamed(ino, extents)
                return self.name_unnamed(ino, parent, name, look)
            except BaseException:
                if self.failed is None:
                    self.release(ino)
                raise
        self.need_room(RECORD_BYTES + need)
        ino = self.new_ino(parent)
        now = now_ns()
        self._record_together(
            old,
            (
                *_unlinked(directory, name, old, now),
                Create(
                    *(parent, name, directory.cookie, ino, look.mode, look.uid, look.gid, look.rdev, now),
                    *(directory.nlink, 1, look.target),
                ),
                *_placed(ino, 0, extents, look.mode, now),
                *_attributed(ino, look, now),
            ),
        )
        assert size == 0 or self.table.get(ino).size == size, "the extents are the file"
        return self.table.get(ino)

    def plant_directory(self, parent: int, name: bytes, look: Look) -> Inode:
        """The folder of that name, which is made where there is none. Its times are the caller's business.

        NotADirectory when something else has the name.
        """
        found = self._entry(self._directory(parent), name)
        if found is not None:
            inode = self.named(self._directory(parent), found)
            if not inode.is_directory:
                raise NotADirectory("something that is no folder has that name")
            return inode
        directory = self._place_for(parent, name)
        self.need_room(RECORD_BYTES)
        ino = self.new_ino(parent)
        now = now_ns()
        nlink = directory.nlink + 1
        self.record(
            Create(parent, name, directory.cookie, ino, look.mode, look.uid, look.gid, 0, now, nlink, 2, None)
        )
        return self.table.get(ino)

    def plant_link(self, ino: int, parent: int, name: bytes) -> None:
        """One more name for anything but a folder, in place of an entry that is no folder."""
        directory, old = self._free_place(parent, name)
        inode = self.table.get(ino)
        if inode.is_directory:
            raise IsADirectory("a hard link to a folder")
        if old is inode:
            return
        if inode.nlink >= LINKS:
            raise TooManyLinks(f"inode {ino}")
        self.need_room(RECORD_BYTES)
        now = now_ns()
        self.table.tracker.before_logging(inode)
        self._record_together(
            old,
            (
                *_unlinked(directory, name, old, now),
                Link(ino, parent, name, directory.cookie, inode.nlink + 1, now),
            ),
        )

    def dress(self, ino: int, look: Look) -> None:
        """Give an inode all these attributes; extended ones that it has beside them stay."""
        self.writable(ino)
        inode = self.table.get(ino)
        self.need_room(RECORD_BYTES + _xattr_bytes(look.xattrs))
        self.table.tracker.before_logging(inode)
        known = self.table.xattrs(inode) if look.xattrs else {}
        for name, value in look.xattrs.items():
            if known.get(name) != value:
                self.record(SetXattr(ino, name, value, now_ns()))
        self.record(_attributes(ino, look, now_ns()))

    # --- files that come in pieces ------------------------------------------------------------

    def plant_unnamed(self, parent: int, look: Look) -> int:
        """A new file that nobody can find yet, held open; to be named or let go."""
        self.writable(parent)
        self.need_room(RECORD_BYTES)
        ino = self.new_ino(parent)
        self.record(CreateUnnamed(ino, parent, look.mode, look.uid, look.gid, now_ns()))
        self.table.get(ino).opens += 1
        return ino

    def extend_unnamed(self, ino: int, extents: Extents) -> None:
        """The file goes on with these extents."""
        inode = self.table.get(ino)
        for start in range(0, len(extents), CLONE_EXTENTS):
            part = extents[start : start + CLONE_EXTENTS]
            length = sum(extent.length for extent in part)
            if inode.size + length > FILE_BYTES:
                raise FileTooLarge(f"inode {ino}")
            self.need_room(RECORD_BYTES + EXTENT_BYTES * len(part))
            self._prepare(inode, inode.size, length)
            for change in _placed(ino, inode.size, part, inode.mode, now_ns()):
                self.record(change)
            self._relieved()

    def name_unnamed(self, ino: int, parent: int, name: bytes, look: Look) -> Inode:
        """All of the file is there: it gets its name, in place of an entry that is no folder."""
        directory, old = self._free_place(parent, name)
        inode = self.table.get(ino)
        _checked(look, ())
        self.dress(ino, look)
        now = now_ns()
        self._record_together(
            old,
            (
                *_unlinked(directory, name, old, now),
                Link(ino, parent, name, directory.cookie, 1, now),
            ),
        )
        self.release(ino)
        return inode

    # --- details ------------------------------------------------------------------------------

    def _free_place(self, parent: int, name: bytes) -> tuple[Inode, Inode | None]:
        """The directory, and what will be replaced in it."""
        directory = self._place_for(parent, name)
        entry = self._entry(directory, name)
        if entry is None:
            return directory, None
        old = self.named(directory, entry)
        if old.is_directory:
            raise IsADirectory("a folder has that name")
        return directory, old

    def _record_together(self, old: Inode | None, changes: Sequence[AnyChange]) -> None:
        if old is not None:
            self.table.tracker.before_logging(old)
        self.record(Together(tuple(changes)))  # type: ignore[arg-type]  # only of those that may be in it
        self._relieved()

    def _relieved(self) -> None:
        if self.limiter.over:
            self.relieve()


def storable(xattrs: Xattrs) -> dict[bytes, bytes]:
    """Those extended attributes that a file here may have."""
    kept: dict[bytes, bytes] = {}
    names = size = 0
    for name, value in xattrs.items():
        names += len(name) + 1
        if (
            name.startswith(XATTR_NAMESPACES)
            and len(name) <= XATTR_NAME_BYTES
            and len(value) <= XATTR_VALUE_BYTES
            and names <= XATTR_LIST_BYTES
            and size + len(name) + len(value) <= XATTR_BYTES
        ):
            kept[name] = value
            size += len(name) + len(value)
    return kept


def _checked(look: Look, extents: Extents) -> int:
    size = sum(extent.length for extent in extents)
    if size > FILE_BYTES:
        raise FileTooLarge(f"{size} bytes")
    if look.target is not None and not 0 < len(look.target) <= TARGET_BYTES:
        raise NameTooLong(f"a symbolic link to a path of {len(look.target)} bytes")
    return size


def _xattr_bytes(xattrs: Xattrs) -> int:
    return sum(len(name) + len(value) + 64 for name, value in xattrs.items())


def _estimate(look: Look, extents: Extents) -> int:
    return EXTENT_BYTES * len(extents) + _xattr_bytes(look.xattrs) + len(look.target or b"") + 1024


def _unlinked(directory: Inode, name: bytes, old: Inode | None, now: int) -> Iterator[Unlink]:
    if old is not None:
        yield Unlink(directory.ino, name, old.ino, old.nlink - 1, directory.nlink, now)


def _placed(ino: int, offset: int, extents: Extents, mode: int, now: int) -> Iterator[Place]:
    for start in range(0, len(extents), CLONE_EXTENTS):
        part = tuple(extents[start : start + CLONE_EXTENTS])
        length = sum(extent.length for extent in part)
        yield Place(ino, offset, offset + length, mode, now, part)
        offset += length


def _attributed(ino: int, look: Look, now: int) -> Iterator[SetXattr | SetAttributes]:
    for name, value in look.xattrs.items():
        yield SetXattr(ino, name, value, now)
    yield _attributes(ino, look, now)


def _attributes(ino: int, look: Look, now: int) -> SetAttributes:
    atime = now if look.atime_ns is None else look.atime_ns
    return SetAttributes(ino, look.mode, look.uid, look.gid, atime, look.mtime_ns, now)
