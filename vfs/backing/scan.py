"""Reading a log after a stop of any kind, and deciding how it ends: cleanly, with a torn tail, or damaged.

Promises records in order of their LSN without a gap, each verified. Never changes a byte on the disk: it
decides, and `Log` cuts. The three endings, where L is the LSN that should come next but is not there in good
order:

    what follows                                            ending
    nothing (the last chunk ends with a whole frame)        clean
    bytes, chunks or frames, none with synced mark >= L     torn tail: never known durable, cut from here on
    a valid frame or chunk header with synced mark >= L     damage: L was durable once
    anything, and L is at or before what the index holds    damage: an index never gets ahead of a synced log

Frames at or before `after_lsn` are not replayed, so only their form is followed. One with a bad header is
stepped over when the next good one can be found: the file whose data it held will say so, the rest of the
store lives on.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import NamedTuple

from vfs.backing.chunks import chunk_name, chunk_numbers, read_chunk_header
from vfs.backing.frame_runs import DataPlace, Place, Record, read_run
from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    BadBytes,
    ChunkHeader,
    ForeignBytes,
    Frame,
    find_frames,
    parse_frame,
    verify_frame,
)
from vfs.backing.storage import Storage
from vfs.errors import LogDamaged, StoreUnreadable
from vfs.limits import CHUNK_BYTES


class Ending(NamedTuple):
    """How the log ends: its last good byte is at `size_bytes` of `chunk`."""

    chunk: int
    size_bytes: int
    torn: str | None
    """None: cleanly. Otherwise why the bytes that follow in this chunk, and all of `later`, are to be cut."""
    later: list[int]


class LogScan:
    """One pass over the frames after `after_lsn`; `ending` is known once `records` is exhausted.

    `settle`: make each chunk durable and drop its cached pages before anything of it is looked at. After a
    failed fsync the kernel may hold pages as clean that never reached the disk; what is replayed, and from
    then on marked as synced, must be what the disk has. The whole chunk, since the kernel keeps a page of
    which only a part is to go: the header, without which a chunk is none, shares one with the first frames.
    """

    def __init__(
        self, storage: Storage, uuid: bytes, after_lsn: int, after_place: Place | None = None, *, settle: bool
    ) -> None:
        self._storage = storage
        self._uuid = uuid
        self._after_lsn = after_lsn
        self._after_place = after_place
        self._settle = settle
        self._settled: set[int] = set()
        self.numbers = chunk_numbers(storage)
        self.last_lsn = after_lsn
        self.last_place: Place | None = None
        self.replayed_bytes = 0
        self.ending: Ending | None = None
        self._expected = 0
        self._unverified: Frame | None = None
        """The frame before the current place, as long as only its form was looked at."""

    def records(self) -> Iterator[Record]:
        """Yield the frames with an LSN above `after_lsn`; LogDamaged where what was durable is not there."""
        try:
            number, offset = self._start()
            while True:
                end, bad = yield from self._walk(number, offset)
                if bad is not None:
                    self.ending = self._judge(number, end, end, bad, number)
                    return
                later = [other for other in self.numbers if other > number]
                if not later:
                    break
                reason = self._enter(number + 1)
                if reason is not None:
                    self.ending = self._judge(number, end, 0, reason, number + 1)
                    return
                number, offset = number + 1, CHUNK_HEADER_BYTES
        except OSError as error:
            raise StoreUnreadable(self._storage.path, f"its log: {error.strerror or error}") from error
        if self._expected <= self._after_lsn:
            reason = f"the log ends before frame {self._expected}, the index holds {self._after_lsn}"
            raise LogDamaged(number, end, reason)
        self.ending = Ending(number, end, None, [])

    # --- where to begin ---------------------------------------------------------------------

    def _start(self) -> tuple[int, int]:
        """Find the frame to begin with: the one the index names, or the first of the last fitting chunk."""
        self.last_place = self._after_place
        if self._after_place is not None and self.numbers:
            try:
                self._header(self.numbers[-1])
            except ForeignBytes as error:  # replay may need nothing of it, and what is written would be mixed
                raise LogDamaged(self.numbers[-1], 0, str(error)) from None
            except (BadBytes, OSError):
                pass  # told when it is needed
        if self._after_place is not None and self._is_after_frame(self._after_place):
            self._expected = self._after_lsn
            return self._after_place.chunk, self._after_place.frame
        reason = "the log has no chunk"
        for number in reversed(self.numbers):
            try:
                header = self._header(number)
            except BadBytes as error:
                reason = str(error)
                continue
            if header.first_lsn <= self._after_lsn + 1:
                self._expected = header.first_lsn
                return number, CHUNK_HEADER_BYTES
            reason = f"frames {self._after_lsn + 1} to {header.first_lsn - 1} are missing before it"
        raise LogDamaged(self.numbers[0] if self.numbers else 1, 0, reason)

    def _is_after_frame(self, place: Place) -> bool:
        if place.chunk not in self.numbers:
            return False
        self._settle_chunk(place.chunk)
        file = self._storage.open(chunk_name(place.chunk))
        try:
            head = file.pread(CHUNK_HEADER_BYTES, place.frame)
            return parse_frame(head, place.frame, base=place.frame).lsn == self._after_lsn
        except BadBytes:
            return False
        finally:
            file.close()

    def _settle_chunk(self, number: int) -> None:
        """Have the disk answer for a chunk from now on, and not the cache."""
        if not self._settle or number in self._settled or number not in self.numbers:
            return
        file = self._storage.open(chunk_name(number))
        try:
            file.sync()
            file.drop_cache(0)
        finally:
            file.close()
        self._settled.add(number)

    def _header(self, number: int) -> ChunkHeader:
        self._settle_chunk(number)
        return read_chunk_header(self._storage, number, self._uuid)

    def _enter(self, number: int) -> str | None:
        """Check that chunk `number` goes on where the one before ended; otherwise say why not."""
        try:
            header = self._header(number)
        except BadBytes as error:
            return str(error)
        if header.first_lsn != self._expected:
            return f"the chunk begins with frame {header.first_lsn}, {self._expected} comes next"
        return None

    # --- along the frames -------------------------------------------------------------------

    def _view(self, number: int, offset: int) -> memoryview:
        """Map a chunk, with everything from `offset` on read from the disk."""
        self._settle_chunk(number)
        file = self._storage.open(chunk_name(number))
        try:
            if file.size() > CHUNK_BYTES:  # all of it is going to be looked at
                raise LogDamaged(number, offset, f"it has {file.size()} bytes, more than any chunk")
            view = file.map()
            try:
                file.fault_in(len(view) - offset, offset)
            except OSError as error:
                raise LogDamaged(number, offset, f"cannot be read: {error.strerror or error}") from error
            return view
        finally:
            file.close()

    def _walk(self, number: int, offset: int) -> Generator[Record, None, tuple[int, str | None]]:
        """Yield the records of a chunk; return where it stopped, and why if that is not the end."""
        self._unverified = None  # one of the chunk before ended where that chunk does, and this one agrees
        view = self._view(number, offset)
        while offset < len(view):
            if self._expected > self._after_lsn:
                records, end = read_run(view, offset, self._uuid, number, self._expected)
                if records:
                    self._unverified = None
                    self.last_lsn, self.last_place = records[-1].lsn, records[-1].place
                    self._expected = self.last_lsn + 1
                    self.replayed_bytes += end - offset
                    yield from records
                    offset = end
                    continue
            try:
                frame = self._next(view, offset, number)
            except BadBytes as error:
                return offset, str(error)
            offset = frame.end
            self._expected = frame.lsn + 1
            place = Place(number, frame.offset, frame.data)
            if frame.lsn >= self._after_lsn:
                self.last_lsn, self.last_place = frame.lsn, place
            if frame.lsn > self._after_lsn:
                command = bytes(view[frame.command : frame.sums])
                self.replayed_bytes += frame.end - frame.offset
                yield Record(command, DataPlace(frame.lsn, *place, view[frame.data : frame.end]))
        return offset, None

    def _next(self, view: memoryview, offset: int, number: int) -> Frame:
        try:
            frame = parse_frame(view, offset)
            if frame.lsn != self._expected:
                raise BadBytes(f"frame {frame.lsn} stands where {self._expected} belongs")
            if frame.end > len(view):
                raise BadBytes("the frame is cut off")
            if frame.lsn > self._after_lsn:
                verify_frame(view, frame, self._uuid, number)
            self._unverified = frame if frame.lsn <= self._after_lsn else None
            return frame
        except BadBytes:
            if self._expected > self._after_lsn + 1:
                raise  # it is to be replayed
            found = self._step_over(view, offset, number)
            if found is None:
                raise
            return found

    def _step_over(self, view: memoryview, offset: int, number: int) -> Frame | None:
        """Find the frame to go on with behind a bad one that the index no longer needs."""
        before = self._unverified
        if before is not None and _is_whole(view, before, self._uuid, number):
            before = None
        if before is None and self._expected > self._after_lsn:
            return None  # the bad one is to be replayed itself, and stands where it should
        start = offset if before is None else before.offset + 1  # its length may be what is wrong
        lowest, highest = self._expected, self._after_lsn + 1
        for frame in find_frames(
            view, start, self._uuid, number, lambda frame: lowest <= frame.lsn <= highest
        ):
            self._unverified = None
            return frame
        if before is not None:
            # The place where it should end cannot be trusted: cutting there might cut what is still needed.
            self._expected = before.lsn
        return None

    # --- how it ends ------------------------------------------------------------------------

    def _judge(self, number: int, end: int, bad_offset: int, reason: str, bad_chunk: int) -> Ending:
        """Decide about the place where the next frame should be: damage is raised, a torn tail returned."""
        lsn = self._expected
        if lsn <= self._after_lsn:
            raise LogDamaged(
                bad_chunk, bad_offset, f"{reason}; the index holds frames up to {self._after_lsn}"
            )
        later = [other for other in self.numbers if other > number]
        if bad_chunk == number:
            self._refuse_mark(number, bad_offset, bad_chunk, bad_offset, reason)
        for other in later:
            self._refuse_mark(other, 0, bad_chunk, bad_offset, reason)
        return Ending(number, end, reason, later)

    def _refuse_mark(self, number: int, start: int, bad_chunk: int, bad_offset: int, reason: str) -> None:
        """Raise LogDamaged when anything valid in chunk `number` says that the missing frame was durable."""
        lsn = self._expected
        marked: int | None = None
        if start == 0:
            with suppress(BadBytes):
                marked = 0 if self._header(number).synced_lsn >= lsn else None
        if marked is None:
            frames = find_frames(
                self._view(number, start), start, self._uuid, number, lambda frame: frame.synced_lsn >= lsn
            )
            marked = next((frame.offset for frame in frames), None)
        if marked is not None:
            where = f"offset {marked}" if number == bad_chunk else f"chunk {number} at offset {marked}"
            raise LogDamaged(
                bad_chunk, bad_offset, f"{reason}, though {where} says that frame {lsn} was synced"
            )


def _is_whole(view: memoryview, frame: Frame, uuid: bytes, chunk: int) -> bool:
    try:
        verify_frame(view, frame, uuid, chunk)
    except BadBytes:
        return False
    return True
