"""Taking a mount off that is busy for a while: who is waited for, and for how long. On simulated time."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from vfs.mount import detach
from vfs.mount.detach import PASSING_SECONDS, UNSEEN_SECONDS, MountBusy
from vfs.mount.flushing import FLUSHER
from vfs.mount.holders import Holder
from vfs.mount.mountinfo import Mount

POINT = Path("/some/mount point")
EDITOR = Holder(7, "editor", "works in it")
SYNC = Holder(8, FLUSHER, "has a file of it open")


class Users:
    """Those of a mount that is busy until some moment: whom /proc shows, from when to when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, free_at: float) -> None:
        self.now = 1000.0
        self.tries = 0
        self.shown: list[tuple[float, float, Holder]] = []
        self._begin, self._free_at = self.now, free_at
        monkeypatch.setattr(detach, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._pass))
        monkeypatch.setattr(detach, "read_mounts", lambda: [Mount(1, 0, "0:1", "/", POINT, "fuse.vfs", "/s")])
        monkeypatch.setattr(detach, "_is_busy", self._is_busy)
        monkeypatch.setattr(detach, "_users", lambda point: self._seen())

    @property
    def seconds(self) -> float:
        return self.now - self._begin

    def _pass(self, seconds: float) -> None:
        self.now += seconds

    def _is_busy(self, point: Path, before: Mount, *, lazy: bool) -> bool:
        self.tries += 1
        return self.seconds < self._free_at

    def _seen(self) -> list[Holder]:
        return [holder for begin, end, holder in self.shown if begin <= self.seconds < end]


def test_one_whom_nobody_sees_has_time_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed, say, and the kernel hands over the pages of its files before it lets go of the mount."""
    users = Users(monkeypatch, free_at=UNSEEN_SECONDS - 1)
    detach.detach(POINT)
    assert users.tries > 10


def test_one_whom_nobody_sees_is_told_of_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users(monkeypatch, free_at=1000)
    with pytest.raises(MountBusy, match="by a process that /proc does not show to you"):
        detach.detach(POINT)
    assert UNSEEN_SECONDS < users.seconds < UNSEEN_SECONDS + 1


def test_somebody_who_works_in_it_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users(monkeypatch, free_at=1000)
    users.shown = [(0, 1000, SYNC), (0, 1000, EDITOR)]
    with pytest.raises(MountBusy, match=r"editor \(7, works in it\)"):
        detach.detach(POINT)
    assert users.tries == 1


def test_programs_of_our_own_are_waited_for_and_then_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users(monkeypatch, free_at=PASSING_SECONDS + UNSEEN_SECONDS - 2)
    users.shown = [(0, PASSING_SECONDS - 1, SYNC)]
    detach.detach(POINT)
    users = Users(monkeypatch, free_at=1000)
    users.shown = [(0, 1000, SYNC)]
    with pytest.raises(MountBusy, match="sync"):
        detach.detach(POINT)
    assert PASSING_SECONDS < users.seconds < PASSING_SECONDS + 1
