"""Snapshots beside requests: actions of a checkpoint, and what a policy takes."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import vfs
from vfs.errors import NoSpace, SnapshotError
from vfs.mount import kernel_caches
from vfs.mount.acting import Acting
from vfs.mount.automatic import Automatic
from vfs.mount.committer import Committer
from vfs.mount.control import Progress
from vfs.mount.pages import Pages
from vfs.mount.snapshot_verbs import SnapshotVerbs
from vfs.numbers import SNAPSHOTS_INO
from vfs.snapshots.actions import CreateSnapshot, DeleteSnapshots
from vfs.snapshots.policy import Policy
from vfs.trees.planter import Changed

HOUR_NS = 3600 * 10**9
NOON_NS = 1_796_040_000 * 10**9
"""Monday, 2026-11-30, 12:00:00 UTC."""


def same(number: int) -> int:
    """The kernel's number of an inode before the first rollback."""
    return number


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


class HandedOver(Pages):
    """A kernel that keeps nothing, or refuses, or does something first."""

    def __init__(self) -> None:
        self.asked = 0
        self.before: Callable[[], object] = lambda: None

    async def hand_over(self) -> None:
        self.asked += 1
        self.before()
        await trio.lowlevel.checkpoint()


class Set:
    """What a mount has, but the mount."""

    def __init__(self, fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fs = fs
        self.told: list[Changed] = []
        monkeypatch.setattr(kernel_caches, "_invalidate", self.told.extend)
        self.committer = Committer(fs)
        self.pages = HandedOver()
        self.acting = Acting(fs, self.committer, self.pages, same)
        self.automatic = Automatic(fs, self.acting, self.pages)

    def names(self) -> list[str]:
        return [facts.name for facts in self.fs.snapshots()]


@pytest.fixture
def mounted(fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> Set:
    return Set(fs, monkeypatch)


# --- actions ---------------------------------------------------------------------------------


async def test_an_action_waits_for_the_checkpoint_that_is_under_way_and_for_nothing_else(
    mounted: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, go_on, real = mounted.fs, threading.Event(), mounted.fs.commit_checkpoint
    slow = True

    def commit() -> None:
        assert not slow or go_on.wait(60)
        real()

    monkeypatch.setattr(fs, "commit_checkpoint", commit)
    fs.write_bytes("file", b"before")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mounted.committer.checkpoint)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(mounted.acting.create, "snapshot")
        await trio.testing.wait_all_tasks_blocked(0.01)
        fs.write_bytes("file", b"changed meanwhile")
        assert mounted.names() == []
        slow = False
        go_on.set()
    assert mounted.names() == ["snapshot"]
    assert fs.read_bytes(".snapshots/snapshot/file") == b"changed meanwhile"
    assert mounted.told == [(SNAPSHOTS_INO, b"snapshot", False)]


async def test_an_actions_moment_is_when_its_checkpoint_begins(
    mounted: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.checkpoint.SLICE", 3)
    fs = mounted.fs
    for number in range(40):
        fs.write_bytes(f"file{number}", b"before")

    async def disturb() -> None:
        while fs.table.tracker.capture is None:
            await trio.lowlevel.checkpoint()
        for number in range(40):
            fs.write_bytes(f"file{number}", b"after")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mounted.acting.create, "snapshot")
        nursery.start_soon(disturb)
    for number in range(40):
        assert fs.read_bytes(f".snapshots/snapshot/file{number}") == b"before"
        assert fs.read_bytes(f"file{number}") == b"after"


async def test_what_cannot_be_reaches_who_asked_and_changes_nothing(mounted: Set) -> None:
    fs, committer = mounted.fs, mounted.committer
    fs.write_bytes("file", b"1")
    with pytest.raises(SnapshotError, match="no snapshot is called"):
        await committer.checkpoint(action=DeleteSnapshots(["none"]))
    await committer.checkpoint(action=CreateSnapshot("taken"))
    with pytest.raises(SnapshotError, match="already"):
        await mounted.acting.create("taken")
    assert mounted.pages.asked == 0, "what is wrong is told before anybody waits"
    with pytest.raises(SnapshotError, match="already"):
        await committer.checkpoint(action=CreateSnapshot("taken"))
    assert fs.table.tracker.capture is None
    fs.write_bytes("file", b"2")
    await committer.checkpoint()
    assert mounted.names() == ["taken"]


async def test_a_full_disk_is_told_in_words_and_the_next_one_works(
    mounted: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise NoSpace

    with monkeypatch.context() as patch:
        patch.setattr(mounted.fs, "commit_checkpoint", full)
        with pytest.raises(SnapshotError, match="is full; make room"):
            await mounted.acting.create("one")
    assert mounted.names() == []
    await mounted.acting.create("one")
    assert mounted.names() == ["one"]


async def test_a_store_that_is_read_only(tmp_path: Path, fs: vfs.FileSystem) -> None:
    fs.close()
    with vfs.open(tmp_path / "store", read_only=True) as again:
        committer = Committer(again)
        with pytest.raises(SnapshotError, match="mounted read-only"):
            await Acting(again, committer, HandedOver(), same).create("x")


# --- automatic ones ------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, as its only element."""
    at = [NOON_NS]
    for module in ("vfs.mount.automatic", "vfs.snapshots.actions"):
        monkeypatch.setattr(f"{module}.now_ns", lambda: at[0])
    return at


async def test_due_ones_are_taken_and_others_go(mounted: Set, clock: list[int]) -> None:
    fs, automatic = mounted.fs, mounted.automatic
    await automatic.look()
    assert mounted.names() == []
    assert mounted.pages.asked == 0, "nobody wants any"
    fs.set_policy(Policy(hourly=2, daily=1))
    for _ in range(4):
        fs.write_bytes("file", b"%d" % clock[0])
        await automatic.look()
        await automatic.look()
        clock[0] += HOUR_NS
    assert mounted.names() == [
        "auto-daily-2026-11-30T12-00-00",
        "auto-hourly-2026-11-30T14-00-00",
        "auto-hourly-2026-11-30T15-00-00",
    ]
    assert mounted.pages.asked == 4 + 5, "before it is asked what has changed, and before each is taken"
    assert all(facts.automatic for facts in fs.snapshots())
    fs.set_policy(Policy(hourly=1))
    await automatic.policy_changed()
    assert len(mounted.names()) == 1


async def test_what_the_kernel_kept_is_a_change(mounted: Set, clock: list[int]) -> None:
    fs = mounted.fs
    fs.set_policy(Policy(hourly=9))
    await mounted.automatic.look()
    clock[0] += HOUR_NS
    mounted.pages.before = lambda: fs.write_bytes("file", b"it had it since half past")
    await mounted.automatic.look()
    assert len(mounted.names()) == 2
    mounted.pages.before = lambda: None
    clock[0] += HOUR_NS
    await mounted.automatic.look()
    assert len(mounted.names()) == 2, "nothing has changed"


async def test_what_cannot_be_taken_is_told_once_and_tried_again(
    mounted: Set, clock: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.automatic.LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "vfs")
    tried: list[Any] = []
    real = mounted.fs.commit_checkpoint

    def full() -> None:
        tried.append(None)
        if len(tried) < 5:
            raise NoSpace
        real()

    mounted.fs.write_bytes("file", b"x")
    mounted.fs.set_policy(Policy(hourly=3))
    monkeypatch.setattr(mounted.fs, "commit_checkpoint", full)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mounted.automatic.run)
        with trio.fail_after(60):
            while not mounted.names():  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert len(tried) == 5
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith("automatic snapshots put off: the disk that holds the store is full")


async def test_a_new_policy_is_carried_out_when_it_is_set(mounted: Set) -> None:
    mounted.fs.write_bytes("file", b"x")
    verbs = SnapshotVerbs(mounted.fs, mounted.committer, mounted.acting, mounted.automatic.policy_changed)
    answer = await verbs.policy({"words": ["weekly=1"]}, Progress())
    assert answer == {"policy": "weekly=1", "hourly": 0, "daily": 0, "weekly": 1}
    assert [name[:12] for name in mounted.names()] == ["auto-weekly-"]
    await verbs.policy({"words": ["none"]}, Progress())
    assert len(mounted.names()) == 1
