"""Every change of the file system as one record: what the log holds and what recovery replays.

A record states results (numbers, attributes, times), never how they were found, so applying one twice
equals applying it once. Live operations and recovery call the same `apply`.
Never checks whether a change is allowed: that happened before it was logged.
"""

from typing import NamedTuple

import msgspec

from vfs.errors import NoEntry
from vfs.inode.extents import ChunkRange, Encodable, Extent, Fill, Memory
from vfs.inode.table import InodeTable
from vfs.limits import MEMORY_WRITE_BYTES


class DataPlace(NamedTuple):
    """A record's LSN, where its data lies in the log, and the data itself while it is at hand."""

    lsn: int
    chunk: int
    frame: int
    start: int
    data: bytes | memoryview


class Change(msgspec.Struct, frozen=True, array_like=True, tag_field="t"):
    """Base of all records. `place` is `NOWHERE` for a record without data."""

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        """Make the change in the tables."""
        raise NotImplementedError


class Create(Change, frozen=True, tag=1):
    """A new inode under a new name (file, directory, symbolic link, device, fifo, socket)."""

    parent: int
    name: bytes
    cookie: int
    ino: int
    mode: int
    uid: int
    gid: int
    rdev: int
    time_ns: int
    parent_nlink: int
    nlink: int
    target: bytes | None = None

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
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)


class Link(Change, frozen=True, tag=2):
    """One more name for an inode."""

    ino: int
    parent: int
    name: bytes
    cookie: int
    nlink: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.set_links(inode, self.nlink, self.time_ns)
        parent = table.get(self.parent)
        table.put_entry(parent, self.name, self.ino, self.cookie, inode.mode)
        table.stamp_directory(parent, self.time_ns, parent.nlink)


class Unlink(Change, frozen=True, tag=3):
    """One name less (also of a directory)."""

    parent: int
    name: bytes
    ino: int
    nlink: int
    parent_nlink: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        parent = table.get(self.parent)
        table.drop_entry(parent, self.name)
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.set_links(table.get(self.ino), self.nlink, self.time_ns)


class Rename(Change, frozen=True, tag=4):
    """An entry moves; what it replaces loses that name. `replaced` is 0 where the name was free."""

    parent: int
    name: bytes
    new_parent: int
    new_name: bytes
    ino: int
    cookie: int
    parent_nlink: int
    new_parent_nlink: int
    replaced: int
    replaced_nlink: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        parent, new_parent = table.get(self.parent), table.get(self.new_parent)
        if self.replaced:
            table.drop_entry(new_parent, self.new_name)
            table.set_links(table.get(self.replaced), self.replaced_nlink, self.time_ns)
        table.drop_entry(parent, self.name)
        table.put_entry(new_parent, self.new_name, self.ino, self.cookie, inode.mode)
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.stamp_directory(new_parent, self.time_ns, self.new_parent_nlink)
        table.move(inode, self.new_parent, self.time_ns)


class Exchange(Change, frozen=True, tag=5):
    """Two entries change places."""

    parent: int
    name: bytes
    ino: int
    cookie: int
    parent_nlink: int
    other_parent: int
    other_name: bytes
    other_ino: int
    other_cookie: int
    other_parent_nlink: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode, other = table.get(self.ino), table.get(self.other_ino)
        parent, other_parent = table.get(self.parent), table.get(self.other_parent)
        table.drop_entry(parent, self.name)
        table.drop_entry(other_parent, self.other_name)
        table.put_entry(parent, self.name, self.other_ino, self.cookie, other.mode)
        table.put_entry(other_parent, self.other_name, self.ino, self.other_cookie, inode.mode)
        table.stamp_directory(parent, self.time_ns, self.parent_nlink)
        table.stamp_directory(other_parent, self.time_ns, self.other_parent_nlink)
        table.move(inode, self.other_parent, self.time_ns)
        table.move(other, self.parent, self.time_ns)


class SetAttributes(Change, frozen=True, tag=6):
    """Mode, owner and times of an inode."""

    ino: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.set_attributes(
            table.get(self.ino), self.mode, self.uid, self.gid, self.atime_ns, self.mtime_ns, self.ctime_ns
        )


class Truncate(Change, frozen=True, tag=7):
    """A file's size; what lies past it is gone, what is new is a hole."""

    ino: int
    size: int
    mode: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        inode = table.get(self.ino)
        table.content_changes(inode)
        table.file(inode).truncate(self.size)
        table.content_changed(inode, self.mode, self.time_ns)


class Write(Change, frozen=True, tag=8):
    """Bytes of a file. `runs` lists (length, byte) of a file range in order; byte -1 stands for logged data.

    Without runs the whole data is one range.
    """

    ino: int
    offset: int
    mode: int
    time_ns: int
    runs: tuple[tuple[int, int], ...] | None = None

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

    ino: int
    offset: int
    size: int
    mode: int
    time_ns: int
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

    ino: int
    offset: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        try:
            inode = table.get(self.ino)
        except NoEntry:
            return
        extent = ChunkRange(len(place.data), place.chunk, place.frame, place.start)
        table.settle(inode, self.offset, extent)


class SetXattr(Change, frozen=True, tag=11):
    """One extended attribute; without a value it is removed."""

    ino: int
    name: bytes
    value: bytes | None
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.set_xattr(table.get(self.ino), self.name, self.value, self.time_ns)


class Reserve(Change, frozen=True, tag=12):
    """Numbers below `end` of a sequence are reserved: after a crash none of them is handed out again."""

    sequence: str
    end: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.sequences[self.sequence].reserved(self.end, place.lsn)


class CreateUnnamed(Change, frozen=True, tag=13):
    """A new regular file without a name, as O_TMPFILE makes: a crash before its `Link` ends it."""

    ino: int
    parent: int
    mode: int
    uid: int
    gid: int
    time_ns: int

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        table.add(self.ino, self.mode, self.uid, self.gid, 0, 0, self.time_ns, self.parent, None)


class Together(Change, frozen=True, tag=14):
    """Changes without data that happen at once: after a crash there are all of them or none."""

    changes: tuple[
        Create | Link | Unlink | Rename | SetAttributes | Truncate | Place | SetXattr | CreateUnnamed, ...
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
)

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AnyChange).decode


NOWHERE = DataPlace(0, 0, 0, 0, b"")


def _logged(place: DataPlace, at: int, length: int) -> Extent:
    extent = ChunkRange(length, place.chunk, place.frame, place.start + at)
    if length < MEMORY_WRITE_BYTES:
        return Memory(bytes(place.data[at : at + length]), extent)
    return extent
