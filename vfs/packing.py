"""Packing: data that has cooled goes from the log into packs, beside live operations.

Promises that the content at the index's LSN is the same before and after a pass, that a row of the index is
swapped only where it still is what was packed, and that nothing is lost wherever a pass is cut off. No record
is logged: a swap changes where bytes lie in rows that are already committed, and replay goes on from those.
Never makes a reader wait, and never removes a chunk: the end of a checkpoint does.

Order of writes of a pass, and why:
1. T1, one transaction of the index: a pack is coming, and its numbers are taken. So a file that no pass has
   finished is known to be none, and its numbers are not used again.
2. the pack under a temporary name, synced; renamed; the folder synced. Now it is durable under its name.
3. T2, one transaction: the pack is there, with its blocks and blobs, and the rows point to them. Were it
   before the file, a cut could leave rows that point nowhere.
4. memory follows. Until it has, no capture of the state may begin (INVARIANT of `_swapping`): a clean segment
   in memory that still names the log must not outlive the next checkpoint, whose end may remove that chunk.
A cut before 3 leaves a file that no row of a pack in its place names: the next opening removes it. When 3
fails, but for want of room, a crash could still bring it back: the file goes only after a later transaction.
"""

import logging
from time import monotonic
from typing import Any

from vfs.backing.codecs import Compression
from vfs.backing.creation import CreationOptions
from vfs.backing.cutter import Cutter
from vfs.backing.orphans import withdraw
from vfs.backing.pack_session import PackSession
from vfs.backing.room import packing_room_bytes, reserve_bytes, unit_bytes
from vfs.backing.storage import Buffer
from vfs.backing.store import Store
from vfs.backlog import COOL_SECONDS, LIMIT_BYTES, RETRY_SECONDS, Backlog
from vfs.checkpoint import Checkpoints
from vfs.errors import IndexDamaged, IndexUnwritten, NoSpace, PackUnwritten, StoreFailed, VfsError
from vfs.inode.extents import BlobRange, ChunkRange
from vfs.limits import MIB
from vfs.pack_pass import PackPass, Unpackable
from vfs.polite_thread import PoliteThread
from vfs.unwritten import unwritten

log = logging.getLogger("vfs")

PASS_BYTES = 128 * MIB
"""Raw bytes of one pass: a pack is soon worth its file, and a pass soon over."""
LEAST_ROOM_BYTES = 8 * MIB  # with less no pass begins, but on a small disk

SLICE_ROWS = 500
"""Swapped rows that memory follows between two looks at what clients want: a few milliseconds."""

WORKERS = 2
"""Threads that compress, beside the one that reads and cuts."""
LOOK_SECONDS = 0.2  # without a daemon


class Packing(Checkpoints):
    """Checkpoints, and passes of the packer between them. One pass at a time."""

    def __init__(
        self,
        store: Store,
        *,
        pack_workers: int = WORKERS,
        compression: str | None = None,
        backlog_limit_bytes: int = LIMIT_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(store, **options)
        # constant
        self.creation = CreationOptions.from_fields(store.superblock.options)
        self.compression = Compression.parse(compression or self.creation.compression)
        self._pack_workers = pack_workers
        # mutable
        self._backlog = Backlog(backlog_limit_bytes, monotonic())
        self._cooling_since = monotonic()
        self._unpackable = Unpackable()  # belongs to whoever runs a pass
        self._pass: PackPass | None = None
        self._little_room = False  # was left when it was looked at last
        self._swapping = False
        """INVARIANT: while it is set no capture is in flight and none begins."""
        self._pack_thread = PoliteThread("vfs-pack")
        self._pack_look_at = 0.0
        self._look_at_backlog()

    # --- the backlog ------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """Raw data in the log that is not packed, less what cannot be."""
        self._backlog.logged_bytes = self.log.grown_bytes - self._checkpoint_position
        return self._backlog.bytes

    def write_delay_seconds(self, length: int) -> float:
        """How long a write of so many bytes should be held up, so that the backlog stays bounded."""
        return self._backlog.delay_seconds(length, full=self.short_of_room) if self.backlog_bytes else 0.0

    @property
    def packing_seconds(self) -> float:
        """How long it takes to pack all that waits: to hold a write up for longer makes no more room."""
        return self._backlog.packing_seconds

    def _look_at_backlog(self) -> None:
        # A chunk that copies share waits once. At least one byte where there are any, so that after an hour
        # even those are tried which could not be packed: maybe they are gone, and others have come.
        referenced = sum(min(n, self.log.chunk_bytes) for n in self.store.index.referenced_chunks().values())
        self._backlog.committed_bytes = max(min(referenced, 1), referenced - self._unpackable.bytes)
        space = self.store.storage.space()
        reserve = reserve_bytes(space.total_bytes)
        self._backlog.room_bytes = max(0, space.free_bytes - reserve)
        self._little_room = self._backlog.room_bytes < reserve

    @property
    def low_on_room(self) -> bool:
        """The disk is nearly full, or a write has just found it so: what is dead goes sooner."""
        return self._little_room or self.short_of_room

    @property
    def pack_due(self) -> bool:
        """True when a pass should begin."""
        if self._pass is not None or self.read_only or self.failed:
            return False
        now = monotonic()
        if self.short_of_room and self._backlog.committed_bytes:
            return self._backlog.ready(now)
        return self.backlog_bytes > 0 and self._backlog.due(now, self._cooling_since)

    @property
    def pack_leisure(self) -> float:
        """How far a pass that nobody waits for may give way to clients, from 1 to 0. Any thread."""
        return 0.0 if self.low_on_room else self._backlog.leisure

    @property
    def pack_wants_checkpoint(self) -> bool:
        """True when too much waits, and most of that is not in the index yet, so that it cannot be packed."""
        return (
            self.backlog_bytes > 0
            and self._backlog.pressing
            and self._backlog.logged_bytes > self._backlog.committed_bytes
            and self.table.tracker.capture is None
            and not self._swapping
            and not self.read_only
            and not self.failed
            and monotonic() >= self._retry_at
        )

    # --- checkpoints ------------------------------------------------------------------------

    @property
    def checkpoint_due(self) -> bool:
        """True when a checkpoint should be taken; also for the chunks that packing has emptied."""
        if self._swapping:
            return False
        if super().checkpoint_due:
            return True
        quiet = self.table.tracker.capture is None and not self.read_only and not self.failed
        return quiet and self._swapped_bytes >= self.log.chunk_bytes and monotonic() >= self._retry_at

    def begin_checkpoint(self, **options: Any) -> None:
        """This moment's state is the one to bring into the index."""
        if self._swapping:
            raise RuntimeError("memory has not followed a pack yet: end_pack comes before a checkpoint")
        super().begin_checkpoint(**options)

    def end_checkpoint(self) -> None:
        """The index has it: let go of memory and of chunks."""
        super().end_checkpoint()
        self._cooling_since = monotonic()
        self._look_at_backlog()

    def steer(self) -> None:
        """Without a daemon: commit, checkpoint and pack when they are due."""
        super().steer()
        now = monotonic()
        if now < self._pack_look_at or self._pass is not None or self.table.tracker.capture is not None:
            return
        self._pack_look_at = now + LOOK_SECONDS
        # Nobody asked for it, and what led here has been done: a failure only puts it off.
        try:
            if self.pack_wants_checkpoint:
                self.checkpoint()
            if self.pack_due:
                self._pack_once(everything=False, last_chunk=None)
                if self._backlog.pressing or self.low_on_room:
                    self.checkpoint()  # with it the chunks go that were packed
        except (NoSpace, IndexUnwritten, PackUnwritten, IndexDamaged) as error:
            log.warning("packing put off: %s", error)

    # --- whole passes, here and now ---------------------------------------------------------

    def pack(self, *, everything: bool = False, last_chunk: int | None = None) -> int:
        """Pack what is committed, `everything` also what is hot, until nothing is left to be done.

        Returns the bytes that no longer lie in the log.
        """
        self.writable()
        packed = 0
        while (work := self._pack_once(everything=everything, last_chunk=last_chunk)) is not None:
            packed += work.packed_bytes
            if not work.swapped_rows:
                break
        return packed

    def flush(self) -> int:
        """Pack everything that is there now, whatever it is used for; returns the bytes that were packed."""
        self.writable()
        self.checkpoint()
        packed = self.pack(everything=True, last_chunk=self.seal_log())
        self.checkpoint()
        return packed

    def seal_log(self) -> int:
        """Begin a new chunk of the log; returns the number of the last one before it.

        What has a place in the log now lies in that chunk or before, and those chunks can all go.
        """
        return self.log.roll()

    def _pack_once(self, *, everything: bool, last_chunk: int | None) -> PackPass | None:
        work = self.begin_pack(everything=everything, last_chunk=last_chunk)
        try:
            if not self.run_pack(work):
                return None
            self.commit_pack(work)
            self.end_pack(work)
            return work
        finally:
            self.abandon_pack(work)

    # --- the steps, for a daemon that lets clients in between them ---------------------------

    def begin_pack(
        self, *, everything: bool = False, most_bytes: int = PASS_BYTES, last_chunk: int | None = None
    ) -> PackPass:
        """Begin a pass; it must be ended or abandoned. `last_chunk`: only data that lies there or before.

        Owner. From now on no chunk or pack goes that the pass may read.
        """
        self.writable()
        if self._pass is not None:
            raise RuntimeError("one pass at a time")
        self._look_at_backlog()
        space = self.store.storage.space()
        room = packing_room_bytes(space)
        self._backlog.stuck = room < min(LEAST_ROOM_BYTES, space.total_bytes // 100)
        if self._backlog.stuck:
            raise NoSpace("the room that is left is kept for deletes; make room on the disk, or delete files")
        self._pass = work = PackPass(
            hot=frozenset(map(self.table.trees.row_number, self.table.changed_inodes())),
            everything=everything or self._backlog.pressing or self.short_of_room,
            most_bytes=min(most_bytes, unit_bytes(space.total_bytes), room // 2),
            last_chunk=last_chunk,
            epoch=self.epochs.enter(),
        )
        work.began_at = monotonic()
        return work

    def run_pack(self, work: PackPass) -> bool:
        """Plan, read, cut, compress, write: all that waits. Any thread.

        False when there is nothing to be done, or not any more. After True the pack, if there is a new one,
        is durable and in its place. NoSpace, PackUnwritten, IndexUnwritten and IndexDamaged leave everything
        as it was, once the pass is abandoned.
        """
        if self._pack_workers == 0:
            return self._run_pack(work)
        return self._pack_thread.run(lambda: self._run_pack(work), work.cancel)

    def _run_pack(self, work: PackPass) -> bool:
        rows = self.store.rows
        cutter = Cutter.of(self.creation)
        least, _ = self.creation.bounds

        def is_splinter(extent: BlobRange) -> bool:
            if extent.start or extent.length < least:
                return True
            place = next(iter(rows.places(extent.blob, 1)), None)
            return place is not None and place.blob == extent.blob and place.length != extent.length

        planned = work.plan(rows, self._unpackable, is_splinter)
        if self._given_up(work) or not planned:
            return False
        work.session = PackSession(
            self.store.storage,
            self.store.superblock.uuid,
            rows,
            self.blobs,
            compression=self.compression,
            block_bytes=self.creation.block_bytes,
            workers=self._pack_workers,
        )
        with unwritten():
            work.cut(planned, cutter, self._read_raw, self._unpackable)
            if self._given_up(work) or not work.swaps:
                return False
            work.sealed = work.session.seal()
        return not self._given_up(work)

    def _given_up(self, work: PackPass) -> bool:
        return work.cancelled or self.failed is not None

    def _read_raw(self, extent: ChunkRange | BlobRange) -> Buffer:
        if type(extent) is ChunkRange:
            return self.log.read(extent.chunk, extent.frame, extent.start, extent.length)
        assert type(extent) is BlobRange, "nothing else is packed"
        return self.blobs.read(extent.blob, extent.start, extent.length)

    def commit_pack(self, work: PackPass) -> None:
        """Make the pack known and swap the rows that are still what was planned. Any thread.

        No capture may be in flight, nor begin before `end_pack` has returned. NoSpace or IndexUnwritten leave
        the index as it was. A failed commit that shows all the same counts, since memory has to follow it;
        what a power cut would leave is open until the next one.
        """
        if self.failed:
            raise StoreFailed(str(self.failed))
        if self.table.tracker.capture is not None:
            raise RuntimeError("rows are swapped between two checkpoints, never during one")
        self._swapping = True
        try:
            with self.store.index.transaction() as transaction:
                work.swap_rows(transaction)
        except VfsError as error:
            if not work.shows_in(self.store.index):
                self._not_swapped(work, certain=isinstance(error, NoSpace))
                raise
            log.warning("a pass counts although its commit failed: %s", error)
            work.certain = False
        except BaseException:
            self._not_swapped(work, certain=False)
            raise
        work.committed = True
        work.swapped_rows = len(work.swapped)

    def _not_swapped(self, work: PackPass, *, certain: bool) -> None:
        work.swapped, work.packed_bytes, work.certain = [], 0, certain
        self._swapping = False

    def follow_pack(self, work: PackPass) -> bool:
        """Memory follows the swaps, one slice of them; True when all of it has. Owner, before `end_pack`."""
        for _ in range(min(SLICE_ROWS, len(work.swapped))):
            swap = work.swapped.pop()
            row, segment, _ = swap.key
            for inode in self.table.seeing(row):
                if inode.file is not None:
                    inode.file.repacked(segment, swap.old, swap.new)
        return not work.swapped

    def end_pack(self, work: PackPass) -> None:
        """Memory has followed all swaps: the pass is over. Owner."""
        while not self.follow_pack(work):
            pass
        now = monotonic()
        self._swapping = False
        self._room_bytes = 0  # the pack has taken some of it: the next write looks again
        self._swapped_bytes += work.packed_bytes
        self._backlog.packed(work.raw_bytes, now - work.began_at, now, work.rested_seconds)
        self._leave(work)
        self._look_at_backlog()
        at_end = self.log.last_lsn == self.store.index.meta()["lsn"]
        if work.certain and at_end and self.table.tracker.capture is None:
            # The index is at the end of the log: this moment is as good as the end of a checkpoint.
            self.remove_dead_chunks()
        elif self._doomed:
            self.remove_drained_chunks()

    def abandon_pack(self, work: PackPass) -> None:
        """The pass has failed, or found nothing: what it left goes, and it is tried again later. Nothing
        to do for one that has ended. Any thread."""
        if work.ended:
            return
        if work.committed:
            raise RuntimeError("the index has the pass: it can only be ended")
        # On a full disk each delete may make the room that was missing.
        soon = self.low_on_room or (work.session is None and not work.cancelled)
        self._backlog.put_off(monotonic(), min(COOL_SECONDS, RETRY_SECONDS) if soon else RETRY_SECONDS)
        try:
            if work.sealed is not None:
                withdraw(self.store.storage, self.store.index, work.sealed, doubted=not work.certain)
            elif work.session is not None:
                work.session.abandon()
        except (OSError, VfsError) as error:
            log.warning("what an unfinished pack left is removed when the store is opened again: %s", error)
        finally:
            self._leave(work)

    def _leave(self, work: PackPass) -> None:
        work.ended = True
        work.session = None
        self._pass = None
        self.epochs.leave(work.epoch)

    def end_packing(self) -> None:
        """No more passes: end or give up the one under way, and give the thread back. Owner."""
        work = self._pass
        if work is not None:
            work.cancel()
        self._pack_thread.end()
        if work is not None and work.committed:
            self.end_pack(work)
        elif work is not None:
            self.abandon_pack(work)
