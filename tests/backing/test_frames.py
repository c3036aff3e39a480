"""The bytes of the log: a worked example, every byte covered, valid at one place of one store only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.backing import frames
from vfs.backing.frames import PIECE_BYTES, BadBytes, Frame, find_frames, parse_frame, verify_frame
from vfs.limits import FRAME_COMMAND_BYTES, FRAME_DATA_BYTES, LAST_NUMBER

UUID = bytes(range(16))
OTHER = bytes(16)


def sealed(
    lsn: int,
    synced: int,
    command: bytes,
    data: bytes,
    *,
    chunk: int = 1,
    offset: int = 64,
    uuid: bytes = UUID,
) -> bytes:
    """A whole frame for one place."""
    fields = frames.pack_fields(frames.FRAME_MAGIC, len(command), len(data), 0, lsn, synced)
    return b"".join(frames.seal_frame(uuid, chunk, offset, fields, command, data))


def checked(content: bytes, offset: int = 64, *, chunk: int = 1, uuid: bytes = UUID) -> Frame:
    """The frame at `offset` of a chunk with this content, verified."""
    view = memoryview(content)
    frame = parse_frame(view, offset)
    verify_frame(view, frame, uuid, chunk)
    return frame


def test_the_worked_example_of_the_format() -> None:
    header = frames.encode_chunk_header(UUID, 1, 1, 0)
    assert header.hex(" ", 8) == (
        "7666736368756e6b 0100000001000000 0100000000000000 0000000000000000 "
        "0001020304050607 08090a0b0c0d0e0f 0000000000000000 " + header[56:].hex()
    )
    frame = sealed(2, 1, b"cmd", b"data!")
    assert frame[:32].hex(" ", 8) == "7646726d03000000 0500000000000000 0200000000000000 0100000000000000"
    assert (frame[40:43], frame[43:51].hex(), frame[51:]) == (b"cmd", "09feaa64408b553e", b"data!")
    assert (header[56:].hex(), frame[32:40].hex()) == ("18b058e23a9637c0", "f3de5b8e8c0a0b0d")


@given(
    st.integers(1, LAST_NUMBER),
    st.binary(max_size=300),
    st.sampled_from([0, 1, 5, 700, 8100, 9000, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 1]),
    st.integers(0, 9),
)
def test_a_frame_is_read_as_it_was_written(lsn: int, command: bytes, length: int, before: int) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    data = data[:length]
    offset = 64 + before
    content = bytes(offset) + sealed(lsn, lsn - 1, command, data, offset=offset)
    frame = checked(content, offset)
    assert (frame.lsn, frame.synced_lsn, frame.offset, frame.end) == (lsn, lsn - 1, offset, len(content))
    assert content[frame.command : frame.sums] == command
    assert frame.data - frame.sums == frames.SUM_BYTES * -(-length // PIECE_BYTES)
    assert content[frame.data : frame.end] == data


def test_a_frame_is_valid_at_its_own_place_only() -> None:
    content = bytes(64) + sealed(1, 0, b"c", b"data")
    checked(content)
    for other in ({"chunk": 2}, {"uuid": OTHER}):
        with pytest.raises(BadBytes, match="checksum"):
            checked(content, **other)
    with pytest.raises(BadBytes, match="checksum"):
        checked(b"\0" + content, 65)


@pytest.mark.parametrize("length", [20, 9000])
def test_every_bit_of_a_frame_is_covered(length: int) -> None:
    content = bytes(64) + sealed(5, 2, b"command", bytes(length))
    for offset in [*range(64, 64 + 80), len(content) - 1]:
        for bit in range(8):
            bad = bytearray(content)
            bad[min(offset, len(content) - 1)] ^= 1 << bit
            with pytest.raises(BadBytes):
                checked(bytes(bad))
    for size in range(64, len(content), 7):
        with pytest.raises(BadBytes, match="cut off"):
            checked(content[:size])


def test_impossible_headers_are_no_headers() -> None:
    good = (frames.FRAME_MAGIC, 1, 1, 0, 5, 4)
    parse_frame(frames.pack_fields(*good) + bytes(8), 0)
    for place, value in ((1, FRAME_COMMAND_BYTES + 1), (2, FRAME_DATA_BYTES + 1), (3, 1), (5, 5)):
        bad = list(good)
        bad[place] = value
        with pytest.raises(BadBytes, match="impossible"):
            parse_frame(frames.pack_fields(*bad) + bytes(8), 0)


def test_frames_are_found_behind_bad_bytes() -> None:
    content = bytearray(b"x" * 64)
    for lsn in range(1, 8):
        content += sealed(lsn, lsn // 2, b"c", frames.FRAME_MAGIC * 9, offset=len(content))
    content += frames.FRAME_MAGIC
    view = memoryview(bytes(content))

    def found(start: int, lowest: int = 0) -> list[int]:
        return [frame.lsn for frame in find_frames(view, start, UUID, 1, lambda frame: frame.lsn >= lowest)]

    assert found(0) == found(64) == [1, 2, 3, 4, 5, 6, 7]
    assert found(65) == [2, 3, 4, 5, 6, 7]
    assert found(64, 6) == [6, 7]
    assert found(len(content)) == []


def test_a_chunk_header_is_read_as_it_was_written() -> None:
    header = frames.encode_chunk_header(UUID, 42, 1000, 990)
    assert frames.decode_chunk_header(header + b"more", UUID, 42) == (42, 1000, 990)
    for offset in range(64):
        bad = bytearray(header)
        bad[offset] ^= 1
        with pytest.raises(BadBytes):
            frames.decode_chunk_header(bad, UUID, 42)
    for args, text in (
        ((header[:63], UUID, 42), "cut off"),
        ((header, OTHER, 42), "another store"),
        ((header, UUID, 43), "number 42"),
    ):
        with pytest.raises(BadBytes, match=text):
            frames.decode_chunk_header(*args)
