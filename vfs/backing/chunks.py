"""Chunk files of the log, and verified reads of the data in their frames.

Data is handed out only after the head of its frame and its piece of the data matched their checksums once in
this life of the mapping; anything else is `DataDamaged`. Nothing here writes into a chunk, repairs one or
knows which frames matter.

Threads: `read` and `read_resident` may be called by any thread. `_sealed` belongs to `_lock`; a chunk that is
evicted is only dropped, and goes away with the last reader that still holds it. `ReadableChunk.known`
needs no lock: two threads that verify the same piece store the same answer.
"""

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    PIECE_BYTES,
    SUM_BYTES,
    BadBytes,
    ChunkHeader,
    Frame,
    decode_chunk_header,
    frame_seed,
    parse_frame,
    verify_head,
    verify_piece,
)
from vfs.backing.storage import Storage, StorageFile
from vfs.errors import ChunkDamaged, NoDescriptors
from vfs.limits import CHUNK_BYTES, LAST_CHUNK, MIB

LOG_FOLDER = "log"
CHUNK_PREFIX = "chunk-"

SMALL_BYTES = 64 * 1024
"""Up to here pread is cheaper for a read that may wait for the disk than faulting mapped pages in."""

READ_AHEAD_BYTES = 4 * MIB
"""What a sequential reader's next reads will want: some milliseconds of the disk."""

FRAME_GAP_BYTES = 4096
"""Heads of frames lie between the data of a file that was written in one go."""

KNOWN_FRAMES = 1024
"""Frames of one chunk whose sums are kept at hand: some 350 bytes each, 14 MB in all at the most."""

MAPPED_CHUNKS = 40
"""Sealed chunks that stay mapped: more than a usual backlog has. With the mapping's own, 80 descriptors."""


def chunk_name(number: int) -> str:
    """Return the name of a chunk file, relative to the store."""
    return f"{LOG_FOLDER}/{CHUNK_PREFIX}{number:08d}"


def chunk_numbers(storage: Storage) -> list[int]:
    """Return the numbers of the chunks that exist, in order. Names that we would not give are not chunks."""
    numbers = []
    for name in storage.list(LOG_FOLDER):
        digits = name.removeprefix(CHUNK_PREFIX)
        if digits.isascii() and digits.isdigit() and len(digits) < 20:
            number = int(digits)
            if 0 < number <= LAST_CHUNK and chunk_name(number) == f"{LOG_FOLDER}/{name}":
                numbers.append(number)
    return sorted(numbers)


def read_chunk_header(storage: Storage, number: int, uuid: bytes) -> ChunkHeader:
    """Read the header of a chunk; BadBytes when there is none, OSError when it cannot be read."""
    try:
        file = storage.open(chunk_name(number))
    except FileNotFoundError:
        raise BadBytes("the chunk is missing") from None
    try:
        return decode_chunk_header(file.pread(CHUNK_HEADER_BYTES, 0), uuid, number)
    finally:
        file.close()


class ChunkList:
    """The chunks of a log by number. What their headers and sizes say is asked only when needed, and kept."""

    def __init__(self, storage: Storage, uuid: bytes, numbers: list[int]) -> None:
        self._storage = storage
        self._uuid = uuid
        self.numbers = numbers
        """INVARIANT: sorted."""
        self._removed: list[int] = []
        self._leaving: list[tuple[int, Future[None]]] = []
        """Those whose files are being unlinked elsewhere: a busy disk keeps whoever does that waiting."""
        self._first_lsns: dict[int, int] = {}
        self._sizes: dict[int, int] = {}

    def add(self, number: int, first_lsn: int) -> None:
        """Note a chunk that was made behind all others."""
        self.numbers.append(number)
        self._first_lsns[number] = first_lsn

    def after(self, number: int) -> int:
        """Return the number of the chunk that follows; IndexError behind the last."""
        return self.numbers[bisect_right(self.numbers, number)]

    def first_lsn(self, number: int) -> int:
        """Return the LSN of the first frame; DataDamaged when the chunk's header is not readable."""
        known = self._first_lsns.get(number)
        if known is None:
            try:
                known = read_chunk_header(self._storage, number, self._uuid).first_lsn
            except (BadBytes, OSError) as error:
                raise ChunkDamaged(number, 0, str(error)) from error
            self._first_lsns[number] = known
        return known

    def size(self, number: int) -> int:
        """Return the size of a sealed chunk; 0 for one that vanished, of which its readers will complain."""
        known = self._sizes.get(number)
        if known is None:
            known = 0
            with suppress(OSError):
                file = self._storage.open(chunk_name(number))
                known = file.size()
                file.close()
            self._sizes[number] = known
        return known

    def remove(self, number: int) -> None:
        """Take a chunk off the list; it stays on the disk until `unlink_removed` passes it."""
        self.numbers.remove(number)
        self._removed.append(number)

    def unlink_removed(self, below: int) -> None:
        """Have what was removed and lies before chunk `below` unlinked; soon after, or with the next call,
        what the system refused is listed again."""
        for number in [number for number in self._removed if number < below]:
            self._removed.remove(number)
            unlink = partial(self._storage.unlink, chunk_name(number))
            self._leaving.append((number, self._storage.free(unlink)))
        for number, unlinked in [each for each in self._leaving if each[1].done()]:
            self._leaving.remove((number, unlinked))
            error = unlinked.exception()
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                insort(self.numbers, number)
            else:
                self._first_lsns.pop(number, None)
                self._sizes.pop(number, None)


class KnownFrame:
    """A frame whose head matched its checksum: where its data lies, and which pieces of that are verified."""

    __slots__ = ("data", "end", "seed", "sums", "verified")

    def __init__(self, frame: Frame, sums: bytes, seed: int) -> None:
        self.data = frame.data
        self.end = frame.end
        self.sums = sums
        self.seed = seed
        self.verified = bytearray(len(sums) // SUM_BYTES)
        """INVARIANT: 1 only for pieces that matched their sum."""

    def pieces(self, start: int, length: int) -> tuple[int, int]:
        """First piece of a range, and the one behind its last."""
        return (start - self.data) // PIECE_BYTES, (start + length - 1 - self.data) // PIECE_BYTES + 1

    def bounds(self, first: int, stop: int) -> tuple[int, int]:
        """Where pieces first..stop lie in the chunk."""
        return self.data + first * PIECE_BYTES, min(self.end, self.data + stop * PIECE_BYTES)


class ReadableChunk:
    """A chunk open for reading: the active one by pread, a sealed one through its mapping."""

    def __init__(self, number: int, file: StorageFile, uuid: bytes, *, sealed: bool) -> None:
        self.number = number
        self._file = file
        self._uuid = uuid
        self._view = file.map() if sealed else None
        self.known: dict[int, KnownFrame] = {}
        """By the frame's offset; INVARIANT: at most KNOWN_FRAMES."""
        self._following = 0
        """Where a reader that goes on from the last read would read next."""
        self._ahead = 0
        """How far read-ahead has asked."""

    def read(self, frame: int, start: int, length: int) -> bytes | memoryview:
        """Return `length` bytes at `start`, which must lie in the data of the frame at `frame`."""
        try:
            known = self.known.get(frame) or self._know(frame)
            self._check_range(known, start, length)
            first, stop = known.pieces(start, length)
            if known.verified.find(0, first, stop) < 0:
                return self._fetch(length, start, mapped=True)
            self._read_ahead(start, length)
            return self._read_first(known, start, length)
        except BadBytes as error:
            raise ChunkDamaged(self.number, frame, str(error)) from None
        except OSError as error:
            raise ChunkDamaged(self.number, frame, f"cannot be read: {error.strerror or error}") from error

    def check(self, frame: int, start: int, length: int) -> None:
        """DataDamaged unless the range lies in the data of a frame; the data itself is not read."""
        try:
            self._check_range(self.known.get(frame) or self._know(frame), start, length)
        except BadBytes as error:
            raise ChunkDamaged(self.number, frame, str(error)) from None
        except OSError as error:
            raise ChunkDamaged(self.number, frame, f"cannot be read: {error.strerror or error}") from error

    def pieces(self, frame: int, start: int, length: int) -> list[tuple[int, int]]:
        """The parts of a range that have a sum each; DataDamaged when it is in no frame."""
        self.check(frame, start, length)
        known = self.known[frame]
        bounds = [known.bounds(number, number + 1) for number in range(*known.pieces(start, length))]
        cuts = ((max(begin, start), min(end, start + length)) for begin, end in bounds)
        return [(begin, end - begin) for begin, end in cuts]

    def resident(self, frame: int, start: int, length: int) -> bool:
        """Whether `read` would very likely not wait for the disk; so does damage, `read` tells it."""
        known = self.known.get(frame)
        if known is None:
            if not self._file.resident(FRAME_HEADER_BYTES, frame):
                return False
            try:
                known = self._know(frame)
            except (BadBytes, OSError):
                return True
        first, stop = known.pieces(start, length)
        if known.verified.find(0, first, stop) >= 0:
            begin, end = known.bounds(first, stop)
            return self._file.resident(end - begin, begin)
        return self._file.resident(length, start)

    def unmap(self) -> None:
        """Give back what reading through the mapping took; nobody reads any more."""
        self._file.unmap()

    def _read_ahead(self, start: int, length: int) -> None:
        """Ask the disk for what a sequential reader will want next, while this read is verified.

        The fields are hints: threads that mix them up ask for too much or too little.
        """
        end = start + length
        if 0 <= start - self._following < FRAME_GAP_BYTES and end + READ_AHEAD_BYTES // 2 > self._ahead:
            begin = max(end, self._ahead)
            self._ahead = begin + READ_AHEAD_BYTES
            self._file.prefetch(READ_AHEAD_BYTES, begin)
        self._following = end

    def _read_first(self, known: KnownFrame, start: int, length: int) -> bytes | memoryview:
        """Verify the pieces of a range, and answer from the very bytes that were verified."""
        first, stop = known.pieces(start, length)
        begin, end = known.bounds(first, stop)
        whole = memoryview(self._fetch(end - begin, begin))
        for number in range(first, stop):
            if not known.verified[number]:
                at = (number - first) * PIECE_BYTES
                verify_piece(whole[at : at + PIECE_BYTES], known.sums, number, known.seed)
                known.verified[number] = 1
        return whole[start - begin : start - begin + length]

    def _know(self, frame: int) -> KnownFrame:
        """Read and verify all of a frame but its data."""
        if frame < CHUNK_HEADER_BYTES:
            raise BadBytes("no frame can be there")
        parsed = parse_frame(self._fetch(FRAME_HEADER_BYTES, frame), frame, base=frame)
        seed = frame_seed(self._uuid, self.number, frame)
        sums = verify_head(self._fetch(parsed.data - frame, frame), parsed, seed, base=frame)
        if len(self.known) >= KNOWN_FRAMES:
            self.known.clear()
        known = self.known[frame] = KnownFrame(parsed, sums, seed)
        return known

    def _fetch(self, length: int, offset: int, *, mapped: bool = False) -> bytes | memoryview:
        """Return exactly these bytes, unverified; small ones as a copy, unless they should be `mapped`."""
        if self._view is not None and (mapped or length > SMALL_BYTES):
            piece: bytes | memoryview = self._view[offset : offset + length]
            if len(piece) == length:
                # Before anyone touches the mapped pages: a sector that cannot be read must not become a
                # SIGBUS.
                self._file.fault_in(length, offset)
        else:
            piece = self._file.pread(length, offset)
        if len(piece) != length:
            raise BadBytes("the chunk ends before the frame does")
        return piece

    def _check_range(self, known: KnownFrame, start: int, length: int) -> None:
        if length < 0 or start < known.data or start + length > known.end:
            held = f"{known.end - known.data} bytes at {known.data}"
            raise BadBytes(f"{length} bytes at {start} are not in its data, which is {held}")


class ChunkReader:
    """Reads from all chunks of a log; keeps a bounded number of sealed ones mapped."""

    def __init__(self, storage: Storage, uuid: bytes, mapped_chunks: int = MAPPED_CHUNKS) -> None:
        self._storage = storage
        self._uuid = uuid
        self._limit = mapped_chunks
        self._lock = threading.Lock()
        self._active: ReadableChunk | None = None
        self._sealed: OrderedDict[int, ReadableChunk] = OrderedDict()
        """INVARIANT: at most `_limit` chunks, the least recently read first."""

    def set_active(self, number: int, file: StorageFile) -> None:
        """From now on chunk `number` is the one that grows, and is read with pread."""
        self._active = ReadableChunk(number, file, self._uuid, sealed=False)

    def forget(self, number: int) -> None:
        """Let go of a chunk that is about to be removed, and that nobody reads any more."""
        with self._lock:
            found = self._sealed.pop(number, None)
        if found is not None:
            self._storage.free(found.unmap)

    def close(self) -> None:
        """Let go of all chunks."""
        self._active = None
        with self._lock:
            self._sealed.clear()

    def read(self, chunk: int, frame: int, start: int, length: int) -> bytes | memoryview:
        """Return verified bytes, waiting for the disk when needed; ChunkDamaged when they are wrong."""
        return (self._opened(chunk) or self._open(chunk)).read(frame, start, length)

    def read_resident(self, chunk: int, frame: int, start: int, length: int) -> bytes | memoryview | None:
        """Like `read`, but None when that would (very likely) wait for the disk, as opening a chunk may."""
        found = self._opened(chunk)
        if found is None or not found.resident(frame, start, length):
            return None
        return found.read(frame, start, length)

    def check(self, chunk: int, frame: int, start: int, length: int) -> None:
        """DataDamaged unless that range lies in the data of a valid frame; may wait for the disk."""
        (self._opened(chunk) or self._open(chunk)).check(frame, start, length)

    def pieces(self, chunk: int, frame: int, start: int, length: int) -> list[tuple[int, int]]:
        """The parts of a range that have a sum each; ChunkDamaged when it is in no valid frame."""
        return (self._opened(chunk) or self._open(chunk)).pieces(frame, start, length)

    def mapped(self) -> list[int]:
        """Return the numbers of the chunks that are mapped now."""
        with self._lock:
            return list(self._sealed)

    def _opened(self, number: int) -> ReadableChunk | None:
        active = self._active  # taken once: another thread may roll the log meanwhile
        if active is not None and active.number == number:
            return active
        with self._lock:
            found = self._sealed.get(number)
            if found is not None:
                self._sealed.move_to_end(number)
            return found

    def _open(self, number: int) -> ReadableChunk:
        # Outside of the lock, since it may wait for the disk; when two threads do it, the first one's stays.
        try:
            opened = self._attach(number)
        except NoDescriptors:
            with self._lock:
                self._sealed.clear()
            opened = self._attach(number)
        with self._lock:
            found = self._sealed.setdefault(number, opened)
            self._sealed.move_to_end(number)
            while len(self._sealed) > self._limit:
                self._sealed.popitem(last=False)
        return found

    def _attach(self, number: int) -> ReadableChunk:
        try:
            file = self._storage.open(chunk_name(number))
            if file.size() > CHUNK_BYTES:
                raise ChunkDamaged(number, 0, f"it has {file.size()} bytes, more than any chunk")
            return ReadableChunk(number, file, self._uuid, sealed=True)
        except FileNotFoundError:
            raise ChunkDamaged(number, 0, "the chunk is missing") from None
        except OSError as error:
            raise ChunkDamaged(number, 0, f"cannot be opened: {error.strerror or error}") from error
