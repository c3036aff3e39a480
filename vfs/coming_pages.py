"""Cold reads of the log whose pages the disk has been asked for: here in a moment, so they need no thread.

Promises never to wait for the disk, and to answer with the very bytes that `Contents.run_read` would give.
Only knows small reads from chunks that are open: what is packed may have to be looked up and decoded.
"""

from vfs.backing.log import Log
from vfs.backing.readable_chunk import SMALL_BYTES
from vfs.contents import ReadPlan
from vfs.inode.extents import ChunkRange


def is_coming(log: Log, plan: ReadPlan) -> bool:
    """Whether pages of the log are all that a plan waits for, and few of them."""
    if plan.length > SMALL_BYTES:
        return False
    return all(type(extent) is ChunkRange and log.is_open_to_read(extent.chunk) for extent in plan.extents)


def read_when_here(log: Log, plan: ReadPlan) -> bytes | memoryview | None:
    """The bytes of a plan that `is_coming`; None as long as some have not come. DataDamaged. Owner."""
    pieces: list[bytes | memoryview] = []
    for extent in plan.extents:
        assert type(extent) is ChunkRange, "is_coming has looked"
        piece = log.read_resident(extent.chunk, extent.frame, extent.start, extent.length)
        if piece is None:
            return None
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
