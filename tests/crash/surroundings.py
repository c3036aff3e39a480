"""What every crash test lives in: small limits, so that short lives roll chunks, and a clock that counts.

The clock makes a script repeat exactly, to the nanosecond. Never changes behaviour, only constants.
"""

import itertools
import uuid
from collections.abc import Callable

import pytest

import vfs.attributes
import vfs.backing.log
import vfs.backing.pack_session
import vfs.backlog
import vfs.checkpoint
import vfs.checks.extents
import vfs.collecting
import vfs.collection
import vfs.contents
import vfs.inode.extent_map
import vfs.inode.offloaded
import vfs.inode.sequence
import vfs.journal
import vfs.namespace
import vfs.pack_pass
import vfs.packing
import vfs.recovery
import vfs.repair.contents
import vfs.repair.found
import vfs.repair.lenient
import vfs.repair.losing
import vfs.repair.names
import vfs.repair.rescue
import vfs.snapshots.actions
import vfs.snapshots.snapshotting

CHUNK_BYTES = 24 << 10
SEGMENT_BYTES = 16 << 10
FIRST_NS = 1_700_000_000_000_000_000


EXTENTS = (vfs.inode.extent_map, vfs.inode.offloaded, vfs.contents, vfs.checks.extents)
REPAIR = (vfs.repair.contents, vfs.repair.lenient, vfs.repair.losing, vfs.repair.names)


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


def impose(patch: pytest.MonkeyPatch, clock: Callable[[], int] = CLOCK) -> None:
    """Put limits and clock in force."""
    patch.setattr(vfs.backing.log, "CHUNK_BYTES", CHUNK_BYTES)
    for module in (*EXTENTS, *REPAIR):
        patch.setattr(module, "SEGMENT_BYTES", SEGMENT_BYTES)
    patch.setattr(vfs.checkpoint, "SLICE", 3)
    patch.setattr(vfs.checkpoint, "CHANGES", 15)  # of those that are taken by themselves
    patch.setattr(vfs.inode.sequence, "RANGE", 8)  # a reservation becomes urgent now and then
    patch.setattr(vfs.pack_pass, "PAGE_ROWS", 3)
    patch.setattr(vfs.backing.pack_session, "BLOBS_AT_ONCE", 5)
    patch.setattr(vfs.backing.pack_session, "BLOCKS_AT_ONCE", 2)
    patch.setattr(vfs.collection, "ROUND_BYTES", 50_000)
    patch.setattr(vfs.collection, "ROUND_BLOBS", 10)
    patch.setattr(vfs.repair.rescue, "PACK_BYTES", 20_000)
    patch.setattr(vfs.packing, "SLICE_ROWS", 2)
    patch.setattr(vfs.packing, "LOOK_SECONDS", 0.0)  # what a store packs by itself depends on no clock
    patch.setattr(vfs.collecting, "ROLL_BYTES", 2000)
    for module in (vfs.packing, vfs.backlog):
        patch.setattr(module, "COOL_SECONDS", 0.0)
        patch.setattr(module, "RETRY_SECONDS", 0.0)
    repeat(patch, clock)


def repeat(patch: pytest.MonkeyPatch, clock: Callable[[], int] = CLOCK) -> None:
    """What a store takes from outside is the same each time: its number, and the times that it stamps."""
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=0x76667300))
    stamping = (vfs.snapshots.actions, vfs.snapshots.snapshotting)
    for module in (vfs.attributes, vfs.contents, vfs.journal, vfs.namespace, vfs.recovery, *stamping):
        patch.setattr(module, "now_ns", clock)
