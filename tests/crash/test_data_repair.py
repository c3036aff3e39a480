"""A repair of data is cut at any call to the disk, or fails there: what could be read before still can be,
and the next repair comes to the same end.
"""

import errno
import random
from collections.abc import Callable

import pytest

from tests.crash.disks import WatchedDisk
from tests.crash.extent import LONG
from tests.crash.operations import opened
from tests.crash.test_pack_damage import Packed, change_index
from tests.repair.mending import (
    Bytes,
    apply,
    check_life_goes_on,
    check_mended,
    checked,
    find,
    told,
    unreadable,
)
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.codecs import Codec
from vfs.backing.places import PACKS_FOLDER
from vfs.errors import VfsError

SHARE = 1.0 if LONG else 0.12


def first(packed: Packed, codec: Codec) -> int:
    """The number of a block of that kind."""
    return next(piece.block.id for piece in packed.pieces if piece.block.codec == codec)


def flip_block(packed: Packed, disk: WatchedDisk, codec: Codec) -> None:
    block = next(piece.block for piece in packed.pieces if piece.block.codec == codec)
    disk.flip(packed.names[block.pack], block.offset + block.stored - 20, 3)


def truncate(packed: Packed, disk: WatchedDisk) -> None:
    name = packed.names[1]
    content = disk.content(name)
    disk.overwrite(name, content[: len(content) // 2])


def unlink(packed: Packed, disk: WatchedDisk) -> None:
    disk.unlink(packed.names[2])
    disk.sync_folder(PACKS_FOLDER)


def flip_trailer(packed: Packed, disk: WatchedDisk) -> None:
    for name in packed.names.values():
        disk.flip(name, len(disk.content(name)) - 30, 1)


def wrong_row(packed: Packed, disk: WatchedDisk) -> None:
    change_index(disk, f"UPDATE block SET offset=offset+1 WHERE id={first(packed, Codec.ZSTD)}")


DAMAGE: dict[str, Callable[[Packed, WatchedDisk], None]] = {
    "compressed block": lambda packed, disk: flip_block(packed, disk, Codec.ZSTD),
    "block as it is": lambda packed, disk: flip_block(packed, disk, Codec.NONE),
    "cut off": truncate,
    "missing": unlink,
    "tables": flip_trailer,
    "row": wrong_row,
}


def damaged(what: str) -> tuple[Packed, WatchedDisk, Bytes]:
    """A store with that damage, and what of it will be lost."""
    packed = Packed()
    disk = packed.fresh()
    DAMAGE[what](packed, disk)
    disk = WatchedDisk(1, root=disk.kill().root)
    return packed, disk, told(find(disk), packed.contents)


def readable(disk: SimulatedStorage, packed: Packed) -> Bytes:
    fs = opened(disk)
    bad = unreadable(fs, packed.contents)
    fs.store.close()
    return bad


def check_end(disk: SimulatedStorage, packed: Packed, lost: Bytes, *, opens: bool) -> None:
    """The next repair, maybe after somebody opened the store, loses what the first one said and no more."""
    if opens:
        readable(disk, packed)
    apply(disk, find(disk))
    check_mended(disk, packed.contents, lost)


@pytest.mark.parametrize("what", DAMAGE)
def test_a_power_cut_at_any_call(what: str) -> None:
    packed, disk, lost = damaged(what)
    rng = random.Random(what)
    found: list[SimulatedStorage] = []
    disk.watcher = lambda: found.append(disk.crash(rng))
    apply(disk, find(disk))
    disk.watcher = None
    found.append(disk.crash(rng))
    check_mended(disk.kill(), packed.contents, lost)
    check_life_goes_on(disk.kill(), packed.contents, lost)
    assert len(found) > 20
    for after in found:
        if rng.random() < SHARE or after is found[-1]:
            check_end(after, packed, lost, opens=rng.random() < 0.5)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_call_that_fails_changes_nothing(code: int) -> None:
    packed, disk, lost = damaged("compressed block")
    before = readable(disk.kill(), packed)
    rng = random.Random(code)
    number = failures = 0
    while True:
        tried = WatchedDisk(1, root=disk.kill().root)
        plan = find(tried)
        tried.faults = [Fault(code, skip=number)]
        try:
            apply(tried, plan)
        except VfsError:
            failures += 1
        hit = tried.faults == [] or tried.faults[0].times == 0
        tried.faults = []
        after = tried.crash()
        bad = readable(after, packed)
        assert bad in (before, lost), f"call {number}"
        check_end(after, packed, lost, opens=False)
        if not hit:
            break
        number += 1 if LONG else rng.choice((3, 7, 11))
    assert failures > 3


def test_nothing_is_left_over() -> None:
    packed, disk, lost = damaged("cut off")
    apply(disk, find(disk))
    fs = opened(disk.kill())
    names = {row.name for row in fs.store.rows.packs()}
    assert set(disk.list(PACKS_FOLDER)) == names
    assert not names & {name.rpartition("/")[2] for name in [packed.names[1]]}
    fs.store.close()
    report = checked(disk.kill())
    size = sum(bad.count(1) for bad in lost.values())
    assert report.notes == [f"{size} bytes of files are lost, in {report.lost_count} ranges"]
