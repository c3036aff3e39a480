"""Which parts of stored bytes are sound: of a blob in its block, of a range in its frame, as fine as sums go.

Promises that a part is sound only when its sum, its block's checksum or its hash says so, that one bad piece
of 32 KiB costs no other, and that what cannot be read is not sound. Never writes, never asks the index.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from blake3 import blake3

from vfs.backing.chunks import ChunkReader
from vfs.backing.codecs import Codec
from vfs.backing.frames import PIECE_BYTES
from vfs.backing.packs import PackFile
from vfs.backing.places import BlobEntry, BlockEntry
from vfs.errors import DataDamaged, PackDamaged
from vfs.inode.extents import ChunkRange

Part = tuple[int, int]
"""(offset, length)."""


class BlockState(NamedTuple):
    """What a block gave: its bytes, or why it cannot be had as a whole."""

    data: memoryview | None
    reason: str


def read_whole(pack: PackFile, block: BlockEntry) -> BlockState:
    """The decoded block, if all of it verifies."""
    try:
        return BlockState(memoryview(pack.read_block(block)), "")
    except PackDamaged as error:
        return BlockState(None, f"block {block.id}: {error.facts}")


def _is_right(data: memoryview, blob: BlobEntry) -> bool:
    """Whether a blob is what its hash says; of the hash may be known only how it begins."""
    digest = blake3(data[blob.offset : blob.offset + blob.length]).digest()
    return digest[: len(blob.hash)] == blob.hash


def sound_parts_of_blob(pack: PackFile, block: BlockEntry, blob: BlobEntry, state: BlockState) -> list[Part]:
    """The parts of a blob, as offsets in it, that are sound."""
    if blob.offset < 0 or blob.offset + blob.length > block.size:
        return []
    if state.data is not None:
        return [(0, blob.length)] if _is_right(state.data, blob) else []
    if block.codec != Codec.NONE:
        return []
    end = blob.offset + blob.length
    cuts = ((at, min(end, at - at % PIECE_BYTES + PIECE_BYTES) - at) for at in _starts(blob.offset, end))
    parts = _sound(cuts, lambda at, length: pack.read_piece(block, at, length))
    return [(at - blob.offset, length) for at, length in parts]


def sound_parts_of_range(reader: ChunkReader, extent: ChunkRange) -> list[Part]:
    """The parts of a range of the log, as offsets in it, that are sound."""
    try:
        cuts = reader.pieces(extent.chunk, extent.frame, extent.start, extent.length)
    except DataDamaged:
        return []
    parts = _sound(cuts, lambda at, length: reader.read(extent.chunk, extent.frame, at, length))
    return [(at - extent.start, length) for at, length in parts]


def _starts(offset: int, end: int) -> Iterator[int]:
    """Where the pieces of a block begin that [offset, end) touches, the first at `offset`."""
    while offset < end:
        yield offset
        offset += PIECE_BYTES - offset % PIECE_BYTES


def _sound(cuts: Iterable[Part], read: Callable[[int, int], object]) -> list[Part]:
    found: list[Part] = []
    for at, length in cuts:
        try:
            read(at, length)
        except DataDamaged:
            continue
        if found and found[-1][0] + found[-1][1] == at:
            found[-1] = (found[-1][0], found[-1][1] + length)
        else:
            found.append((at, length))
    return found
