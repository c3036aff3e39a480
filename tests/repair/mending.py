"""A store whose data is mended, and what must be true of it then, whatever was damaged.

The judge of what is lost is reading itself, before and after: it knows nothing of how data is mended.
"""

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from tests.crash.disks import ScratchDisk
from tests.packed_stores import noise, text
from tests.simulated.disk import SimulatedStorage
from vfs.backing.creation import CreationOptions
from vfs.backing.index import Index
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.backing.superblock import Superblock
from vfs.checker import Report, check_storage
from vfs.errors import DataDamaged, IndexDamaged, RangeLost
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.repair.data import DataPlan, find_data
from vfs.repair.rescue import apply_data

STEP = 500
KIB = 1024
Contents = dict[str, bytes]
Bytes = dict[str, bytearray]
"""Path -> for each byte of the file whether it cannot be read."""


def opened(storage: Storage, *, read_only: bool = False) -> FileSystem:
    fs = FileSystem.open_storage(storage, pack_workers=0, read_only=read_only)
    fs.autopilot = False
    return fs


def find(storage: Storage, *, index_is_whole: bool = True) -> DataPlan:
    index = Index.open(storage, read_only=storage.shared_index)  # where it is not, a cut one must be mended
    try:
        return find_data(index, storage, Superblock.read(storage).uuid, index_is_whole=index_is_whole)
    finally:
        index.close()


def apply(storage: Storage, plan: DataPlan) -> None:
    block = Superblock.read(storage)
    index = Index.open(storage, read_only=False)
    try:
        options = CreationOptions.from_fields(block.options)
        apply_data(plan, index, storage, block.uuid, options, workers=0)
    finally:
        with suppress(apsw.Error):  # of a disk that fails
            index.close()


def unreadable(fs: FileSystem, paths: Contents) -> Bytes:
    """What cannot be read now, to the byte; for the rest the bytes must be right."""
    found = {}
    for path, content in paths.items():
        inode = fs.resolve(path)
        assert inode.size == len(content)
        bad = found[path] = bytearray(inode.size)
        steps = list(_steps(fs, inode))
        wrong = [not _reads(fs, inode, content, start, length) for start, length in steps]
        for number, (start, length) in enumerate(steps):
            if wrong[number]:
                bad[start : start + length] = b"\1" * length
                if not all(wrong[max(0, number - 1) : number + 2]):  # some of it may be right
                    for at in range(start, start + length):
                        bad[at] = not _reads(fs, inode, content, at, 1)
    return found


def _reads(fs: FileSystem, inode: Inode, content: bytes, start: int, length: int) -> bool:
    try:
        data = bytes(fs.read(inode.ino, start, length))
    except (DataDamaged, IndexDamaged):
        return False
    assert data == content[start : start + length], f"wrong bytes at {start} of inode {inode.ino}"
    return True


def _steps(fs: FileSystem, inode: Inode) -> Iterator[tuple[int, int]]:
    """Small ranges, none of them over the end of an extent."""
    try:
        extents = fs.table.file(inode).plan(0, inode.size)
    except IndexDamaged:
        yield 0, inode.size
        return
    offset = 0
    for extent in extents:
        for at in range(0, extent.length, STEP):
            yield offset + at, min(STEP, extent.length - at)
        offset += extent.length


def told(plan: DataPlan, paths: Contents) -> Bytes:
    """What the plan says will be lost."""
    found = {path: bytearray(len(content)) for path, content in paths.items()}
    for file in plan.files:
        for offset, length in file.ranges:
            assert offset + length <= len(found[file.path])
            found[file.path][offset : offset + length] = b"\1" * length
    assert plan.lost_bytes == sum(bad.count(1) for bad in found.values())
    assert plan.file_count == sum(1 for bad in found.values() if bad.count(1))
    return found


def checked(storage: Storage) -> Report:
    if isinstance(storage, SimulatedStorage):
        storage = ScratchDisk(root=copy.deepcopy(storage.root))
    report = check_storage(storage, data=True)
    assert report.clean, report.problems
    return report


def check_mended(storage: Storage, paths: Contents, lost: Bytes) -> None:
    """fsck is clean and lists the lost ranges; these are an error and all else is right; there is no more to
    do."""
    report = checked(storage)
    assert {file.path for file in report.lost} == {path for path, bad in lost.items() if bad.count(1)}
    assert report.lost_bytes == sum(bad.count(1) for bad in lost.values())
    again = find(storage)
    assert again.empty, again.problems
    fs = opened(storage)
    assert unreadable(fs, paths) == lost
    fs.store.close_files()


def check_life_goes_on(storage: Storage, paths: Contents, lost: Bytes) -> None:
    """What was lost is told as that; written anew it can be read, packed and collected."""
    fs = opened(storage)
    for path, bad in lost.items():
        start = bad.find(1)
        if start >= 0:
            ino = fs.resolve(path).ino
            with pytest.raises(RangeLost) as caught:
                fs.read(ino, start, 1)
            assert caught.value.offset <= start < caught.value.offset + caught.value.length
            fs.write(ino, 0, paths[path])
    fs.flush()
    fs.collect()
    for path, content in paths.items():
        assert fs.read_bytes(path) == content
    fs.store.close_files()
    assert checked(storage).lost == []


CONTENTS = {
    "/noise": noise(1, 700_000),
    "/text": text(1, 300_000),
    "/copy": text(1, 300_000),
    "/small": noise(2, 3000),
    "/second": noise(3, 200_000) + text(2, 100_000),
    "/raw": noise(4, 300_000),
    "/tiny": b"in memory, then in the log",
}


def mend(storage: DirectoryStorage, *, heals: bool = False) -> int:
    """Find, compare with what could be read before, apply, and look; returns how many bytes are lost.

    `heals`: the pack itself knows better than the index, so that more can be read afterwards.
    """
    plan = find(storage)
    assert not plan.empty
    assert plan.problem_count >= len(plan.problems) > 0
    lost = told(plan, CONTENTS)
    if not heals:
        fs = opened(storage, read_only=True)
        assert lost == unreadable(fs, CONTENTS), "lost is what could not be read"
        fs.store.close_files()
    apply(storage, plan)
    check_mended(storage, CONTENTS, lost)
    if plan.lost_bytes:
        check_life_goes_on(storage, CONTENTS, lost)
    return plan.lost_bytes


def change(store: Path, statements: str) -> None:
    """As if SQLite's own checksums had not seen it."""
    connection = apsw.Connection(str(store / "index.db"))
    connection.execute(statements)
    connection.close()
