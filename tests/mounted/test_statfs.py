"""df: the figures are those of the disk that holds the store, and they move."""

import os
import random
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run
from vfs.backing.room import RESERVE_BYTES

pytestmark = pytest.mark.mounted

MIB = 1 << 20
OTHERS_BYTES = 150 * MIB
"""What other programs may write to the disk between two looks."""


def test_statfs_is_the_hosts(mounted: MountedStore) -> None:
    here, host = os.statvfs(mounted.path), os.statvfs(mounted.store)
    assert here.f_blocks * here.f_frsize == pytest.approx(host.f_blocks * host.f_frsize, abs=8192)
    free, host_free = here.f_bavail * here.f_frsize, host.f_bavail * host.f_frsize
    # A little is kept back, so that something can always be deleted.
    assert host_free - RESERVE_BYTES - OTHERS_BYTES <= free <= host_free + OTHERS_BYTES
    assert here.f_bfree >= here.f_bavail
    assert here.f_namemax == 255
    assert 0 < here.f_ffree <= here.f_files
    assert not here.f_flag & os.ST_RDONLY
    words = run("df", "--output=target,size", "--block-size=1", mounted.path).split()
    assert words[-2:] == [str(mounted.path), str(here.f_blocks * here.f_frsize)]


def test_what_is_used_is_what_the_host_uses(mounted: MountedStore) -> None:
    # Not what nobody may use: the blocks that ext4 keeps for root, and what is kept back here.
    here, host = os.statvfs(mounted.path), os.statvfs(mounted.store)
    host_used = (host.f_blocks - host.f_bfree) * host.f_frsize
    assert (here.f_blocks - here.f_bfree) * here.f_frsize == pytest.approx(host_used, abs=OTHERS_BYTES)


def test_writing_400_mib_lowers_what_is_free_by_as_much(mounted: MountedStore) -> None:
    def free_of(path: Path) -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    before_host, before = free_of(mounted.store), free_of(mounted.path)
    size = 400 * MIB
    with open(mounted.path / "large", "wb") as file:
        for number in range(size // (8 * MIB)):
            file.write(random.Random(number).randbytes(8 * MIB))
        os.fsync(file.fileno())
    others = (before_host - free_of(mounted.store)) - size
    assert before - free_of(mounted.path) == pytest.approx(size + others, abs=OTHERS_BYTES)
    mounted.remount()
    with open(mounted.path / "large", "rb") as reading:
        for number in range(size // (8 * MIB)):
            assert reading.read(8 * MIB) == random.Random(number).randbytes(8 * MIB)
