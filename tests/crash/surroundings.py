"""What every crash test lives in: small limits, so that short lives roll chunks, and a clock that counts.

The clock makes a script repeat exactly, to the nanosecond. Never changes behaviour, only constants.
"""

import itertools

import pytest

import vfs.attributes
import vfs.backing.log
import vfs.checker
import vfs.checkpoint
import vfs.contents
import vfs.inode.extent_map
import vfs.inode.offloaded
import vfs.inode.sequence
import vfs.journal
import vfs.namespace
import vfs.recovery

CHUNK_BYTES = 24 << 10
SEGMENT_BYTES = 16 << 10
FIRST_NS = 1_700_000_000_000_000_000


class Clock:
    """A new time at each look; `reset` before a life makes it repeat the times of another."""

    def __init__(self) -> None:
        self.reset()

    def __call__(self) -> int:
        return next(self._times)

    def reset(self) -> None:
        """Begin anew."""
        self._times = itertools.count(FIRST_NS, 1_000_003)


CLOCK = Clock()


def impose(patch: pytest.MonkeyPatch) -> None:
    """Put limits and clock in force."""
    patch.setattr(vfs.backing.log, "CHUNK_BYTES", CHUNK_BYTES)
    for module in (vfs.inode.extent_map, vfs.inode.offloaded, vfs.checker):
        patch.setattr(module, "SEGMENT_BYTES", SEGMENT_BYTES)
    patch.setattr(vfs.checkpoint, "SLICE", 3)
    patch.setattr(vfs.checkpoint, "CHANGES", 15)  # of those that are taken by themselves
    patch.setattr(vfs.inode.sequence, "RANGE", 8)  # a reservation becomes urgent now and then
    for module in (vfs.attributes, vfs.contents, vfs.journal, vfs.namespace, vfs.recovery):
        patch.setattr(module, "now_ns", CLOCK)
