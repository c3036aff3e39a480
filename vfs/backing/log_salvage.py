"""Every frame of a damaged log that verifies, in order, whatever stands between them.

Promises the tail rule of `scan.py`: what was never known to be durable ends the log, all else that verifies
comes, and each place where frames are missing is told. A head with one wrong bit is made right, since its
checksum says which bit it is. Never writes.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from vfs.backing.chunks import chunk_name, chunk_numbers, read_chunk_header
from vfs.backing.frame_runs import Place
from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    BadBytes,
    Frame,
    frame_seed,
    parse_frame,
    piece_sums,
    verify_head,
)
from vfs.backing.storage import Storage
from vfs.limits import MIB

MOST_MENDED_BYTES = 600
"""Heads of frames are tried bit by bit up to this length: 5,000 checksums, some milliseconds."""


class SalvagedFrame(NamedTuple):
    """A frame whose head verifies. `data` is None where at least one piece of it does not."""

    lsn: int
    command: bytes
    place: Place
    data_length: int
    data: memoryview | None


class Missing(NamedTuple):
    """Frames `first` to `last` were durable once, and are not there."""

    first: int
    last: int
    chunk: int
    offset: int


class Survey(NamedTuple):
    """What the log says of itself."""

    numbers: list[int]
    bad_headers: list[int]
    first_lsns: dict[int, int]
    """For each chunk the LSN of its first frame that verifies, or that its header names."""
    last_lsn: int
    """The highest LSN that anything names."""
    synced_lsn: int
    """The highest LSN that anything calls durable."""
    mended: dict[int, list[tuple[int, bytes]]]
    """For each chunk where heads of frames were, and how they were before a bit of them flipped."""


def survey(storage: Storage, uuid: bytes) -> Survey:
    """Look at all heads once."""
    numbers = _numbers(storage)
    bad: list[int] = []
    first_lsns: dict[int, int] = {}
    mended: dict[int, list[tuple[int, bytes]]] = {}
    last = synced = 0
    for number in numbers:
        try:
            header = read_chunk_header(storage, number, uuid)
            first_lsns[number] = header.first_lsn
            last = max(last, header.first_lsn - 1)
            synced = max(synced, header.synced_lsn)
        except (BadBytes, OSError):
            bad.append(number)
        view = _view(storage, number)
        for frame, head in _heads(view, uuid, number):
            if bytes(view[frame.offset : frame.data]) != head:
                mended.setdefault(number, []).append((frame.offset, head))
            first_lsns.setdefault(number, frame.lsn)
            last = max(last, frame.lsn)
            synced = max(synced, frame.synced_lsn)
    return Survey(numbers, bad, first_lsns, max(last, synced), synced, mended)


def salvage_frames(
    storage: Storage, uuid: bytes, after_lsn: int, synced_lsn: int
) -> Iterator[SalvagedFrame | Missing]:
    """The frames after `after_lsn`, and between them what is missing; `synced_lsn` is what `survey` found."""
    expected = after_lsn + 1
    place = (0, 0)
    numbers = _numbers(storage)
    for number in numbers:
        view = _view(storage, number)
        for frame, head in _heads(view, uuid, number):
            if frame.lsn < expected:
                continue  # in the index, or a copy of what came already
            data = view[frame.data : frame.end]
            whole = len(data) == frame.end - frame.data and piece_sums(
                data, frame_seed(uuid, number, frame.offset)
            ) == bytes(head[frame.sums - frame.offset :])
            if frame.lsn > expected:
                if expected > synced_lsn and not (
                    number == numbers[0] and _begins(storage, uuid, number, frame)
                ):
                    return  # a torn tail: only what comes before all chunks can have gone as a whole
                yield Missing(expected, frame.lsn - 1, *place)
            if not whole and frame.lsn > synced_lsn:
                return
            expected = frame.lsn + 1
            place = (number, frame.end)
            command = bytes(head[FRAME_HEADER_BYTES : frame.sums - frame.offset])
            yield SalvagedFrame(
                frame.lsn,
                command,
                Place(number, frame.offset, frame.data),
                frame.end - frame.data,
                data if whole else None,
            )
    if expected <= synced_lsn:
        yield Missing(expected, synced_lsn, *place)


def may_be_at(storage: Storage, uuid: bytes, lsn: int, place: Place) -> bool:
    """Whether frame `lsn` can lie at that place: nothing there says that it is another one."""
    if not place.chunk:
        return True
    found = _head(_view(storage, place.chunk), place.frame, uuid, place.chunk)
    return found is None or found[0].lsn == lsn


def _begins(storage: Storage, uuid: bytes, number: int, frame: Frame) -> bool:
    """Whether a frame is the first of its chunk: what comes before it may be in chunks that are gone."""
    with suppress(BadBytes, OSError):
        return read_chunk_header(storage, number, uuid).first_lsn == frame.lsn
    return False


def _numbers(storage: Storage) -> list[int]:
    try:
        return chunk_numbers(storage)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _view(storage: Storage, number: int) -> memoryview:
    """The bytes of a chunk; none where it cannot be read."""
    try:
        file = storage.open(chunk_name(number))
        try:
            view = file.map()
            file.fault_in(len(view), 0)
            return view
        finally:
            file.close()
    except OSError:
        return memoryview(b"")


def _heads(view: memoryview, uuid: bytes, number: int) -> Iterator[tuple[Frame, bytes]]:
    """Each frame whose head verifies, with its head; the way is found again behind what does not."""
    offset = CHUNK_HEADER_BYTES
    while offset < len(view):
        found = _head(view, offset, uuid, number) or _mended(view, offset, uuid, number)
        if found is None:
            found = _next_head(view, offset + 1, uuid, number)
            if found is None:
                return
        yield found
        offset = found[0].end


def _head(view: memoryview, offset: int, uuid: bytes, number: int) -> tuple[Frame, bytes] | None:
    try:
        frame = parse_frame(view, offset)
        verify_head(view, frame, frame_seed(uuid, number, offset))
    except BadBytes:
        return None
    return frame, bytes(view[offset : frame.data])


def _next_head(view: memoryview, start: int, uuid: bytes, number: int) -> tuple[Frame, bytes] | None:
    while start < len(view):
        window = bytes(view[start : start + MIB + len(FRAME_MAGIC) - 1])
        position = window.find(FRAME_MAGIC)
        while position >= 0:
            found = _head(view, start + position, uuid, number)
            if found is not None:
                return found
            position = window.find(FRAME_MAGIC, position + 1)
        start += MIB
    return None


def _mended(view: memoryview, offset: int, uuid: bytes, number: int) -> tuple[Frame, bytes] | None:
    """The head at `offset` as it was before one of its bits flipped; None when that explains nothing."""
    seed = frame_seed(uuid, number, offset)
    window = bytearray(view[offset : offset + MOST_MENDED_BYTES])
    length = FRAME_HEADER_BYTES
    with suppress(BadBytes):
        length = parse_frame(bytes(window), offset, base=offset).data - offset
    position = 0
    while position < min(length, len(window)):
        for bit in range(8):
            window[position] ^= 1 << bit
            try:
                frame = parse_frame(window, offset, base=offset)
                verify_head(window, frame, seed, base=offset)
                return frame, bytes(window[: frame.data - offset])
            except BadBytes:
                window[position] ^= 1 << bit
        position += 1
    return None
