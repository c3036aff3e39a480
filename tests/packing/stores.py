"""A store in which nothing is packed or checkpointed but where a test does it, and what to look at in it."""

import random
from pathlib import Path

import vfs
from vfs import FileSystem
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import Extent
from vfs.pack_pass import PackPass

KIB = 1024


def opened(store: Path, **options: int) -> FileSystem:
    """The store, with passes and checkpoints only where a test takes one."""
    fs = vfs.open(store, **options)
    fs.autopilot = False
    return fs


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def pack_bytes(fs: FileSystem) -> int:
    return sum(row.size for row in fs.store.rows.packs())


def rows_of(fs: FileSystem, path: str) -> list[list[Extent]]:
    """The committed extents of a file, segment by segment."""
    ino = fs.resolve(path).ino
    numbers = fs.store.index.segment_numbers(ino, 0, 1 << 40)
    found = []
    for number in numbers:
        encoded = fs.store.index.load_segment(ino, number)
        assert encoded is not None
        found.append([extent for _, extent in ExtentMap.decode(encoded).placed()])
    return found


def flat(rows: list[list[Extent]]) -> list[Extent]:
    return [extent for row in rows for extent in row]


def begun(fs: FileSystem) -> PackPass:
    """A pass whose pack is written, and which has told nobody of it."""
    work = fs.begin_pack(everything=True)
    assert fs.run_pack(work)
    return work


def ended(fs: FileSystem, work: PackPass) -> int:
    """The rest of it; returns how many rows were swapped."""
    fs.commit_pack(work)
    fs.end_pack(work)
    fs.table.check_invariants()
    return work.swapped_rows


def killed(fs: FileSystem, store: Path) -> FileSystem:
    fs.end_packing()
    fs._closed = True
    fs.store.close()
    assert vfs.check(store).clean
    return opened(store)
