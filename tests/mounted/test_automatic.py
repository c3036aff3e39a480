"""Automatic snapshots of a mounted store, by a clock that the test sets."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounted import clocked_daemon
from tests.mounted.mounting import MountedStore, vfs

pytestmark = pytest.mark.mounted

NOON = 1_796_040_000
"""Monday, 2026-11-30, 12:00:00 UTC."""


class Clocked:
    """A mounted store and its clock."""

    def __init__(self, mounted: MountedStore, clock: Path) -> None:
        self.mounted = mounted
        self.clock = clock
        self.now = NOON
        self.set(NOON)
        mounted.unmount()
        mounted.command = (sys.executable, clocked_daemon.__file__)
        self.mount()

    def mount(self) -> None:
        root = Path(clocked_daemon.__file__).parents[2]
        environment = {clocked_daemon.VARIABLE: str(self.clock), "PYTHONPATH": str(root)}
        self.mounted.mount(environment=environment)

    def set(self, now: int) -> None:
        self.now = now
        new = self.clock.with_suffix(".new")
        new.write_text(str(now))
        new.rename(self.clock)

    def until_looked(self) -> None:
        """The daemon has done what is due at this time, if anything is."""
        looked = self.clock.with_suffix(clocked_daemon.LOOKED)
        self.eventually(lambda _: looked.exists() and looked.read_text() == str(self.now))

    def names(self) -> list[str]:
        return sorted(os.listdir(self.mounted.path / ".snapshots"))

    def eventually(self, condition: Callable[[list[str]], bool]) -> list[str]:
        end = time.monotonic() + 60
        while not condition(self.names()):
            assert time.monotonic() < end, self.names()
            time.sleep(0.01)
        return self.names()

    def until(self, newest: str, count: int) -> None:
        """There is this one, and so many in all."""
        self.eventually(lambda names: newest in names and len(names) == count)

    def times(self, kind: str) -> list[str]:
        """When the snapshots of a class were made, without the year."""
        matches = (re.fullmatch(rf"auto-{kind}-2026-(.*)", name) for name in self.names())
        return [match[1] for match in matches if match]


@pytest.fixture
def clocked(mounted: MountedStore, tmp_path: Path) -> Clocked:
    return Clocked(mounted, tmp_path / "clock")


def test_they_come_and_go_as_the_policy_says(clocked: Clocked) -> None:
    path = clocked.mounted.path
    (path / "file").write_text("0")
    vfs("snapshot", "create", path, "mine")
    vfs("snapshot", "policy", path, "hourly=3", "daily=2")
    clocked.eventually(lambda names: len(names) == 3)
    held = os.open(path / "file", os.O_WRONLY)
    try:
        for hour in range(1, 5):
            os.pwrite(held, b"%d" % hour, 0)  # which the kernel keeps until it is asked for
            clocked.set(NOON + hour * 3600)
            newest = f"auto-hourly-2026-11-30T{12 + hour}-00-00"
            clocked.until(newest, min(3 + hour, 5))
            assert (path / ".snapshots" / newest / "file").read_text() == f"{hour}"
    finally:
        os.close(held)
    assert clocked.times("hourly") == ["11-30T14-00-00", "11-30T15-00-00", "11-30T16-00-00"]
    assert clocked.times("daily") == ["11-30T12-00-00"]
    assert "mine" in clocked.names()
    (path / "file").write_text("asleep for days")
    clocked.set(NOON + 5 * 86400)
    clocked.eventually(lambda names: len(clocked.times("daily")) == 2 and len(names) == 6)
    assert clocked.times("hourly")[-1] == "12-05T12-00-00"
    vfs("snapshot", "policy", path, "hourly=1")
    clocked.eventually(lambda names: len(names) == 2)
    assert clocked.names() == ["auto-hourly-2026-12-05T12-00-00", "mine"]


def test_nothing_is_taken_when_nothing_has_changed_or_the_clock_goes_back(clocked: Clocked) -> None:
    path = clocked.mounted.path
    vfs("snapshot", "policy", path, "hourly=9")
    first = clocked.eventually(lambda names: len(names) == 1)
    for now in (NOON + 3600, NOON + 7200, NOON - 86400, NOON + 3 * 3600):
        clocked.set(now)
        clocked.until_looked()
    assert clocked.names() == first
    clocked.mounted.unmount()
    clocked.set(NOON + 4 * 3600)
    clocked.mount()
    clocked.until_looked()
    assert clocked.names() == first
    (path / "file").write_text("x")
    clocked.set(NOON + 5 * 3600)
    assert clocked.eventually(lambda names: len(names) == 2)[1] == "auto-hourly-2026-11-30T17-00-00"
    clocked.mounted.unmount()
    clocked.mount()
    (path / "file").write_text("y")
    vfs("snapshot", "policy", path, "none")
    clocked.set(NOON + 99 * 3600)
    clocked.until_looked()
    assert len(clocked.names()) == 2
