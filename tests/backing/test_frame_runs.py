"""Runs of small frames: the records that one look at each frame gives, up to the first bad one."""

import random
from collections.abc import Iterator

import pytest

from vfs.backing.frame_runs import RUN_FRAME_BYTES, WINDOW_BYTES, read_run
from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    FRAME_MAGIC,
    PIECE_BYTES,
    BadBytes,
    encode_chunk_header,
    pack_fields,
    parse_frame,
    seal_frame,
    verify_frame,
)
from vfs.limits import LAST_NUMBER

UUID = bytes(range(16))
CHUNK = 3
Frames = list[tuple[bytes, bytes]]


def a_chunk(frames: Frames, first_lsn: int = 1) -> bytes:
    """A chunk that holds these commands with their data."""
    chunk = encode_chunk_header(UUID, CHUNK, first_lsn, first_lsn - 1)
    for lsn, (command, data) in enumerate(frames, first_lsn):
        fields = pack_fields(FRAME_MAGIC, len(command), len(data), 0, lsn, lsn - 1)
        chunk += b"".join(map(bytes, seal_frame(UUID, CHUNK, len(chunk), fields, command, data)))
    return chunk


def runs(chunk: bytes, first_lsn: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """What runs give, with a look at each frame that belongs to none; ends where a frame is bad."""
    view, offset, lsn = memoryview(chunk), CHUNK_HEADER_BYTES, first_lsn
    while offset < len(view):
        records, end = read_run(view, offset, UUID, CHUNK, lsn)
        assert bool(records) == (end > offset)
        for record in records:
            frame = parse_frame(view, record.place.frame)
            verify_frame(view, frame, UUID, CHUNK)
            assert (record.lsn, record.place.start) == (lsn, frame.data)
            yield record.command, bytes(record.data)
            lsn += 1
        if not records:
            try:
                frame = parse_frame(view, offset)
                verify_frame(view, frame, UUID, CHUNK)
            except BadBytes:
                return
            assert frame.end - frame.offset > RUN_FRAME_BYTES  # else it belongs to a run
            yield bytes(view[frame.command : frame.sums]), bytes(view[frame.data : frame.end])
            lsn, end = lsn + 1, frame.end
        offset = end


def some(seed: int, lengths: list[int]) -> Frames:
    """Frames with data of these lengths."""
    chance = random.Random(seed)
    return [(chance.randbytes(chance.randint(1, 90)), chance.randbytes(length)) for length in lengths]


@pytest.mark.parametrize(
    "lengths",
    [
        [0] * 2000,  # several windows, without any data
        [100] * 1500,
        [0, 100, 4096, 15_000, 20_000, PIECE_BYTES, PIECE_BYTES + 1, 200_000, 1, 0] * 3,
        [RUN_FRAME_BYTES - 160, RUN_FRAME_BYTES] * 12,
        [WINDOW_BYTES, 0, WINDOW_BYTES * 2, 0],
    ],
)
def test_records_are_those_that_a_look_at_each_frame_gives(lengths: list[int]) -> None:
    frames = some(len(lengths), lengths)
    assert list(runs(a_chunk(frames))) == frames
    assert list(runs(a_chunk(frames, 1 << 61), 1 << 61)) == frames


@pytest.mark.parametrize("lengths", [[0, 0, 0], [5, 70, 5]])
def test_a_wrong_bit_anywhere_ends_a_run_before_its_frame(lengths: list[int]) -> None:
    frames = some(1, lengths)
    start, end = len(a_chunk(frames[:1])), len(a_chunk(frames[:2]))
    chunk = a_chunk(frames)
    for place in range(start * 8, end * 8):
        bad = bytearray(chunk)
        bad[place // 8] ^= 1 << place % 8
        assert list(runs(bytes(bad))) == frames[:1]


def test_a_frame_cut_anywhere_ends_a_run_before_it() -> None:
    frames = some(2, [0, 40, 9])
    start, chunk = len(a_chunk(frames[:2])), a_chunk(frames)
    for length in range(start, len(chunk)):
        assert list(runs(chunk[:length])) == frames[:2]


def test_frames_of_another_place_or_number_are_in_no_run() -> None:
    chunk = memoryview(a_chunk(some(3, [10, 10])))
    assert read_run(chunk, CHUNK_HEADER_BYTES, UUID, CHUNK, 1)[0]
    assert not read_run(chunk, CHUNK_HEADER_BYTES, UUID, CHUNK, 2)[0]
    assert not read_run(chunk, CHUNK_HEADER_BYTES, UUID, CHUNK + 1, 1)[0]
    assert not read_run(chunk, CHUNK_HEADER_BYTES, bytes(16), CHUNK, 1)[0]
    moved = bytes(8) + bytes(chunk)
    assert not read_run(memoryview(moved), CHUNK_HEADER_BYTES + 8, UUID, CHUNK, 1)[0]


@pytest.mark.parametrize(("zero", "lsn", "synced"), [(1, 1, 0), (0, 1, 1), (0, LAST_NUMBER + 1, 0)])
def test_a_frame_that_says_what_cannot_be_is_in_no_run(zero: int, lsn: int, synced: int) -> None:
    fields = pack_fields(FRAME_MAGIC, 5, 0, zero, lsn, synced)
    sealed = seal_frame(UUID, CHUNK, CHUNK_HEADER_BYTES, fields, b"hello", b"")
    chunk = encode_chunk_header(UUID, CHUNK, 1, 0) + b"".join(map(bytes, sealed))
    assert not read_run(memoryview(chunk), CHUNK_HEADER_BYTES, UUID, CHUNK, lsn)[0]
