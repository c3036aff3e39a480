"""Every request is counted once, however it ends, and so is what the daemon does beside them."""

import errno
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from pyfuse3 import FUSEError

import vfs
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.options import MountOptions
from vfs.mount.turns import watch_turns

CONTEXT: Any = None


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


@pytest.fixture
def adapter(fs: vfs.FileSystem) -> Adapter:
    return Adapter(fs, MountOptions())


def counted(adapter: Adapter) -> dict[str, tuple[int, dict[str, int]]]:
    requests = adapter.activity()["requests"]
    return {name: (figures["count"], figures["errors"]) for name, figures in requests.items()}


async def refused(request: Awaitable[object]) -> str:
    with pytest.raises(FUSEError) as caught:
        await request
    return errno.errorcode[caught.value.errno]


async def test_each_request_is_counted_with_how_it_ended(adapter: Adapter) -> None:
    ino = adapter.fs.write_bytes(b"/file", b"content").ino
    for name in (b"file", b"nothing", b"file"):
        await adapter.lookup(ROOT_INO, name, CONTEXT)
    await adapter.open(ino, 2, CONTEXT)
    assert await adapter.write(ino, 0, b"12345") == 5
    assert bytes(await adapter.read(ino, 0, 100)) == b"12345nt"
    await adapter.fsync(ino, False)
    assert await refused(adapter.rmdir(ROOT_INO, b"file", CONTEXT)) == "ENOTDIR"
    assert await refused(adapter.unlink(ROOT_INO, b"nothing", CONTEXT)) == "ENOENT"
    for _ in range(2):
        assert await refused(adapter.getxattr(ino, b"user.x", CONTEXT)) == "ENODATA"
    assert await refused(adapter.flush(ino)) == "ENOSYS"
    await adapter.release(ino)
    await adapter.forget([(ino, 2)])
    assert counted(adapter) == {
        "lookup": (3, {}),
        "open": (1, {}),
        "write": (1, {}),
        "read": (1, {}),
        "fsync": (1, {}),
        "rmdir": (1, {"ENOTDIR": 1}),
        "unlink": (1, {"ENOENT": 1}),
        "getxattr": (2, {"ENODATA": 2}),
        "flush": (1, {"ENOSYS": 1}),
        "release": (1, {}),
        "forget": (1, {}),
    }
    activity = adapter.activity()
    assert (activity["read_bytes"], activity["written_bytes"]) == (7, 5)


async def test_what_nobody_expected_and_what_is_stale_counts_too(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(adapter.fs, "get", fail)
    assert await refused(adapter.getattr(ROOT_INO, CONTEXT)) == "EIO"
    assert await refused(adapter.write(ROOT_INO, 0, b"x")) == "EIO"
    assert counted(adapter) == {"getattr": (1, {"EIO": 1}), "write": (1, {"EIO": 1})}
    assert adapter.waiting == 0


async def test_a_request_that_waits_has_taken_as_long(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ino = adapter.fs.write_bytes(b"/file", b"content").ino
    before = adapter.fs.log.synced_lsn
    real = adapter.fs.run_sync

    def slow(ticket: Any) -> None:
        time.sleep(0.05)
        real(ticket)

    monkeypatch.setattr(adapter.fs, "run_sync", slow)
    await adapter.fsync(ino, False)
    activity = adapter.activity()
    fsync, upkeep = activity["requests"]["fsync"], activity["upkeep"]
    assert fsync["max_us"] >= upkeep["commit"]["max_us"] >= upkeep["sync"]["max_us"] >= 50_000
    assert upkeep["commit"]["frames"] == upkeep["commit"]["most_frames"] == adapter.fs.log.last_lsn - before


async def test_commits_and_checkpoints_are_counted_with_their_parts(adapter: Adapter) -> None:
    fs, committer = adapter.fs, adapter.committer
    fs.write_bytes(b"/one", b"1")
    before = fs.log.synced_lsn
    await committer.commit()
    first = fs.log.last_lsn
    await committer.commit()  # nothing is new
    for number in range(30):
        fs.write_bytes(f"/{number}", b"2")
    await committer.checkpoint()
    upkeep = adapter.activity()["upkeep"]
    assert upkeep["commit"]["count"] == upkeep["sync"]["count"] == 2
    assert upkeep["commit"]["frames"] == fs.log.last_lsn - before
    assert upkeep["commit"]["most_frames"] == fs.log.last_lsn - first
    assert (upkeep["checkpoint"]["count"], upkeep["index"]["count"]) == (1, 1)
    assert upkeep["slice"]["count"] >= 3
    assert upkeep["checkpoint"]["max_us"] > upkeep["slice"]["max_us"] + upkeep["index"]["max_us"] / 2


async def test_what_holds_the_owners_thread_is_seen(adapter: Adapter, nursery: trio.Nursery) -> None:
    nursery.start_soon(watch_turns, adapter.requests, adapter.committer.upkeep)
    turn = adapter.committer.upkeep.turn
    while sum(turn.counts) < 5:  # it has noticed that there are requests, which takes a second
        await adapter.getattr(ROOT_INO, CONTEXT)
        await trio.sleep(0.01)
    time.sleep(0.3)  # noqa: ASYNC251 -- this is the fault that is looked for
    await trio.sleep(0.1)
    assert turn.longest_ns >= 240_000_000
    nursery.cancel_scope.cancel()


def test_what_is_about_to_be_counted_for_the_first_time_is_not_shown(adapter: Adapter) -> None:
    """Another thread may ask at that very moment."""
    adapter.requests["unlink"].failed(errno.ENOENT)
    assert adapter.requests.figures() == {}
