"""Chunk files of the log, and verified reads of the data in their frames.

Data is handed out only after it matched its checksums (`readable_chunk.py`); anything else is `DataDamaged`.
Nothing here writes into a chunk, repairs one or knows which frames matter.

Threads: `read` and `read_resident` may be called by any thread. `_sealed` belongs to `_lock`; a chunk that is
evicted is only dropped, and goes away with the last reader that still holds it.
"""

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    BadBytes,
    ChunkHeader,
    decode_chunk_header,
)
from vfs.backing.readable_chunk import ReadableChunk
from vfs.backing.storage import Storage, StorageFile
from vfs.errors import ChunkDamaged, NoDescriptors
from vfs.limits import CHUNK_BYTES, LAST_CHUNK

LOG_FOLDER = "log"
CHUNK_PREFIX = "chunk-"

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
        """Like `read`, but None when that would wait for the disk, as opening a chunk may."""
        found = self._opened(chunk)
        return None if found is None else found.read_resident(frame, start, length)

    def is_open(self, chunk: int) -> bool:
        """Whether pages are all that a read of this chunk may wait for."""
        return self._opened(chunk) is not None

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
