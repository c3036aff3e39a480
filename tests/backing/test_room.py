"""What is kept free on a disk is enough to write any one chunk or pack anew, whatever the disk's size."""

import pytest

from vfs.backing.room import packing_room_bytes, reserve_bytes, unit_bytes
from vfs.backing.storage import Space
from vfs.limits import MIB

SIZES = [size_mib * MIB for size_mib in (80, 100, 200, 1_000, 3_840, 5_000, 10_240, 100_000, 10_000_000)]


@pytest.mark.parametrize("total", SIZES)
def test_a_unit_can_be_written_anew_on_a_full_disk(total: int) -> None:
    full = Space(total, reserve_bytes(total), 0, 0)
    assert unit_bytes(total) <= packing_room_bytes(full)


@pytest.mark.parametrize("total", SIZES)
def test_only_little_is_kept(total: int) -> None:
    assert reserve_bytes(total) <= min(256 * MIB, total // 20)


def test_a_large_disk_has_the_largest_units() -> None:
    assert unit_bytes(1 << 50) == 128 * MIB
    assert unit_bytes(0) == MIB
