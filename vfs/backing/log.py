"""The log: the first home of every byte, an ordered sequence of frames in chunk files.

Promises that `append` returns only after the frame was handed to the operating system, that `synced_lsn`
never runs ahead of the disk, and that replay gives back a prefix with everything that was synced. Never
retries a failed sync, never leaves garbage between two frames, never reuses bytes that a later replay could
take for its own.

Order of writes, each with its reason:

- *append*: one write at the end of the active chunk. Where the disk is full the file is cut back to its last
  whole frame before anything else may be appended. That cut needs no sync of its own: if it is lost in a
  power cut, what comes back behind the newer frames is a part of one frame, which is valid nowhere.
- *roll*: the new chunk's header is written, nothing is synced, so that the owner never waits for the disk.
  Until the next sync any part of the old tail, the new name and the new chunk may be lost; replay ends at the
  first thing that is not there, and whatever is behind it carries no synced mark that reaches so far.
- *sync*: sealed chunks, then the folder when a chunk is new, then the active one. Only when all of it is done
  does `synced_lsn` move and may frames carry it as their mark, which is what tells damage from a torn tail.
- *cut* of a torn tail: the chunks behind it are unlinked and the folder is synced; then the chunk with the
  bad frame is truncated and synced; only then may anything be appended. Wherever that is interrupted, the bad
  frame still stands in front of whatever is left and no new mark has appeared, so the next replay gives the
  same prefix and the same cut. The other way round, a chunk that follows could seem to go on where the
  truncated one ends. And since numbers, places and LSNs are used again after a cut, both syncs come before
  the first new frame: no old frame, and no old chunk, can turn up again behind a new one.
- *remove*: a chunk is unlinked only when a later chunk is known to be durable, header and name, since the log
  must never be without a chunk that says where it stands. The folder is not synced: a chunk that comes back
  disturbs nobody, and is removed again by the next checkpoint.

Threads: one owner calls everything; `run_sync`, `read` and `read_resident` may be called by any thread.
"""

import errno
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from vfs.backing.chunks import LOG_FOLDER, ChunkList, ChunkReader, chunk_name
from vfs.backing.frame_runs import Place, Record, new_place
from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    JOIN_BYTES,
    as_bytes,
    encode_chunk_header,
    frame_bytes,
    pack_fields,
    seal_frame,
)
from vfs.backing.room import unit_bytes
from vfs.backing.scan import Ending, LogScan
from vfs.backing.storage import Buffer, Storage, StorageFile
from vfs.errors import NoSpace, ReadOnly, StoreFailed, StoreUnreadable
from vfs.limits import CHUNK_BYTES, FRAME_COMMAND_BYTES, FRAME_DATA_BYTES

__all__ = ["Log", "Place", "Record", "SyncTicket"]

FULL = (errno.ENOSPC, errno.EDQUOT)


class SyncTicket(NamedTuple):
    """What one sync covers; made by the owner, run by any thread, ended by the owner."""

    lsn: int
    chunk: int
    sealed: tuple[StorageFile, ...]
    folder: bool
    active: StorageFile | None


class Log:
    """An open log. `open`, then `replay` to its end, then anything else."""

    def __init__(self, storage: Storage, uuid: bytes) -> None:
        # dependencies
        self._storage = storage
        self._uuid = uuid
        self._reader = ChunkReader(storage, uuid)
        self._scan: LogScan | None = None
        self._read_only = False
        self.chunk_bytes = min(CHUNK_BYTES, unit_bytes(storage.space().total_bytes))

        # what the owner changes
        self.last_lsn = 0
        self.last_place: Place | None = None
        self.grown_bytes = 0  # replayed and appended in this life
        self.synced_lsn = 0
        """INVARIANT: synced_lsn <= last_lsn; every frame up to it is on the disk."""
        self.failed: StoreFailed | None = None
        """Why nothing can be appended or synced any more; never cleared."""
        self._file: StorageFile | None = None
        """The active chunk; None until replay is over, and always when read-only."""
        self._number = 0
        self._end = 0
        """INVARIANT: the size of the active chunk, and the end of its last whole frame."""
        self._durable_number = 0
        """The latest chunk whose header and name are known to be durable."""
        self._sealed: list[StorageFile] = []  # with frames that no completed sync has covered, in order
        self._chunks = ChunkList(storage, uuid, [])
        """The chunks that exist and are not to be removed; INVARIANT: the active one is the last."""

        # what belongs to `_sync_lock`
        self._sync_lock = threading.Lock()
        self._sync_error: BaseException | None = None

    # --- beginning and end ------------------------------------------------------------------

    @classmethod
    def create(cls, storage: Storage, uuid: bytes) -> "Log":
        """Make the log of a new store: its folder and its first chunk, durable when this returns."""
        log = cls(storage, uuid)
        storage.make_folder(LOG_FOLDER)
        log._begin_chunk(1)
        log.sync()
        storage.sync_folder("")
        return log

    @classmethod
    def open(
        cls,
        storage: Storage,
        uuid: bytes,
        *,
        after_lsn: int,
        after_place: Place | None = None,
        read_only: bool = False,
    ) -> "Log":
        """Open an existing log; call `replay` to its end before anything else.

        `after_place` is where frame `after_lsn` lies (`last_place` of then), if that is known: replay begins
        there and need not walk through the chunk that holds it.
        """
        log = cls(storage, uuid)
        log._read_only = read_only
        log._scan = LogScan(storage, uuid, after_lsn, after_place, settle=not read_only)
        return log

    def replay(self) -> Iterator[Record]:
        """Yield every frame after `after_lsn`, in order; at its end the log is ready for use.

        A torn tail is cut (ignored when read-only) after the last record was yielded. LogDamaged when a frame
        that was known to be durable is not there; then nothing on the disk is changed.
        """
        scan = self._scan
        if scan is None:
            raise RuntimeError("a log is replayed once, after open")
        yield from scan.records()
        self._scan = None
        self.grown_bytes += scan.replayed_bytes
        ending = scan.ending
        assert ending is not None
        self._chunks = ChunkList(self._storage, self._uuid, [n for n in scan.numbers if n <= ending.chunk])
        self.last_lsn, self.last_place = scan.last_lsn, scan.last_place
        self._number = ending.chunk
        self._end = ending.size_bytes
        if self._read_only:
            self.synced_lsn = self.last_lsn
            return
        try:
            if ending.torn is not None:
                self._cut(ending)
            # The scan synced each chunk that it read; with their names all that was replayed is durable.
            self._storage.sync_folder(LOG_FOLDER)
            self.synced_lsn = self.last_lsn
            self._durable_number = ending.chunk
            self._activate(self._storage.open(chunk_name(ending.chunk), writable=True))
        except OSError as error:
            raise StoreUnreadable(self._storage.path, f"its log: {error.strerror or error}") from error

    def close(self) -> None:
        """Give all files back without syncing; idempotent."""
        self._reader.close()
        for file in (*self._sealed, self._file):
            if file is not None:
                file.close()
        self._sealed, self._file = [], None

    def _cut(self, ending: Ending) -> None:
        """Remove a torn tail, in the order that the head of this file gives reasons for."""
        for number in ending.later:
            self._storage.unlink(chunk_name(number))
        if ending.later:
            self._storage.sync_folder(LOG_FOLDER)
        file = self._storage.open(chunk_name(ending.chunk), writable=True)
        try:
            file.truncate(ending.size_bytes)
            file.sync()
        finally:
            file.close()

    # --- appending --------------------------------------------------------------------------

    def append(self, command: bytes, data: Sequence[Buffer] | Buffer = b"") -> Place:
        """Write one frame. NoSpace leaves the log as it was; StoreFailed is for ever."""
        if self.failed is not None or self._file is None:
            self._refuse()
        whole: bytes | memoryview = data if data.__class__ is bytes else as_bytes(data)
        length = len(whole)
        size = frame_bytes(len(command), length) if length else FRAME_HEADER_BYTES + len(command)
        if self._end + size > self.chunk_bytes or size > JOIN_BYTES:
            if len(command) > FRAME_COMMAND_BYTES or length > FRAME_DATA_BYTES:
                raise ValueError(f"no frame holds a command of {len(command)} and data of {length} bytes")
            if self._end + size > self.chunk_bytes:
                self.roll()
        offset, number = self._end, self._number
        lsn = self.last_lsn + 1
        fields = pack_fields(FRAME_MAGIC, len(command), length, 0, lsn, self.synced_lsn)
        frame = seal_frame(self._uuid, number, offset, fields, command, whole)
        try:
            self._file.append(frame)
            self._end = offset + size
            self.last_lsn = lsn
            self.grown_bytes += size
        except BaseException as error:
            raise self._undo_append(error, offset, lsn)  # noqa: B904 - it is the error itself, or carries it
        place = self.last_place = new_place((number, offset, offset + size - length))
        return place

    def _undo_append(self, error: BaseException, end: int, lsn: int) -> BaseException:
        """Cut the active chunk back to its last whole frame when the disk is full; all else is for ever."""
        if isinstance(error, OSError) and error.errno in FULL and self._file is not None:
            try:
                self._file.truncate(end)
            except OSError as second:
                return self._fail("a full disk, and the log could not be cut back", second)
            return NoSpace()
        # Also an interrupt between the write and its book-keeping: nobody can say how much is there.
        self._end, self.last_lsn = end, lsn - 1
        failure = self._fail("writing the log", error)
        return failure if isinstance(error, Exception) else error

    def roll(self) -> int:
        """Seal the active chunk, unless it is empty, and begin the next; returns the last number before that.

        NoSpace leaves everything as it was. The next sync makes the new chunk durable, as after any roll.
        """
        if self.failed is not None or self._file is None:
            self._refuse()
        if self._end > CHUNK_HEADER_BYTES:
            sealed = self._file
            self._begin_chunk(self._number + 1)
            # Even when all its frames are synced: a cut-back behind them may not be, and what it cut off
            # would stand, after a power cut, before frames of the next chunk with marks that reach past it.
            self._sealed.append(sealed)
        return self._number - 1

    def _begin_chunk(self, number: int) -> None:
        name = chunk_name(number)
        header = encode_chunk_header(self._uuid, number, self.last_lsn + 1, self.synced_lsn)
        try:
            file = self._storage.create(name)
        except OSError as error:
            if error.errno in FULL:
                raise NoSpace from error
            raise self._fail(f"creating {name}", error) from error
        try:
            file.append((header,))
        except OSError as error:
            file.close()
            try:
                self._storage.unlink(name)
            except OSError as second:
                raise self._fail(f"removing {name}, for which there was no room", second) from error
            if error.errno in FULL:
                raise NoSpace from error
            raise self._fail(f"writing {name}", error) from error
        self._number = number
        self._end = CHUNK_HEADER_BYTES
        self._chunks.add(number, self.last_lsn + 1)
        self._activate(file)

    def _activate(self, file: StorageFile) -> None:
        self._file = file
        self._reader.set_active(self._number, file)

    def _refuse(self) -> NoReturn:
        if self.failed is not None:
            raise StoreFailed(self.failed.reason)
        if self._read_only:
            raise ReadOnly
        raise RuntimeError("the log is closed, or was not replayed to its end")

    def poison(self, failure: StoreFailed) -> None:
        """Refuse appends and syncs from now on, for the first reason that is given."""
        if self.failed is None:
            self.failed = failure

    def _fail(self, action: str, error: BaseException) -> StoreFailed:
        failure = StoreFailed(f"{action}: {getattr(error, 'strerror', None) or repr(error)}")
        self.poison(failure)
        return failure

    # --- syncing ----------------------------------------------------------------------------

    @property
    def has_unsynced_chunks(self) -> bool:
        """True when a sealed chunk waits for its sync: time for one, before more piles up."""
        return bool(self._sealed)

    def begin_sync(self) -> SyncTicket:
        """Say what a sync from now has to cover. Owner thread."""
        if self.failed is not None or (self._file is None and not self._read_only):
            self._refuse()
        new_chunk = self._number != self._durable_number
        if self._read_only or (self.synced_lsn == self.last_lsn and not new_chunk):
            return SyncTicket(self.last_lsn, self._number, (), False, None)
        return SyncTicket(self.last_lsn, self._number, tuple(self._sealed), new_chunk, self._file)

    def run_sync(self, ticket: SyncTicket) -> None:
        """Make it so. Any thread; only calls to the operating system.

        One at a time, and not at all after one that failed: the kernel reports a lost page once per
        descriptor, so a second fsync of the same file would succeed without the page being there.
        """
        with self._sync_lock:
            if self._sync_error is not None:
                raise OSError(errno.EIO, f"an earlier sync failed: {self._sync_error}")
            try:
                for file in ticket.sealed:
                    file.sync()
                    # What was written is in the cache of whoever wrote it. A second copy here would only take
                    # memory, and new memory is what makes a long write slow.
                    file.drop_cache(0)
                if ticket.folder:
                    self._storage.sync_folder(LOG_FOLDER)
                if ticket.active is not None:
                    ticket.active.sync()
            except BaseException as error:
                self._sync_error = error
                raise

    def end_sync(self, ticket: SyncTicket, error: BaseException | None) -> None:
        """Take note of how `run_sync` went: `synced_lsn` moves, or the log is poisoned. Owner thread."""
        if error is not None:
            self._fail("syncing the log", error)
            return
        if self._read_only:
            return
        self.synced_lsn = max(self.synced_lsn, ticket.lsn)
        self._durable_number = max(self._durable_number, ticket.chunk)
        if ticket.sealed:
            self._sealed = [file for file in self._sealed if file not in ticket.sealed]
        self._chunks.unlink_removed(self._durable_number)

    def sync(self) -> None:
        """Make everything appended so far durable; StoreFailed when that did not work."""
        ticket = self.begin_sync()
        try:
            self.run_sync(ticket)
        except BaseException as error:
            self.end_sync(ticket, error)
            if isinstance(error, Exception):
                self._refuse()
            raise
        self.end_sync(ticket, None)

    # --- reading ----------------------------------------------------------------------------

    def read(self, chunk: int, frame: int, start: int, length: int) -> bytes | memoryview:
        """Return `length` bytes at `start` of `chunk`, in the data of the frame at `frame`, verified."""
        return self._reader.read(chunk, frame, start, length)

    def read_resident(self, chunk: int, frame: int, start: int, length: int) -> bytes | memoryview | None:
        """Like `read`, but None where that would wait for the disk, which has been asked then."""
        return self._reader.read_resident(chunk, frame, start, length)

    def is_open_to_read(self, chunk: int) -> bool:
        """Whether a read of that chunk can only wait for its pages. Any thread."""
        return self._reader.is_open(chunk)

    def check_range(self, chunk: int, frame: int, start: int, length: int) -> None:
        """DataDamaged unless that range lies in the data of a valid frame. Any thread."""
        self._reader.check(chunk, frame, start, length)

    # --- chunks -----------------------------------------------------------------------------

    def chunk_numbers(self) -> list[int]:
        """Return the numbers of all chunks, the active one last."""
        return list(self._chunks.numbers)

    def chunk_bounds(self, number: int) -> tuple[int, int]:
        """First and last LSN of a chunk (first - 1 when it is empty); DataDamaged without a readable header.
        The last may be too high where chunks behind it were removed."""
        if number == self._number:
            return self._chunks.first_lsn(number), self.last_lsn
        return self._chunks.first_lsn(number), self._chunks.first_lsn(self._chunks.after(number)) - 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all chunks. Opens each old chunk once, which takes a while in a large store."""
        return self._end + sum(self._chunks.size(number) for number in self._chunks.numbers[:-1])

    def remove_chunk(self, number: int) -> None:
        """Remove a chunk that neither the index, durably, nor an extent needs; maybe after the next sync.

        Failing to unlink is no failure of the log: the chunk is listed again and can be removed later."""
        if number == self._number or number not in self._chunks.numbers:
            raise ValueError(f"chunk {number} cannot be removed")
        self._reader.forget(number)
        self._chunks.remove(number)
        self._chunks.unlink_removed(self._durable_number)
