"""df: the figures are those of the disk that holds the store, and they move."""

import os
import random
import time

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run
from tests.mounted.taken_room import taken_bytes
from vfs.backing.room import RESERVE_BYTES

pytestmark = pytest.mark.mounted

MIB = 1 << 20
OTHERS_BYTES = 8 * MIB
"""What other programs may write to the disk, or remove from it, around one look."""


def look(mounted: MountedStore) -> tuple[os.statvfs_result, os.statvfs_result]:
    """What the mount and its host tell, at a moment when others hardly change anything there."""
    end = time.monotonic() + 60
    while True:
        before, here, after = map(os.statvfs, (mounted.store, mounted.path, mounted.store))
        if abs(before.f_bfree - after.f_bfree) * before.f_frsize < OTHERS_BYTES:
            return here, after
        assert time.monotonic() < end, (before, after)


def free(figures: os.statvfs_result) -> int:
    return figures.f_bavail * figures.f_frsize


def test_statfs_is_the_hosts(mounted: MountedStore) -> None:
    here, host = look(mounted)
    assert here.f_blocks * here.f_frsize == pytest.approx(host.f_blocks * host.f_frsize, abs=8192)
    # A little is kept back, so that something can always be deleted.
    assert free(host) - RESERVE_BYTES - OTHERS_BYTES <= free(here) <= free(host) + OTHERS_BYTES
    assert here.f_bfree >= here.f_bavail
    assert here.f_namemax == 255
    assert 0 < here.f_ffree <= here.f_files
    assert not here.f_flag & os.ST_RDONLY
    words = run("df", "--output=target,size", "--block-size=1", mounted.path).split()
    assert words[-2:] == [str(mounted.path), str(here.f_blocks * here.f_frsize)]


def test_what_is_used_is_what_the_host_uses(mounted: MountedStore) -> None:
    # Not what nobody may use: the blocks that ext4 keeps for root, and what is kept back here.
    here, host = look(mounted)
    host_used = (host.f_blocks - host.f_bfree) * host.f_frsize
    assert (here.f_blocks - here.f_bfree) * here.f_frsize == pytest.approx(host_used, abs=OTHERS_BYTES)


def test_writing_400_mib_lowers_what_is_free_by_as_much(mounted: MountedStore) -> None:
    """The store takes so much of its disk, and what the mount tells follows the disk."""
    before, before_host = look(mounted)
    before_stored = taken_bytes(mounted.store)
    size = 400 * MIB
    with open(mounted.path / "large", "wb") as file:
        for number in range(size // (8 * MIB)):
            file.write(random.Random(number).randbytes(8 * MIB))
        os.fsync(file.fileno())
    assert taken_bytes(mounted.store) - before_stored >= size
    after, after_host = look(mounted)
    lowered, lowered_host = free(before) - free(after), free(before_host) - free(after_host)
    assert lowered == pytest.approx(lowered_host, abs=2 * OTHERS_BYTES)
    mounted.remount()
    with open(mounted.path / "large", "rb") as reading:
        for number in range(size // (8 * MIB)):
            assert reading.read(8 * MIB) == random.Random(number).randbytes(8 * MIB)
