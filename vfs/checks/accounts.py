"""What the maps of files name, counted: bytes of chunks, extents of each blob, bytes that are lost.

Memory: 16 bytes for each blob of the index. Only counts; whoever counts compares, or corrects.
"""

from array import array
from bisect import bisect_left
from collections import Counter

from vfs.checks.view import Query
from vfs.inode.extent_map import ExtentMap

_LENGTH_MASK = (1 << 32) - 1


class BlobCounts:
    """For every blob of the index its length, and how many extents were found to name it."""

    def __init__(self, query: Query) -> None:
        self.ids = array("q")  # INVARIANT: sorted
        self.lengths = array("I")
        self.found = array("I")
        for blob, length in query("SELECT id, length FROM blob ORDER BY id"):
            self.ids.append(blob)
            self.lengths.append(length & _LENGTH_MASK)  # one that does not fit is told by the checks of packs
            self.found.append(0)

    def position(self, blob: int) -> int | None:
        """Where the blob stands in the arrays, None when the index has no such blob."""
        ids = self.ids
        if not ids:
            return None
        index = blob - ids[0]  # most often no number is missing
        if not 0 <= index < len(ids) or ids[index] != blob:
            index = bisect_left(ids, blob)
        return index if index < len(ids) and ids[index] == blob else None


class Accounts:
    """The counts over all maps that were given to `count`."""

    def __init__(self, query: Query) -> None:
        self.blobs = BlobCounts(query)
        self.unknown: set[int] = set()
        """Blobs that are named, and that the index does not have."""
        self.chunks: Counter[int] = Counter()
        """Chunk -> bytes of it that are named."""
        self.blob_bytes = 0
        """The lengths of all extents that name a blob."""
        self.lost_bytes = 0

    def count(self, segment: ExtentMap) -> None:
        """One more map."""
        self.chunks.update(segment.references())
        for blob, (extents, length) in segment.blob_references().items():
            self.blob_bytes += length
            position = self.blobs.position(blob)
            if position is None:
                self.unknown.add(blob)
            else:
                self.blobs.found[position] += extents
        self.lost_bytes += sum(length for _, length in segment.lost())
