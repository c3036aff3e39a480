"""The choices made when a store is created, as its superblock keeps them.

Promises that what it accepts works, and that a superblock without a choice means the default of today.
"""

from typing import Any, Self

import msgspec

from vfs.backing.codecs import Compression
from vfs.errors import OptionError
from vfs.limits import KIB, MIB

LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES = 16 * KIB, 16 * MIB
LEAST_BLOB_BYTES, MOST_BLOB_BYTES = 4 * KIB, 4 * MIB
SPREAD = 4
"""Unless it is said otherwise, the shortest blob is the average divided by this, the longest times this."""

BLOCK_BYTES = 128 * KIB
"""The default; see docs/decisions/0003."""

BLOB_BYTES = 64 * KIB
"""The default average; see docs/decisions/0003."""


class CreationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the data of a store is cut and stored. Sizes in bytes; a bound of 0 follows from the average."""

    compression: str = "zstd:3"
    block_bytes: int = BLOCK_BYTES
    blob_bytes: int = BLOB_BYTES
    least_blob_bytes: int = 0
    most_blob_bytes: int = 0

    @property
    def bounds(self) -> tuple[int, int]:
        """The shortest and the longest blob of a stream that is long enough."""
        least = self.least_blob_bytes or self.blob_bytes // SPREAD
        return least, self.most_blob_bytes or self.blob_bytes * SPREAD

    def check(self) -> Self:
        """OptionError when a choice makes no sense."""
        Compression.parse(self.compression)
        if not LEAST_BLOCK_BYTES <= self.block_bytes <= MOST_BLOCK_BYTES:
            raise OptionError(f"block size {self.block_bytes}: give 16K to 16M")
        if not LEAST_BLOB_BYTES <= self.blob_bytes <= MOST_BLOB_BYTES:
            raise OptionError(f"blob size {self.blob_bytes}: give an average of 4K to 4M")
        least, most = self.bounds
        if not KIB <= least <= min(self.blob_bytes, MIB):
            raise OptionError(f"least blob size {least}: give 1K to the average, and at most 1M")
        if not self.blob_bytes <= most <= MOST_BLOCK_BYTES:
            raise OptionError(f"largest blob size {most}: give the average to 16M")
        return self

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """What a superblock says; OptionError when that cannot be."""
        try:
            return msgspec.convert(fields, cls).check()
        except msgspec.ValidationError as error:
            raise OptionError(f"the superblock's options cannot be used: {error}") from None

    def to_fields(self) -> dict[str, Any]:
        """What the superblock is to say."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields
