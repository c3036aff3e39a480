"""Smaller limits for a run of the model, so that few operations reach what otherwise takes millions.

It only replaces constants of the code under test while a run lasts; no behaviour of its own.
"""

import time
from typing import NamedTuple

import pytest

import vfs.attributes
import vfs.backing.log
import vfs.checkpoint
import vfs.contents
import vfs.inode.after_commit
import vfs.inode.ahead
import vfs.inode.directory
import vfs.inode.table
import vfs.journal
import vfs.namespace
import vfs.packing
import vfs.snapshots.actions
import vfs.snapshots.snapshotting
from vfs.backing.creation import CreationOptions
from vfs.filesystem import FileSystem


class Bounds(NamedTuple):
    """One choice of limits."""

    cache_bytes: int = 64 << 20
    chunk_bytes: int = 64 << 20
    frame_bytes: int = 1 << 20
    clone_extents: int = 1000
    slice_things: int = 2
    changes: int = 50_000
    complete_entries: int = 4096
    whole_directory_entries: int = 10_000
    preload_entries: int = 8
    ahead_entries: int = 16
    creation: CreationOptions = CreationOptions()
    backlog_limit_bytes: int = 1 << 40
    """From half of it on passes are taken between operations."""
    evict: bool = False
    """Whether everything that may leave memory does so after each step."""

    def impose(self, patch: pytest.MonkeyPatch) -> None:
        """Put them in force."""
        patch.setattr(vfs.backing.log, "CHUNK_BYTES", self.chunk_bytes)
        patch.setattr(vfs.contents, "FRAME_DATA_BYTES", self.frame_bytes)
        patch.setattr(vfs.contents, "CLONE_EXTENTS", self.clone_extents)
        patch.setattr(vfs.checkpoint, "SLICE", self.slice_things)
        patch.setattr(vfs.checkpoint, "TIDY_SLICE", self.slice_things)
        patch.setattr(vfs.checkpoint, "CHANGES", self.changes)
        patch.setattr(vfs.packing, "LOOK_SECONDS", 0.0)
        patch.setattr(vfs.packing, "SLICE_ROWS", self.slice_things)
        patch.setattr(vfs.inode.table, "PRELOAD_ENTRIES", self.preload_entries)
        patch.setattr(vfs.inode.ahead, "FIRST_WIDTH", self.ahead_entries)
        patch.setattr(vfs.inode.ahead, "MOST_WIDTH", 8 * self.ahead_entries)
        patch.setattr(vfs.inode.directory, "COMPLETE_ENTRIES", self.complete_entries)
        stamping = (vfs.snapshots.actions, vfs.snapshots.snapshotting)
        for module in (vfs.attributes, vfs.contents, vfs.journal, vfs.namespace, *stamping):
            patch.setattr(module, "now_ns", time.time_ns)  # so that each change has a time of its own
        patch.setattr(vfs.inode.after_commit, "WHOLE_DIRECTORY_ENTRIES", self.whole_directory_entries)

    def after_step(self, fs: FileSystem) -> None:
        """What time would bring."""
        if self.evict:
            fs.table._cached_inodes = 0
            fs.table.sweep()  # from the first one on they count as not used since
            fs.table.sweep()
            fs.table._cached_inodes = 1000
            for inode in fs.table.loaded():
                if inode.file is not None:
                    inode.file.shed()
                    inode.file.drop_clean_segments()


REAL = Bounds()
TINY = Bounds(
    cache_bytes=4 << 10,
    chunk_bytes=24 << 10,
    frame_bytes=8 << 10,
    clone_extents=2,
    slice_things=1,
    changes=1 << 40,
    complete_entries=2,
    whole_directory_entries=3,
    preload_entries=1,
    ahead_entries=2,
    creation=CreationOptions(blob_bytes=4 << 10, block_bytes=16 << 10),
    evict=True,
)
SMALL = TINY._replace(cache_bytes=12 << 10, complete_entries=6, evict=False, slice_things=3)
HASTY = TINY._replace(cache_bytes=1 << 20, changes=12, backlog_limit_bytes=100_000)
"""A checkpoint is due, and taken between operations, all the time; and so is a pass."""

ALL = (REAL, TINY, SMALL, HASTY)
