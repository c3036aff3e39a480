"""The POSIX rules of file contents: read, write, truncate, punch, clone, seek.

Promises that a write is in the log before it is answered, and that reading never changes more than an
access time. Never touches names or attributes beyond size, times and the bits that a write clears.
"""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

from vfs.backing.epochs import Epochs
from vfs.backing.store import Store
from vfs.changes import Place, Truncate, Write
from vfs.clock import now_ns
from vfs.errors import (
    DataDamaged,
    FileTooLarge,
    IndexDamaged,
    InvalidArgument,
    IsADirectory,
    NoEntry,
    RangeLost,
)
from vfs.inode.extents import BlobRange, ChunkRange, Encodable, Extent, Fill, Lost, Memory
from vfs.inode.inode import Inode
from vfs.inode.runs import plan_write
from vfs.journal import Journal
from vfs.limits import FILE_BYTES, FRAME_DATA_BYTES, KIB, MIB, SEGMENT_BYTES

CLONE_EXTENTS = 1000
"""Most extents in one `Place` record."""

AHEAD_BYTES = 4 * MIB
"""How far behind a sequential reader's place packed data is decoded before it asks: a few blocks.

At most a quarter of what the cache keeps: what was read a moment ago is younger there than what was decoded
for later, which would go first."""

AHEAD_SLACK_BYTES = 256 * KIB
"""Reads of a sequential reader overtake each other by so much: the kernel sends several at once."""

_ZEROS = bytes(MIB)


class ReadPlan(NamedTuple):
    """Extents to read, in order, ending at the file's size. Valid until `Contents.end_read`.

    `ahead` is what will be asked for next if the reader goes on: for `run_ahead`.
    """

    extents: list[Extent]
    length: int
    epoch: int = 0
    ahead: tuple[BlobRange, ...] = ()


class Contents(Journal):
    """Bytes of files."""

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self.blobs = store.blobs
        self.epochs = Epochs()
        """Of plans in flight, and of all others who read what may be unlinked beside them."""
        self._ahead_bytes = min(AHEAD_BYTES, self.blobs.cache.limit_bytes // 4)
        self._doomed: deque[tuple[int, list[int]]] = deque()  # chunks, and the epoch that has to drain
        self._ahead: tuple[BlobRange, ...] = ()  # what `begin_ahead` answers, since the last resident read

    def _file(self, ino: int) -> Inode:
        inode = self.table.get(ino)
        if inode.mode & 0o170000 != 0o100000:
            if inode.is_directory:
                raise IsADirectory(f"inode {ino}")
            raise InvalidArgument(f"inode {ino} is no regular file")
        return inode

    # --- handles ----------------------------------------------------------------------------

    def open(self, ino: int, flags: int = os.O_RDONLY) -> Inode:
        """Hold the inode (also a directory) until `release`; O_TRUNC empties a file."""
        inode = self.table.get(ino)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            if inode.is_directory:
                raise IsADirectory(f"inode {ino}")
            self.writable(ino)
        if flags & os.O_TRUNC and inode.is_file:
            self.truncate(ino, 0)
        inode.opens += 1
        return inode

    def release(self, ino: int) -> None:
        """Undo one `open`; the last one lets an unlinked file go."""
        inode = self.table.in_memory(ino)
        if inode is None or not inode.opens:
            raise NoEntry(f"inode {ino} is not open")
        inode.opens -= 1
        if not inode.nlink:
            self.table.drop_if_unheld(inode)

    # --- reading ----------------------------------------------------------------------------

    def read(self, ino: int, offset: int, length: int) -> bytes | memoryview:
        """Bytes from `offset`, fewer at the end of the file."""
        plan = self.begin_read(ino, offset, length)
        try:
            return self.run_read(plan)
        finally:
            self.end_read(plan)

    def begin_read(self, ino: int, offset: int, length: int) -> ReadPlan:
        """Where the bytes lie. The plan may be run in any thread, and must be ended by the owner.

        RangeLost when some of them lie nowhere any more.
        """
        inode = self._file(ino)
        if offset < 0 or length < 0:
            raise InvalidArgument("negative offset or length")
        length = max(0, min(length, inode.size - offset))
        extents = self.table.file(inode).plan(offset, length) if length else []
        for extent in extents:
            if type(extent) is Lost:
                raise self._range_lost(inode, offset, extents)
        # Before anything is logged, which may lead to a checkpoint: from now on no chunk of the plan goes.
        plan = ReadPlan(extents, length, self.epochs.enter(), self._read_ahead(inode, offset, length))
        try:
            if self.limiter.over:
                self.relieve()
            self.accessed(inode)
        except BaseException:
            self.end_read(plan)
            raise
        return plan

    def end_read(self, plan: ReadPlan) -> None:
        """The plan is not needed any more."""
        self.epochs.leave(plan.epoch)
        if self._doomed:
            self.remove_drained_chunks()

    def remove_drained_chunks(self) -> int:
        """Remove chunks that were found dead and that nobody reads any more; returns how many."""
        removed = 0
        while self._doomed and self.epochs.drained(self._doomed[0][0]):
            for number in self._doomed.popleft()[1]:
                self.log.remove_chunk(number)
                removed += 1
        return removed

    def read_resident(self, ino: int, offset: int, length: int) -> bytes | memoryview | None:
        """As `read`, but None when it would wait for the disk."""
        inode = self._file(ino)
        length = min(length, inode.size - offset)
        if length <= 0:
            return b""
        extents = self.table.file(inode).plan(offset, length)
        if self.limiter.over:
            self.relieve()
        pieces: list[bytes | memoryview] = []
        for kind, group in groupby(extents, type):
            if kind is Lost:
                raise self._range_lost(inode, offset, extents)
            found = self.resident(kind, group)
            if found is None:
                return None
            pieces += found
        self._ahead = self._read_ahead(inode, offset, length)
        self.accessed(inode)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def resident(self, kind: type, extents: Iterator[Any]) -> list[bytes | memoryview] | None:
        """The bytes of extents of one kind, in parts; None when that would wait for the disk."""
        if kind is BlobRange:
            return self.blobs.read_all_resident(_ranges(extents))
        pieces: list[bytes | memoryview] = []
        for extent in extents:
            if kind is ChunkRange:
                piece = self.log.read_resident(extent.chunk, extent.frame, extent.start, extent.length)
                if piece is None:
                    return None
            else:
                piece = self._piece(extent)
            pieces.append(piece)
        return pieces

    def _range_lost(self, inode: Inode, offset: int, extents: Iterable[Extent]) -> RangeLost:
        """What a reader of these extents from `offset` on is told: the first lost range as a whole, so that
        whoever reads some of it is told the same."""
        for extent in extents:
            if type(extent) is Lost:
                break
            offset += extent.length
        number, within = divmod(offset, SEGMENT_BYTES)
        segment = self.table.file(inode).loaded_segment(number)
        assert segment is not None, "the plan has loaded it"
        start, lost = segment.extent_around(within)
        return RangeLost(inode.ino, number * SEGMENT_BYTES + start, lost.length)

    def run_read(self, plan: ReadPlan) -> bytes | memoryview:
        """The bytes of a plan; runs in any thread. DataDamaged when they are not what was written."""
        pieces: list[bytes | memoryview] = []
        for kind, group in groupby(plan.extents, type):
            if kind is BlobRange:
                pieces += self.blobs.read_all(_ranges(group))
            else:
                pieces += map(self._piece, group)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, extent: Extent) -> bytes | memoryview:
        if isinstance(extent, ChunkRange):
            return self.log.read(extent.chunk, extent.frame, extent.start, extent.length)
        if isinstance(extent, Fill):
            if extent.byte == 0 and extent.length <= len(_ZEROS):
                return memoryview(_ZEROS)[: extent.length]
            return bytes((extent.byte,)) * extent.length
        assert isinstance(extent, Memory), "packed ranges are read together, lost ones refused before"
        return bytes(extent.data)

    # --- reading ahead ----------------------------------------------------------------------

    def begin_ahead(self) -> ReadPlan | None:
        """What should be decoded behind the place of the last `read_resident`; None when there is nothing.

        For `run_ahead` in a worker thread, and then for `end_read`.
        """
        ahead, self._ahead = self._ahead, ()
        return ReadPlan([], 0, self.epochs.enter(), ahead) if ahead else None

    def run_ahead(self, plan: ReadPlan) -> None:
        """Decode what the plan's reader will want next; any thread. Damage is for the reader to meet."""
        with suppress(DataDamaged):
            self.blobs.read_ahead(_ranges(plan.ahead))

    def _read_ahead(self, inode: Inode, offset: int, length: int) -> tuple[BlobRange, ...]:
        """Note a read; packed ranges behind it when it goes on where the last one ended, once for each."""
        end = offset + length
        followed = inode.read_end
        if abs(offset - followed) > AHEAD_SLACK_BYTES:
            inode.read_end = inode.ahead_end = end
            return ()
        inode.read_end = max(end, followed)
        start = max(end, inode.ahead_end)
        if start > end + self._ahead_bytes // 2 or start >= inode.size:
            return ()
        inode.ahead_end = start + self._ahead_bytes
        try:
            extents = self.table.file(inode).plan(start, self._ahead_bytes)
        except IndexDamaged:
            return ()  # for the reader to meet, when it gets there
        return tuple(extent for extent in extents if type(extent) is BlobRange)

    # --- writing ----------------------------------------------------------------------------

    def write(self, ino: int, offset: int, data: bytes, *, stamp_ns: int | None = None) -> int:
        """Write all of `data`; returns its length. Either all of it is logged, or the error is raised
        after a prefix of whole megabytes was. The file's times become `stamp_ns`, or now."""
        self.writable(ino)
        inode = self._file(ino)
        length = len(data)
        if offset < 0:
            raise InvalidArgument("negative offset")
        if offset + length > FILE_BYTES:
            raise FileTooLarge(f"inode {ino}")
        self.need_room(length)
        self._prepare(inode, offset, length)
        if length <= FRAME_DATA_BYTES:
            if length:
                self._write_frame(inode, offset, data, stamp_ns)
        else:
            for start in range(0, length, FRAME_DATA_BYTES):
                self._write_frame(inode, offset + start, data[start : start + FRAME_DATA_BYTES], stamp_ns)
        return length

    def _prepare(self, inode: Inode, offset: int, length: int) -> None:
        """Do what may fail or log by itself before a change of content is logged."""
        self.table.tracker.before_logging(inode)
        self.table.file(inode).load(offset, length)

    def _write_frame(self, inode: Inode, offset: int, data: bytes, stamp_ns: int | None) -> None:
        mode = inode.mode
        if mode & 0o6000:
            mode = without_privileges(mode)
        now = now_ns() if stamp_ns is None else stamp_ns
        runs = plan_write(data)
        if len(runs) == 1 and runs[0].byte is None:
            self.record_data(Write(inode.ino, offset, mode, now), data)
            return
        spans = tuple((run.stop - run.start, -1 if run.byte is None else run.byte) for run in runs)
        kept = b"".join(data[run.start : run.stop] for run in runs if run.byte is None)
        self.record_data(Write(inode.ino, offset, mode, now, spans), kept)

    def truncate(self, ino: int, size: int) -> None:
        """Set the size; a larger one gives a hole."""
        self.writable(ino)
        inode = self._file(ino)
        if size < 0:
            raise InvalidArgument("negative size")
        if size > FILE_BYTES:
            raise FileTooLarge(f"inode {ino}")
        self._prepare(inode, size, 1)
        self.record(Truncate(ino, size, without_privileges(inode.mode), now_ns()))

    def punch(self, ino: int, offset: int, length: int) -> None:
        """Make a hole; the size stays."""
        self.writable(ino)
        inode = self._file(ino)
        if offset < 0 or length <= 0:
            raise InvalidArgument("a hole needs an offset and a length")
        length = min(length, inode.size - offset)
        if length <= 0:
            return
        self._prepare(inode, offset, length)
        self.record(
            Place(ino, offset, inode.size, without_privileges(inode.mode), now_ns(), (Fill(length, 0),))
        )

    def allocate(self, ino: int, offset: int, length: int, *, keep_size: bool = False) -> None:
        """posix_fallocate(3): make sure of room on the disk now, and of the size unless `keep_size`."""
        self.writable(ino)
        inode = self._file(ino)
        if offset < 0 or length <= 0:
            raise InvalidArgument("an allocation needs an offset and a length")
        if offset + length > FILE_BYTES:
            raise FileTooLarge(f"inode {ino}")
        self.need_room(length)
        if not keep_size and offset + length > inode.size:
            self.truncate(ino, offset + length)

    def clone_range(self, source: int, offset: int, length: int, target: int, target_offset: int) -> int:
        """Make a range of `target` share the bytes of a range of `source`, without moving any.

        Ends at the source's size; returns the bytes cloned. Overlapping ranges of one file are refused.
        """
        self.writable(target)
        inode, other = self._file(source), self._file(target)
        if min(offset, length, target_offset) < 0:
            raise InvalidArgument("negative offset or length")
        length = min(length, inode.size - offset)
        if length <= 0:
            return 0
        if source == target and abs(offset - target_offset) < length:
            raise InvalidArgument("the ranges overlap")
        if target_offset + length > FILE_BYTES:
            raise FileTooLarge(f"inode {target}")
        # A capture under way must have the source, even if that is dropped before its turn comes: its rows
        # keep the chunks that the target points to from now on.
        self.table.tracker.before_logging(inode)
        self._settle(inode)
        self._prepare(other, target_offset, length)
        extents = [_placed(extent) for extent in self.table.file(inode).plan(offset, length)]
        # Between two records nothing may be packed and no checkpoint taken: a chunk that the rest of these
        # extents name could go.
        autopilot, self.autopilot = self.autopilot, False
        try:
            for first in range(0, len(extents), CLONE_EXTENTS):
                part = tuple(extents[first : first + CLONE_EXTENTS])
                part_bytes = sum(extent.length for extent in part)
                size = max(other.size, target_offset + part_bytes)
                mode = without_privileges(other.mode)
                self.need_room(16 * len(part))
                self.table.file(other).load(target_offset, part_bytes)
                self.record(Place(target, target_offset, size, mode, now_ns(), part))
                target_offset += part_bytes
        finally:
            self.autopilot = autopilot
        if autopilot:
            self.steer()
        return length

    # --- seeking ----------------------------------------------------------------------------

    def seek_data(self, ino: int, offset: int) -> int | None:
        """lseek(SEEK_DATA): where data starts at or after `offset`; None when there is none."""
        return self.table.file(self._file(ino)).seek_data(offset)

    def seek_hole(self, ino: int, offset: int) -> int | None:
        """lseek(SEEK_HOLE): where a hole starts at or after `offset`; None at or past the end."""
        inode = self._file(ino)
        return None if offset >= inode.size else self.table.file(inode).seek_hole(offset)


def without_privileges(mode: int) -> int:
    """The mode after a change of content or owner: no set-user-id, no set-group-id of an executable."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


def _ranges(extents: Iterable[Any]) -> list[tuple[int, int, int]]:
    """Packed extents as `Blobs` wants them."""
    return [(extent.blob, extent.start, extent.length) for extent in extents]


def _placed(extent: Extent) -> Encodable:
    if isinstance(extent, Memory):
        assert extent.origin is not None, "settled before it was cloned"
        return extent.origin
    return extent
