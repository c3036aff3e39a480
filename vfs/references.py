"""Who references what: the bytes of chunks and the blobs that extent maps name, and what they have lost, as
differences.

Promises that what a transaction does to maps is what it does to the counts, when every map that goes is
taken out and every map that comes is put in. Never reads a map from the index by itself.
"""

from collections import Counter

from vfs.backing.packed import PackedTransaction
from vfs.inode.extent_map import ExtentMap


class References:
    """Differences to the counts in the index; `write` adds them."""

    def __init__(self) -> None:
        self.chunks: Counter[int] = Counter()
        """Chunk number -> bytes."""
        self.blobs: Counter[int] = Counter()
        """Blob number -> extents."""
        self.blob_bytes = 0
        self.lost_bytes = 0

    def put_in(self, encoded: bytes) -> ExtentMap:
        """Count the map of a segment that comes; returns it decoded."""
        return self._count(encoded, 1)

    def take_out(self, encoded: bytes) -> ExtentMap:
        """Discount the map of a segment that goes; returns it decoded."""
        return self._count(encoded, -1)

    def _count(self, encoded: bytes, sign: int) -> ExtentMap:
        segment = ExtentMap.decode(encoded)
        for chunk, length in segment.references().items():
            self.chunks[chunk] += sign * length
        for blob, (extents, length) in segment.blob_references().items():
            self.blobs[blob] += sign * extents
            self.blob_bytes += sign * length
        self.lost_bytes += sign * sum(length for _, length in segment.lost())
        return segment

    def write(self, transaction: PackedTransaction) -> None:
        """Add the differences to the counts in the index."""
        transaction.add_references({number: change for number, change in self.chunks.items() if change})
        transaction.add_blob_references(self.blobs, self.blob_bytes)
        transaction.add_meta({"lost_bytes": self.lost_bytes})
