"""Small reads go without a thread only as long as the disk is quick."""

import pytest

from vfs.mount import pace as pace_module
from vfs.mount.pace import QUICK_SECONDS, Pace


class Disk:
    """Reads take as long as they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(pace_module, "perf_counter", lambda: self.now)

    def read(self, seconds: float) -> float:
        self.now += seconds
        return seconds

    def fail(self, seconds: float) -> float:
        self.now += seconds
        raise OSError("bad sector")


def test_a_quick_disk_is_trusted_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, pace = Disk(monkeypatch), Pace()
    for _ in range(10):
        assert pace.timed(disk.read, QUICK_SECONDS / 2) == QUICK_SECONDS / 2
        assert not pace.is_quick
    for _ in range(30):
        pace.timed(disk.read, QUICK_SECONDS / 2)
    assert pace.is_quick


def test_a_slow_answer_ends_that_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, pace = Disk(monkeypatch), Pace()
    for _ in range(100):
        pace.timed(disk.read, 0.0001)
    before = pace.is_quick
    pace.timed(disk.read, 0.010)
    assert (before, pace.is_quick) == (True, False)


def test_a_slow_disk_is_never_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, pace = Disk(monkeypatch), Pace()
    for number in range(200):
        pace.timed(disk.read, 0.0001 if number % 3 else 0.008)
        assert not pace.is_quick


def test_an_error_is_the_readers_and_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, pace = Disk(monkeypatch), Pace()
    for _ in range(100):
        pace.timed(disk.read, 0.0001)
    with pytest.raises(OSError, match="bad sector"):
        pace.timed(disk.fail, 2.0)
    assert not pace.is_quick
