"""How much of a disk is kept free, and how large a chunk or a pack may become on it.

Promises that on a full disk any one of them that was written there can be written anew in what is kept free,
so that what is dead beside live data never holds its room for good. Pure arithmetic on the disk's figures.
"""

from vfs.backing.storage import Space
from vfs.limits import MIB

RESERVE_BYTES = 256 * MIB
RESERVE_SHARE = 20
"""The last 256 MiB, or the last twentieth of a small disk, are kept for deletes, checkpoints and packing."""

UNIT_BYTES = 128 * MIB
UNIT_SHARE = 80
LEAST_UNIT_BYTES = MIB
"""No more than half of what is kept."""


def reserve_bytes(total_bytes: int) -> int:
    """What is kept free on a disk of that size."""
    return min(RESERVE_BYTES, total_bytes // RESERVE_SHARE)


def unit_bytes(total_bytes: int) -> int:
    """How large a chunk of the log, or what goes into one pack, should become at most on such a disk."""
    return max(LEAST_UNIT_BYTES, min(UNIT_BYTES, total_bytes // UNIT_SHARE))


def packing_room_bytes(space: Space) -> int:
    """What packing and collecting may take now: the last half of what is kept is for deletes alone."""
    return space.free_bytes - reserve_bytes(space.total_bytes) // 2
