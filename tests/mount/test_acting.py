"""Snapshots beside requests: actions of a checkpoint, the kernel's pages before it, what a policy takes."""

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import vfs
from vfs.errors import MountError, NoSpace, SnapshotError
from vfs.mount import detach, kernel_caches, pages
from vfs.mount.acting import Acting
from vfs.mount.automatic import Automatic
from vfs.mount.committer import Committer
from vfs.mount.control import Progress
from vfs.mount.mountinfo import Mount
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
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


# --- the kernel's pages -------------------------------------------------------------------------


def mount_at(point: Path, store: Path) -> Mount:
    return Mount(1, 0, "0:1", "/", point, "fuse.vfs", str(store))


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ("exit 1", 50.0),
        ("echo \"sync: error syncing 'x': Input/output error\" >&2; exit 1", 50.0),
        ("exec sleep 300", 0.2),
        (None, 50.0),
        ("exit 0", 50.0),
        ("echo \"sync: error opening 'x': Permission denied\" >&2; exit 1", 50.0),
    ],
)
async def test_a_kernel_that_does_not_hand_over_is_told(
    script: str | None,
    seconds: float,
    fs: vfs.FileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that waits for ever: for a program that was stopped, or a disk."""
    if script is not None:
        program = tmp_path / "sync"
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(detach, "FLUSH_SECONDS", seconds)
    monkeypatch.setattr(pages, "read_mounts", lambda: [mount_at(tmp_path, tmp_path / "store")])
    asked = Pages(tmp_path / "store", OpenFiles(fs, NodeIds(fs)))
    with trio.fail_after(60):
        if script is not None and script.endswith("exit 0"):
            await asked.hand_over()
        else:
            with pytest.raises(MountError, match="did not hand over"):
                await asked.hand_over()


async def test_pages_that_found_no_room_are_told_as_such(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sync"
    program.write_text("#!/bin/sh\necho \"sync: error syncing 'x': No space left on device\" >&2; exit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(pages, "read_mounts", lambda: [mount_at(tmp_path, tmp_path / "store")])
    with pytest.raises(MountError, match="too full for all that programs have written; make room"):
        await Pages(tmp_path / "store", OpenFiles(fs, NodeIds(fs))).hand_over()


async def test_files_that_may_not_be_opened_are_left_out_and_the_mount_itself_is_not(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ino = fs.write_bytes("/file", b"content").ino
    files = OpenFiles(fs, NodeIds(fs))
    fs.open(ino, os.O_WRONLY)
    files.opened(ino, os.O_WRONLY)
    program = tmp_path / "sync"
    program.write_text("#!/bin/sh\n[ $1 = -f ] || { echo \"sync: 'x': Permission denied\" >&2; exit 1; }\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(pages, "read_mounts", lambda: [mount_at(tmp_path, tmp_path / "store")])
    await Pages(tmp_path / "store", files).hand_over()
    fs.release(ino)


async def test_flushes_that_nobody_waits_for_any_more_are_bounded_and_take_no_threads_of_others(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    running: list[int] = []

    def hang(store: Path, names: list[str]) -> bool:
        running.append(1)
        return go_on.wait(60)

    monkeypatch.setattr(pages, "_flush", hang)
    asked = Pages(tmp_path / "store", OpenFiles(fs, NodeIds(fs)))
    try:
        for number in range(3 * pages.FLUSHES):
            most = min(number + 1, 2 * pages.FLUSHES)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asked.hand_over)
                await trio.testing.wait_all_tasks_blocked()
                with trio.fail_after(60):
                    while len(running) < most:  # noqa: ASYNC110 -- a thread tells
                        await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
        assert len(running) == 2 * pages.FLUSHES
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    finally:
        go_on.set()


async def test_whoever_is_cancelled_leaves_no_name_that_the_kernel_keeps(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ino = fs.write_bytes("/file", b"content").ino
    files = OpenFiles(fs, NodeIds(fs))
    fs.open(ino, os.O_WRONLY)
    files.opened(ino, os.O_WRONLY)
    go_on = threading.Event()
    flushed: list[str] = []
    forgotten: list[str] = []

    def hang(store: Path, names: list[str]) -> bool:
        flushed.extend(names)
        return go_on.wait(60)

    def forget(store: Path, names: list[str]) -> None:
        assert not files.names, "they lead nowhere when the kernel looks again"
        forgotten.extend(names)

    monkeypatch.setattr(pages, "_flush", hang)
    monkeypatch.setattr(pages, "_forget", forget)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Pages(tmp_path / "store", files).hand_over)
            with trio.fail_after(60):
                while not flushed:  # noqa: ASYNC110 -- a thread tells
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert len(flushed) == 1
        assert forgotten == flushed
    finally:
        go_on.set()
    assert fs.table.get(ino).opens == 1
    fs.release(ino)


async def test_a_mount_that_shows_nowhere_is_not_taken_for_another_one(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = [mount_at(tmp_path, tmp_path / "store"), mount_at(tmp_path, tmp_path / "other")]
    monkeypatch.setattr(pages, "read_mounts", lambda: hidden)
    files = OpenFiles(fs, NodeIds(fs))
    with pytest.raises(MountError):
        await Pages(tmp_path / "store", files).hand_over()
    await Pages(tmp_path / "other", files).hand_over()


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
