"""Where packed bytes lie, as plain numbers: blobs in blocks, blocks in packs.

Only tuples; nothing here opens a file or asks the index.
"""

from typing import NamedTuple


class BlockEntry(NamedTuple):
    """A block: `stored` bytes at `offset` of the pack with number `pack`; `size` when it is decoded."""

    id: int
    pack: int
    offset: int
    stored: int
    size: int
    codec: int
    checksum: int  # unsigned, 64 bits


class BlobEntry(NamedTuple):
    """A blob by its blake3 hash: bytes [offset, offset+length) of a decoded block."""

    hash: bytes
    id: int
    block: int
    offset: int
    length: int


class BlobPlace(NamedTuple):
    """What the index knows of a blob and of the block and the pack that hold it."""

    blob: int
    offset: int
    length: int
    block: BlockEntry
    pack_name: str


class Piece(NamedTuple):
    """Bytes [offset, offset+length) of a decoded block."""

    block: BlockEntry
    offset: int
    length: int


class PackRow(NamedTuple):
    """A pack as the index knows it; `name` is empty while it is being written."""

    id: int
    state: int
    name: str
    size: int


class SealedPack(NamedTuple):
    """A pack file that is durable and in its place; no row of the index names its blocks yet.

    `blobs` are new ones, or known ones (`moved`) which get a new place.
    """

    id: int
    name: str
    size: int
    blocks: list[BlockEntry]
    blobs: list[BlobEntry]
    moved: bool


class Numbers(NamedTuple):
    """Numbers reserved for one pack in the making: its own, and ranges for blobs and blocks."""

    pack: int
    first_blob: int
    blob_end: int
    first_block: int
    block_end: int


PACKS_FOLDER = "packs"

NAME_LENGTH = 64
"""Hexadecimal digits of a pack's name; other names in the folder are no packs."""

COMING, THERE, GOING = 0, 1, 2
"""States of a pack: being written; in its place; to be unlinked when nobody reads it any more."""


def is_pack_name(name: str) -> bool:
    """Whether a pack in its place could be called that."""
    return len(name) == NAME_LENGTH and not set(name) - set("0123456789abcdef")


def hash_prefix(digest: bytes) -> int:
    """The first 8 bytes of a blob's hash as SQLite stores them: a signed integer."""
    return int.from_bytes(digest[:8], "little", signed=True)


def hash_begin(prefix: int) -> bytes:
    """The bytes that `hash_prefix` was made of."""
    return prefix.to_bytes(8, "little", signed=True)


def signed(number: int) -> int:
    """An unsigned 64-bit number as SQLite stores it."""
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """What `signed` was given."""
    return number & ((1 << 64) - 1)
