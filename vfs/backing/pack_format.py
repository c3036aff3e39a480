"""The format of a pack: what stands where, and what its parts are sealed with.

Promises that parts which were changed are told from those that were not. Never reads or writes a file.

    header, 64 bytes     magic "vfspack1", version u32, zero u32, uuid of the store, pack number u64, zero 16,
                         checksum: xxh3_64 of the bytes before
    blocks               back to back
    block table          40 bytes each, in order of offset: number u64, offset u64, stored u32, size u32,
                         codec u32, zero u32, checksum u64
    blob index           56 bytes each, sorted by hash: blake3 hash 32, number u64, position of its block in
                         the table u32, offset in the decoded block u32, length u32, zero u32
    trailer, 64 bytes    magic "vfspktrl", blocks u32, blobs u32, offset of the table u64, offset of the index
                         u64, first 16 bytes of blake3(header, table, index), zero 8, checksum: xxh3_64 of the
                         bytes before

Little-endian. The pack's name is blake3(header, table, index, trailer) in hexadecimal digits: the table holds
the checksum of every block. A block with codec 0 is the sums of its pieces of 32 KiB (xxh3_64, 8 bytes each)
and then the data, its checksum is that of the sums; any other's is that of the stored bytes. All of these
take the block's number as seed.
"""

import struct

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from vfs.backing.frames import BadBytes
from vfs.backing.storage import Buffer

HEADER_BYTES = TRAILER_BYTES = 64
MAGIC, TRAILER_MAGIC = b"vfspack1", b"vfspktrl"
VERSION = 1

HEADER = struct.Struct("<8sII16sQ16x")
BLOCK = struct.Struct("<QQIIIIQ")
BLOB = struct.Struct("<32sQIIII")
TRAILER = struct.Struct("<8sIIQQ16s8x")
CHECKSUM = struct.Struct("<Q")
HASH_BYTES = 32

assert HEADER.size + CHECKSUM.size == HEADER_BYTES
assert TRAILER.size + CHECKSUM.size == TRAILER_BYTES
assert (BLOCK.size, BLOB.size) == (40, 56)


def seal(fields: bytes) -> bytes:
    """The fields of a header or trailer with their checksum."""
    return fields + CHECKSUM.pack(xxh3_64_intdigest(fields))


def unseal(data: Buffer, what: str) -> bytes:
    """The fields of a header or trailer; BadBytes when the checksum is wrong."""
    fields = bytes(data[:-8])
    if len(data) != HEADER_BYTES or CHECKSUM.unpack(data[-8:])[0] != xxh3_64_intdigest(fields):
        raise BadBytes(f"its {what} is wrong")
    return fields


def pack_owner(header: Buffer) -> bytes:
    """The uuid of the store that a pack says it belongs to; BadBytes when this is no header."""
    magic, version, _, owner, _ = HEADER.unpack(unseal(header, "header"))
    if (magic, version) != (MAGIC, VERSION):
        raise BadBytes("it is no pack of this version")
    return bytes(owner)


def pack_name(header: Buffer, table: Buffer, index: Buffer, trailer: Buffer) -> str:
    """What a pack of these parts is called."""
    digest = blake3()
    for part in (header, table, index, trailer):
        digest.update(part)
    return digest.hexdigest()


def tables_digest(header: Buffer, table: Buffer, index: Buffer) -> bytes:
    """What the trailer says of the other parts."""
    digest = blake3(header)
    digest.update(table)
    digest.update(index)
    return digest.digest(16)
