"""Cold reads whose pages the disk has been asked for: here in a moment, so they need no thread.

Promises never to wait for the disk, and to answer with the very bytes that `Contents.run_read` would give.
Each look asks for what the next step wants, all of it. Only knows small reads of what is open: anything else
may have to be looked up, or has much to be decoded, as more than one compressed block is.
"""

from itertools import groupby

from vfs.backing.readable_chunk import SMALL_BYTES
from vfs.contents import Contents, ReadPlan
from vfs.inode.extents import BlobRange, ChunkRange


def is_coming(contents: Contents, plan: ReadPlan) -> bool:
    """Whether some pages of the log or of packs are all that a plan waits for, and few of them."""
    if plan.length > SMALL_BYTES:
        return False
    for _, group in groupby(plan.extents, type):
        blobs = []
        for extent in group:
            if isinstance(extent, BlobRange):
                blobs.append((extent.blob, extent.start, extent.length))
            elif not isinstance(extent, ChunkRange) or not contents.log.is_open_to_read(extent.chunk):
                return False
        if not contents.blobs.are_open_to_read(blobs):
            return False
    return True


def read_when_here(contents: Contents, plan: ReadPlan) -> bytes | memoryview | None:
    """The bytes of a plan that `is_coming`; None as long as some have not come. DataDamaged. Owner."""
    pieces: list[bytes | memoryview] = []
    for kind, group in groupby(plan.extents, type):
        found = contents.resident(kind, group)
        if found is None:
            return None
        pieces += found
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
