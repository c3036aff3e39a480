"""The format of the log: headers of chunk files and frames, and whether bytes at a place are a frame.

Pure arithmetic on bytes. A frame is valid only at its own place in its own store, because its checksum is
seeded with both; nothing here reads a file, repairs anything or knows what a command means.

    chunk  = chunk header (64 bytes), frame*
    header = magic "vfschunk", version u32, number u32, first_lsn u64, synced_lsn u64, uuid 16 bytes,
             zero 8 bytes, checksum u64 = xxh3_64(the 56 bytes before it)
    frame  = magic "vFrm", command_length u32, data_length u32, zero u32, lsn u64, synced_lsn u64,
             checksum u64 = xxh3_64(the 32 bytes before it + command + sums, seed), command, sums, data
    sums   = for each piece of 32 KiB of the data, the last one shorter: xxh3_64(piece, seed) u64
    seed   = xxh3_64(uuid 16 bytes, chunk number u64, offset of the frame in the chunk u64)

So a frame of a megabyte is verified piece by piece: reading 4 KiB of it costs the disk 32 KiB.

All numbers are little-endian. `synced_lsn` is the LSN that was known to be durable when the header was
written, so it is always below the LSN of its own frame (below `first_lsn` in a chunk header): a frame at or
before a valid synced mark that is bad now was good once, which is damage and not the torn tail of a power
cut.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from xxhash import xxh3_64, xxh3_64_intdigest

from vfs.backing.directory_file import Buffer
from vfs.limits import FRAME_COMMAND_BYTES, FRAME_DATA_BYTES, LAST_NUMBER

FORMAT_VERSION = 1
CHUNK_MAGIC = b"vfschunk"
FRAME_MAGIC = b"vFrm"

CHUNK_FIELDS = struct.Struct("<8sIIQQ16s8x")
CHECKSUM = struct.Struct("<Q")
CHUNK_HEADER_BYTES = 64
FRAME_FIELDS = struct.Struct("<4sIIIQQ")
FRAME_HEADER = struct.Struct("<4sIIIQQQ")
FRAME_HEADER_BYTES = 40
SEED = struct.Struct("<16sQQ")
SUMMED_BYTES = 32
"""The part of a frame's header that its checksum covers: everything before the checksum."""

PIECE_BYTES = 32 * 1024
"""What a first read must fetch and verify, at least: 8 bytes of sums a piece, 60 µs of the disk of 2026."""
SUM_BYTES = 8

JOIN_BYTES = 8 * 1024
"""Up to here it is cheaper to copy a frame into one buffer than to hand its pieces over one by one."""

pack_fields = FRAME_FIELDS.pack
pack_checksum = CHECKSUM.pack
pack_seed = SEED.pack

assert CHUNK_FIELDS.size + CHECKSUM.size == CHUNK_HEADER_BYTES
assert FRAME_FIELDS.size == SUMMED_BYTES
assert FRAME_HEADER.size == FRAME_FIELDS.size + CHECKSUM.size == FRAME_HEADER_BYTES
assert SEED.size == 32


class BadBytes(Exception):
    """The bytes are not what they should be; the text says in which way."""


class ForeignBytes(BadBytes):
    """They are in good order, and of another store."""


class ChunkHeader(NamedTuple):
    """What the first 64 bytes of a chunk file say."""

    number: int
    first_lsn: int
    synced_lsn: int


class Frame(NamedTuple):
    """A frame's header and where its parts lie, as offsets in the chunk."""

    lsn: int
    synced_lsn: int
    offset: int
    command: int
    sums: int
    data: int
    end: int


def encode_chunk_header(uuid: bytes, number: int, first_lsn: int, synced_lsn: int) -> bytes:
    """Return the 64 bytes that open a chunk file."""
    fields = CHUNK_FIELDS.pack(CHUNK_MAGIC, FORMAT_VERSION, number, first_lsn, synced_lsn, uuid)
    return fields + CHECKSUM.pack(xxh3_64_intdigest(fields))


def decode_chunk_header(data: Buffer, uuid: bytes, number: int) -> ChunkHeader:
    """Check the header of chunk `number` of the store `uuid`; BadBytes when it is not that."""
    if len(data) < CHUNK_HEADER_BYTES:
        raise BadBytes(f"the chunk header is cut off after {len(data)} bytes")
    magic, version, found, first_lsn, synced_lsn, owner = CHUNK_FIELDS.unpack_from(data)
    (checksum,) = CHECKSUM.unpack_from(data, CHUNK_FIELDS.size)
    if magic != CHUNK_MAGIC:
        raise BadBytes("no chunk header")
    if checksum != xxh3_64_intdigest(data[: CHUNK_FIELDS.size]):
        raise BadBytes("wrong checksum of the chunk header")
    if version != FORMAT_VERSION:
        raise BadBytes(f"chunk format {version} is not known")
    if owner != uuid:
        raise ForeignBytes("the chunk belongs to another store")
    if found != number:
        raise BadBytes(f"the chunk says that it is number {found}")
    if synced_lsn >= first_lsn or first_lsn > LAST_NUMBER:
        raise BadBytes("impossible values in the chunk header")
    return ChunkHeader(number, first_lsn, synced_lsn)


def chunk_owner(data: Buffer) -> bytes:
    """The uuid of the store that a chunk says it belongs to; BadBytes when these are no header."""
    owner = bytes(data[32:48])
    number = int.from_bytes(data[12:16], "little")
    decode_chunk_header(data, owner, number)
    return owner


def sums_bytes(data_length: int) -> int:
    """How long the sums of so much data are."""
    return (data_length + PIECE_BYTES - 1) // PIECE_BYTES * SUM_BYTES


def frame_bytes(command_length: int, data_length: int) -> int:
    """How long a whole frame is."""
    return FRAME_HEADER_BYTES + command_length + sums_bytes(data_length) + data_length


def seal_frame(
    uuid: bytes, chunk: int, offset: int, fields: bytes, command: bytes, data: bytes | memoryview
) -> Sequence[Buffer]:
    """Return the buffers of a whole frame, given what `pack_fields` made of its header."""
    seed = xxh3_64_intdigest(pack_seed(uuid, chunk, offset))
    if not data:
        return (fields + pack_checksum(xxh3_64_intdigest(fields + command, seed)) + command,)
    length = len(data)
    if length <= PIECE_BYTES:
        covered = command + pack_checksum(xxh3_64_intdigest(data, seed))
    else:
        covered = command + piece_sums(memoryview(data), seed)
    head = fields + pack_checksum(xxh3_64_intdigest(fields + covered, seed)) + covered
    return (head + data,) if length <= JOIN_BYTES else (head, data)


def piece_sums(data: memoryview, seed: int) -> bytes:
    """The sums of data, one behind the other."""
    pieces = range(0, len(data), PIECE_BYTES)
    return b"".join(
        [pack_checksum(xxh3_64_intdigest(data[start : start + PIECE_BYTES], seed)) for start in pieces]
    )


def seed_prefix(uuid: bytes, chunk: int) -> bytes:
    """What the seeds of all frames of a chunk are made of, but for the offset, 8 bytes, that follows."""
    return pack_seed(uuid, chunk, 0)[: -CHECKSUM.size]


def frame_seed(uuid: bytes, chunk: int, offset: int) -> int:
    """The seed of all checksums of the frame at that place."""
    return xxh3_64_intdigest(pack_seed(uuid, chunk, offset))


def as_bytes(data: Sequence[Buffer] | Buffer) -> bytes | memoryview:
    """Return data as one buffer whose len() is its size in bytes."""
    if isinstance(data, memoryview):
        return data.cast("B")
    return bytes(data) if isinstance(data, bytes | bytearray) else b"".join(data)


def parse_frame(view: Buffer, offset: int, base: int = 0) -> Frame:
    """Read a frame's header at `offset` of a chunk, of which `view` holds the bytes from `base` on.

    Checks the form only, not the checksum: BadBytes when it cannot be a header. The frame may end past the
    view.
    """
    if len(view) < offset - base + FRAME_HEADER_BYTES:
        raise BadBytes("the frame header is cut off")
    magic, command_length, data_length, zero, lsn, synced_lsn = FRAME_FIELDS.unpack_from(view, offset - base)
    if magic != FRAME_MAGIC:
        raise BadBytes("no frame header")
    if (
        command_length > FRAME_COMMAND_BYTES
        or data_length > FRAME_DATA_BYTES
        or zero != 0
        or synced_lsn >= lsn
        or lsn > LAST_NUMBER
    ):
        raise BadBytes("impossible values in the frame header")
    command = offset + FRAME_HEADER_BYTES
    sums = command + command_length
    data = sums + sums_bytes(data_length)
    return Frame(lsn, synced_lsn, offset, command, sums, data, data + data_length)


def verify_head(view: Buffer, frame: Frame, seed: int, base: int = 0) -> bytes:
    """Check all of a frame but its data, and return the sums of that; BadBytes when wrong or cut off."""
    start = frame.offset - base
    head = bytes(view[start : frame.data - base])
    if len(head) < frame.data - frame.offset:
        raise BadBytes("the frame is cut off")
    (checksum,) = CHECKSUM.unpack_from(head, SUMMED_BYTES)
    if checksum != xxh3_64_intdigest(head[:SUMMED_BYTES] + head[FRAME_HEADER_BYTES:], seed):
        raise BadBytes("wrong checksum of the frame")
    return head[frame.sums - frame.offset :]


def verify_piece(data: Buffer, sums: bytes, number: int, seed: int) -> None:
    """Check one piece of a frame's data against its sum; BadBytes when it is wrong."""
    (wanted,) = CHECKSUM.unpack_from(sums, number * SUM_BYTES)
    if xxh3_64_intdigest(data, seed) != wanted:
        raise BadBytes(f"wrong checksum of piece {number} of the frame's data")


def verify_frame(view: memoryview, frame: Frame, uuid: bytes, chunk: int, base: int = 0) -> None:
    """Check the whole frame against its checksums; BadBytes when one is wrong or it ends past the view."""
    if len(view) < frame.end - base:
        raise BadBytes("the frame is cut off")
    seed = frame_seed(uuid, chunk, frame.offset)
    sums = verify_head(view, frame, seed, base)
    data = view[frame.data - base : frame.end - base]
    if piece_sums(data, seed) != sums:
        raise BadBytes("wrong checksum of the frame's data")


def find_frames(
    view: memoryview, start: int, uuid: bytes, chunk: int, wanted: Callable[[Frame], bool]
) -> Iterator[Frame]:
    """Yield the valid frames from `start` on that are `wanted`, wherever the next one begins.

    For the time when the way along the lengths is lost. What looks like a frame inside the data of another
    one is not valid, since its seed would have to name the store and the very place where the data came to
    lie.
    """
    haystack = bytes(view[start:])
    position = haystack.find(FRAME_MAGIC)
    while position >= 0:
        skip = 1
        try:
            frame = parse_frame(view, start + position)
            # Asked before the checksum, which may run over two megabytes; and that first without a copy,
            # since data can be made that looks like the head of a frame everywhere.
            if wanted(frame) and _head_matches(view, frame, uuid, chunk):
                verify_frame(view, frame, uuid, chunk)
                yield frame
                skip = frame.end - frame.offset
        except BadBytes:
            pass
        position = haystack.find(FRAME_MAGIC, position + skip)


def _head_matches(view: memoryview, frame: Frame, uuid: bytes, chunk: int) -> bool:
    head = view[frame.offset : frame.offset + FRAME_HEADER_BYTES]
    digest = xxh3_64(head[:SUMMED_BYTES], frame_seed(uuid, chunk, frame.offset))
    digest.update(view[frame.command : frame.data])
    return len(view) >= frame.data and CHECKSUM.unpack_from(head, SUMMED_BYTES)[0] == digest.intdigest()
