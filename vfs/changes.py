"""Every change of the file system as one record: what the log holds and what recovery replays.

A record states results (numbers, attributes, times), never how they were found, so applying one twice
equals applying it once. Live operations and recovery call the same `apply`.
Never checks whether a change is allowed: that happened before it was logged.
"""

from typing import Annotated

import msgspec

from vfs.errors import NoEntry
from vfs.inode.extents import ChunkRange, Encodable, Extent, Fill, Memory
from vfs.inode.table import InodeTable
from vfs.limits import LAST_NUMBER, MEMORY_WRITE_BYTES, TARGET_BYTES, XATTR_VALUE_BYTES
from vfs.record_types import (
    NOWHERE,
    Change,
    Cookie,
    DataPlace,
    Ino,
    InoOrNone,
    Links,
    Mode,
    Name,
    Offset,
    Owner,
    Run,
    Time,
)
from vfs.tree_changes import Clone, DropTree

__all__ = ["NOWHERE", "AnyChange", "Change", "DataPlace", "decode", "encode"]


class Create(Change, frozen=True, tag=1):
    """A new inode under a new name (file, directory, symbolic link, device, fifo, socket)."""

    parent: Ino
    name: Name
    cookie: Cookie
    ino: Ino
    mode: Mode
    uid: Owner
    gid: Owner
    rdev: Offset
    time_ns: Time
    parent_nlink: Links
    nlink: Links
    target: Annotated[bytes, msgspec.Meta(min_length=1, max_length=TARGET_BYTES)] | None = None

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.add(
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.rdev,
            self.time_ns,
            self.parent,
            self.target,
        )
        parent = table.get(self.parent)
        table.put_entry(parent, self.name, self.ino, self.cookie, inode.mode)
        inode.entered = self.cookie
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)


class Link(Change, frozen=True, tag=2):
    """One more name for an inode."""

    ino: Ino
    parent: Ino
    name: Name
    cookie: Cookie
    nlink: Links
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.set_links(inode, self.nlink, self.time_ns)
        parent = table.get(self.parent)
        table.put_entry(parent, self.name, self.ino, self.cookie, inode.mode)
        table.stamp_directory(parent, self.time_ns, parent.nlink)


class Unlink(Change, frozen=True, tag=3):
    """One name less (also of a directory)."""

    parent: Ino
    name: Name
    ino: Ino
    nlink: Links
    parent_nlink: Links
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        parent = table.get(self.parent)
        table.drop_entry(parent, self.name)
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.set_links(table.get(self.ino), self.nlink, self.time_ns)


class Rename(Change, frozen=True, tag=4):
    """An entry moves; what it replaces loses that name. `replaced` is 0 where the name was free."""

    parent: Ino
    name: Name
    new_parent: Ino
    new_name: Name
    ino: Ino
    cookie: Cookie
    parent_nlink: Links
    new_parent_nlink: Links
    replaced: InoOrNone
    replaced_nlink: Links
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        parent = table.get(self.parent)
        new_parent = parent if self.new_parent == self.parent else table.get(self.new_parent)
        if self.replaced:
            table.drop_entry(new_parent, self.new_name)
            table.set_links(table.get(self.replaced), self.replaced_nlink, self.time_ns)
        table.drop_entry(parent, self.name)
        table.put_entry(new_parent, self.new_name, self.ino, self.cookie, inode.mode)
        inode.entered = self.cookie
        if new_parent is not parent:
            table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.stamp_directory(new_parent, self.time_ns, self.new_parent_nlink)
        table.move(inode, self.new_parent, self.time_ns)


class Exchange(Change, frozen=True, tag=5):
    """Two entries change places."""

    parent: Ino
    name: Name
    ino: Ino
    cookie: Cookie
    parent_nlink: Links
    other_parent: Ino
    other_name: Name
    other_ino: Ino
    other_cookie: Cookie
    other_parent_nlink: Links
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode, other = table.get(self.ino), table.get(self.other_ino)
        parent, other_parent = table.get(self.parent), table.get(self.other_parent)
        table.drop_entry(parent, self.name)
        table.drop_entry(other_parent, self.other_name)
        table.put_entry(parent, self.name, self.other_ino, self.cookie, other.mode)
        table.put_entry(other_parent, self.other_name, self.ino, self.other_cookie, inode.mode)
        inode.entered, other.entered = self.other_cookie, self.cookie
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.stamp_directory(other_parent, self.time_ns, self.other_parent_nlink)
        table.move(inode, self.other_parent, self.time_ns)
        table.move(other, self.parent, self.time_ns)


class SetAttributes(Change, frozen=True, tag=6):
    """Mode, owner and times of an inode."""

    ino: Ino
    mode: Mode
    uid: Owner
    gid: Owner
    atime_ns: Time
    mtime_ns: Time
    ctime_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.set_attributes(
            table.get(self.ino), self.mode, self.uid, self.gid, self.atime_ns, self.mtime_ns, self.ctime_ns
        )


class Truncate(Change, frozen=True, tag=7):
    """A file's size; what lies past it is gone, what is new is a hole."""

    ino: Ino
    size: Offset
    mode: Mode
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.content_changes(inode)
        table.file(inode).truncate(self.size)
        table.content_changed(inode, self.mode, self.time_ns)


class Write(Change, frozen=True, tag=8):
    """Bytes of a file. `runs` lists (length, byte) of a file range in order; byte -1 stands for logged data.

    Without runs the whole data is one range.
    """

    ino: Ino
    offset: Offset
    mode: Mode
    time_ns: Time
    runs: tuple[Run, ...] | None = None

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.content_changes(inode)
        file = table.file(inode)
        length = len(place.data)
        if self.runs is None:
            file.write(self.offset, (_logged(place, 0, length),))
        else:
            pieces: list[Extent] = []
            at = 0
            for run_length, byte in self.runs:
                if byte < 0:
                    pieces.append(_logged(place, at, run_length))
                    at += run_length
                else:
                    pieces.append(Fill(run_length, byte))
            file.write(self.offset, pieces)
        table.content_changed(inode, self.mode, self.time_ns)


class Place(Change, frozen=True, tag=9):
    """A range of a file becomes these extents: punched, or cloned from where they already lie."""

    ino: Ino
    offset: Offset
    size: Offset
    mode: Mode
    time_ns: Time
    extents: tuple[Encodable, ...]

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.content_changes(inode)
        file = table.file(inode)
        if self.extents:
            file.write(self.offset, self.extents)
        if file.size < self.size:
            file.truncate(self.size)
        table.content_changed(inode, self.mode, self.time_ns)


class Settle(Change, frozen=True, tag=10):
    """Small writes that merged in memory are put into the log as one piece; the content stays as it is.

    The one record whose inode may be missing: an unlinked file can be settled after a checkpoint's LSN and
    closed before that checkpoint captures it, which then leaves it out.
    """

    ino: Ino
    offset: Offset

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        try:
            inode = table.get(self.ino)
        except NoEntry:
            return
        extent = ChunkRange(len(place.data), place.chunk, place.frame, place.start)
        table.settle(inode, self.offset, extent)


class SetXattr(Change, frozen=True, tag=11):
    """One extended attribute; without a value it is removed."""

    ino: Ino
    name: Name
    value: Annotated[bytes, msgspec.Meta(max_length=XATTR_VALUE_BYTES)] | None
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.set_xattr(table.get(self.ino), self.name, self.value, self.time_ns)


class Reserve(Change, frozen=True, tag=12):
    """Numbers below `end` of a sequence are reserved: after a crash none of them is handed out again."""

    sequence: str
    end: Annotated[int, msgspec.Meta(ge=0, le=LAST_NUMBER)]

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.sequences[self.sequence].reserved(self.end, place.lsn)


class CreateUnnamed(Change, frozen=True, tag=13):
    """A new regular file without a name, as O_TMPFILE makes: a crash before its `Link` ends it."""

    ino: Ino
    parent: Ino
    mode: Mode
    uid: Owner
    gid: Owner
    time_ns: Time

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.add(self.ino, self.mode, self.uid, self.gid, 0, 0, self.time_ns, self.parent, None)


class Together(Change, frozen=True, tag=14):
    """Changes without data that happen at once: after a crash there are all of them or none."""

    changes: tuple[
        Create | Link | Unlink | Rename | SetAttributes | Truncate | Place | SetXattr | CreateUnnamed | Clone,
        ...,
    ]

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        for change in self.changes:
            change.apply(table, place)


AnyChange = (
    Create
    | Link
    | Unlink
    | Rename
    | Exchange
    | SetAttributes
    | Truncate
    | Write
    | Place
    | Settle
    | SetXattr
    | Reserve
    | CreateUnnamed
    | Together
    | Clone
    | DropTree
)

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AnyChange).decode


def _logged(place: DataPlace, at: int, length: int) -> Extent:
    extent = ChunkRange(length, place.chunk, place.frame, place.start + at)
    if length < MEMORY_WRITE_BYTES:
        return Memory(bytes(place.data[at : at + length]), extent)
    return extent
