"""One chunk of the log, open for reading: what is handed out was verified once.

Promises that data is given only after the head of its frame and its piece of the data matched their checksums
in this life of the mapping; anything else is `DataDamaged`. Never writes.

Threads: any. `known` needs no lock: two threads that verify the same piece store the same answer.
"""

from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    PIECE_BYTES,
    SUM_BYTES,
    BadBytes,
    Frame,
    frame_seed,
    parse_frame,
    verify_head,
    verify_piece,
)
from vfs.backing.storage import StorageFile
from vfs.errors import ChunkDamaged
from vfs.limits import MIB

SMALL_BYTES = 64 * 1024
"""Up to here pread is cheaper for a read that may wait for the disk than faulting mapped pages in."""

READ_AHEAD_BYTES = 4 * MIB
"""What a sequential reader's next reads will want: some milliseconds of the disk."""

FRAME_GAP_BYTES = 4096
"""Heads of frames lie between the data of a file that was written in one go."""

KNOWN_FRAMES = 1024
"""Frames of one chunk whose sums are kept at hand: some 350 bytes each, 14 MB in all at the most."""


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

    def read_resident(self, frame: int, start: int, length: int) -> bytes | memoryview | None:
        """As `read`, but None when that would wait for the disk, which has then been asked for what is needed
        first: the header of the frame, its whole head, or the data."""
        known = self.known.get(frame)
        try:
            if known is None:
                known = self._know_resident(frame)
                if known is None:
                    return None
            self._check_range(known, start, length)
            first, stop = known.pieces(start, length)
            begin, end = start, start + length
            if is_new := known.verified.find(0, first, stop) >= 0:
                begin, end = known.bounds(first, stop)
            if end - begin > SMALL_BYTES:
                return self.read(frame, start, length) if self._file.resident(end - begin, begin) else None
            if is_new:
                self._read_ahead(start, length)
            # One call to the system, which gives the interpreter to others once, where a look at the pages
            # and then the mapping take four.
            data = self._file.pread_resident(end - begin, begin)
            if data is None:
                return None
            if is_new:
                return self._verified(known, start, length, data)
            if len(data) == length:
                return data
        except (BadBytes, OSError):
            pass
        return self.read(frame, start, length)  # which says what is wrong

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
        begin, end = known.bounds(*known.pieces(start, length))
        return self._verified(known, start, length, self._fetch(end - begin, begin))

    def _verified(self, known: KnownFrame, start: int, length: int, data: bytes | memoryview) -> memoryview:
        """A range out of the data of its pieces, which is verified where that was not done before."""
        first, stop = known.pieces(start, length)
        begin, end = known.bounds(first, stop)
        whole = memoryview(data)
        if len(whole) != end - begin:
            raise BadBytes("the chunk ends before the frame does")
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
        return self._keep(parsed, self._fetch(parsed.data - frame, frame))

    def _know_resident(self, frame: int) -> KnownFrame | None:
        """The same; None when that would wait for the disk, which has been asked then."""
        if frame < CHUNK_HEADER_BYTES:
            raise BadBytes("no frame can be there")
        header = self._file.pread_resident(FRAME_HEADER_BYTES, frame)
        if header is None:
            return None
        parsed = parse_frame(header, frame, base=frame)
        head = self._file.pread_resident(parsed.data - frame, frame)
        return None if head is None else self._keep(parsed, head)

    def _keep(self, parsed: Frame, head: bytes | memoryview) -> KnownFrame:
        """Verify all of a frame but its data, and keep what is wanted of it."""
        frame = parsed.offset
        seed = frame_seed(self._uuid, self.number, frame)
        sums = verify_head(head, parsed, seed, base=frame)
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
