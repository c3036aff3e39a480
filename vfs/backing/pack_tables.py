"""What a pack says of itself at its end: its blocks, and the index of its blobs, as they are stored.

Promises that a block it names lies inside of the pack and decodes to a bounded size. Never reads a file.
"""

from typing import NamedTuple

from vfs.backing.codecs import Codec
from vfs.backing.frames import BadBytes, sums_bytes
from vfs.backing.pack_format import BLOCK, HEADER_BYTES
from vfs.backing.places import BlockEntry
from vfs.limits import DECODED_BLOCK_BYTES


def block_entry(pack: int, fields: tuple[int, ...], end: int) -> BlockEntry:
    """A row of the table of pack number `pack`, whose blocks lie before `end`; BadBytes when it cannot be."""
    number, offset, stored, size, codec, zero, checksum = fields
    if offset < HEADER_BYTES or offset + stored > end or zero or codec not in tuple(Codec):
        raise BadBytes(f"its block {number} is not inside it")
    if size > DECODED_BLOCK_BYTES or (codec == Codec.NONE and stored != size + sums_bytes(size)):
        raise BadBytes(f"its block {number} cannot have {size} bytes")
    return BlockEntry(number, pack, offset, stored, size, codec, checksum)


class Tables(NamedTuple):
    """What a pack says of itself, verified."""

    id: int
    table: bytes
    """Of the blocks, as it is stored: an object for each would take eight times the room."""
    table_at: int
    index_at: int
    """Where the blob index begins."""
    blob_index: memoryview

    @property
    def blocks(self) -> list[BlockEntry]:
        """All blocks, in the order in which they lie."""
        return [block_entry(self.id, fields, self.table_at) for fields in BLOCK.iter_unpack(self.table)]
