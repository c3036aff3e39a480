"""The kernel's pages: handed over, or told that they were not, and nothing stays behind."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

import vfs
from vfs.errors import MountError
from vfs.mount import flushing, pages
from vfs.mount.mountinfo import Mount
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.pages import Pages


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        yield opened


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
    monkeypatch.setattr(flushing, "FLUSH_SECONDS", seconds)
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
