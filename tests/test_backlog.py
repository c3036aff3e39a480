"""When waiting data is worth a pass, and how much writers are slowed down meanwhile."""

import pytest

from vfs.backlog import COOL_SECONDS, ENOUGH_BYTES, LONGEST_SECONDS, Backlog
from vfs.limits import MIB

LIMIT = 1000 * MIB


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(LIMIT, now=0.0)


def first_due(backlog: Backlog) -> float:
    """The second at which a pass is due, when all that waits is cool."""
    return next(now for now in range(4000) if backlog.due(float(now), cooling_since=-COOL_SECONDS))


def test_nothing_is_never_due(backlog: Backlog) -> None:
    backlog.logged_bytes = 10 * LIMIT
    assert not backlog.due(10**6, cooling_since=0)


def test_less_waits_longer(backlog: Backlog) -> None:
    waits = []
    for size in (1, ENOUGH_BYTES // 100, ENOUGH_BYTES // 10, ENOUGH_BYTES, 4 * ENOUGH_BYTES):
        backlog.committed_bytes = size
        waits.append(first_due(backlog))
    assert waits == [LONGEST_SECONDS, 501, 51, COOL_SECONDS, COOL_SECONDS]


def test_it_has_to_cool(backlog: Backlog) -> None:
    backlog.committed_bytes = ENOUGH_BYTES
    assert not backlog.due(100.0, cooling_since=99.0)
    assert backlog.due(100.0, cooling_since=100 - COOL_SECONDS)


def test_when_it_presses_it_does_not_cool(backlog: Backlog) -> None:
    backlog.committed_bytes = LIMIT // 4 + 1
    assert backlog.due(0.0, cooling_since=0.0)
    backlog.put_off(0.0, 30.0)
    assert not backlog.due(29.0, cooling_since=0.0)
    assert backlog.due(30.0, cooling_since=0.0)


def test_a_trickle_makes_few_packs(backlog: Backlog) -> None:
    passes = 0
    for now in range(24 * 3600):
        backlog.committed_bytes += 100  # 8.6 MB a day
        if backlog.due(float(now), cooling_since=0.0):
            backlog.packed(backlog.committed_bytes, 0.1, float(now))
            backlog.committed_bytes = 0
            passes += 1
    assert 10 < passes < 100


def test_writers_meet_a_slope(backlog: Backlog) -> None:
    delays = []
    for percent in (0, 49, 50, 55, 75, 100, 150):
        backlog.committed_bytes = LIMIT * percent // 100
        delays.append(backlog.delay_seconds(MIB))
    assert delays[:3] == [0, 0, 0]
    assert delays == sorted(delays)
    assert delays[5] == pytest.approx(MIB / backlog.rate), "at the limit as slow as packing"
    assert delays[3] < delays[5] / 50
    assert delays[6] > 10 * delays[5], "and beyond it hardly any more"
    backlog.committed_bytes = 1000 * LIMIT
    assert backlog.delay_seconds(MIB) == 1.0


def test_a_write_that_no_packing_makes_room_for_fails_at_once(backlog: Backlog) -> None:
    backlog.room_bytes = 0
    backlog.committed_bytes = 10 * MIB
    assert backlog.delay_seconds(MIB, full=True) > 0, "packing may make room for it"
    assert backlog.packing_seconds == 10 * MIB / backlog.rate, "and after that does not"
    backlog.stuck = True
    assert backlog.delay_seconds(MIB, full=True) == 0
    assert backlog.delay_seconds(MIB) > 0
    backlog.stuck = False
    backlog.committed_bytes = 100_000
    assert backlog.delay_seconds(MIB, full=True) == 0, "so little makes no room"


def test_what_lies_between_passes_belongs_to_packing(backlog: Backlog) -> None:
    now = 0.0
    for _ in range(20):
        now += 2.0  # half of it for the pass, half for the checkpoint that it needs
        backlog.packed(100 * MIB, 1.0, now)
    assert backlog.rate == pytest.approx(50 * MIB, rel=0.01)
    backlog.packed(100 * MIB, 1.0, now + 60)
    assert backlog.rate > 70 * MIB


def test_rests_are_no_part_of_what_packing_takes(backlog: Backlog) -> None:
    now = 0.0
    for _ in range(20):
        now += 10.0
        backlog.packed(100 * MIB, 10.0, now, 8.0)
    assert backlog.rate == pytest.approx(50 * MIB, rel=0.01)


def test_the_more_waits_the_less_passes_give_way(backlog: Backlog) -> None:
    leisure = []
    for share in (0.0, 0.25, 0.375, 0.5, 2.0):
        backlog.committed_bytes = int(LIMIT * share)
        leisure.append(backlog.leisure)
        assert not (backlog.leisure and backlog.delay_seconds(MIB)), "a writer would pay for it"
    assert leisure == [1.0, 1.0, 0.5, 0.0, 0.0]
    backlog.committed_bytes, backlog.room_bytes = 40 * MIB, 60 * MIB
    assert backlog.leisure == 0.0, "the disk is nearly full"


def test_a_full_disk_lowers_the_limit(backlog: Backlog) -> None:
    backlog.room_bytes = 60 * MIB
    backlog.committed_bytes = 40 * MIB
    assert backlog.limit_bytes <= 50 * MIB, "half of what there is: the other half is for packs"
    assert backlog.pressing
    assert backlog.delay_seconds(MIB) > 0


def test_a_disk_takes_what_fits_once_it_is_packed(backlog: Backlog) -> None:
    """A writer at full speed, ten times that of the packer, and data that packs to a third."""
    disk, raw, packed = 300 * MIB, 0, 0
    while raw + packed < 800 * MIB:
        raw += MIB
        backlog.room_bytes, backlog.committed_bytes = disk - raw - packed // 3, raw
        assert backlog.room_bytes > 0
        done = min(raw, int((backlog.delay_seconds(MIB) + 0.001) * backlog.rate))
        raw -= done
        packed += done
