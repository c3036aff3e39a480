"""Requests that a rollback overtakes: each handler asks after every wait what its node still stands for."""

import errno
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from pyfuse3 import EntryAttributes, FUSEError

import vfs
from vfs.contents import ReadPlan
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.nodes import Outdated
from vfs.mount.options import MountOptions
from vfs.snapshots.rolled_back import Held, RolledBack

CONTEXT: Any = None


class Fields:
    """What a setattr changes."""

    update_mode = update_uid = update_gid = update_atime = update_mtime = update_ctime = update_size = False

    def __init__(self, *names: str) -> None:
        for name in names:
            setattr(self, f"update_{name}", True)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


@pytest.fixture
def adapter(fs: vfs.FileSystem) -> Adapter:
    return Adapter(fs, MountOptions())


async def opened(adapter: Adapter, name: bytes) -> int:
    """A file that the kernel knows and has open; its handle."""
    ino = adapter.fs.write_bytes(b"/" + name, b"content").ino
    await adapter.lookup(ROOT_INO, name, CONTEXT)
    await adapter.open(ino, 2, CONTEXT)
    return ino


def roll_back(adapter: Adapter, *numbers: int) -> Outdated:
    """As if a rollback had changed these, or, where there is no such inode, taken them away."""
    adapter.fs.checkpoint()
    table = adapter.fs.table
    held = [
        Held(number, *table.let_go(number), number in table.look_at([number]), False) for number in numbers
    ]
    return adapter.nodes.follow(RolledBack("before", held, [], []))


async def stale(request: Awaitable[object]) -> bool:
    try:
        await request
    except FUSEError as error:
        return bool(error.errno == errno.ESTALE)
    return False


async def test_every_request_for_what_changed_is_refused(fs: vfs.FileSystem, adapter: Adapter) -> None:
    node = await opened(adapter, b"file")
    folder = fs.make_directory("/folder").ino
    roll_back(adapter, node)
    requests: list[Callable[[], Awaitable[object]]] = [
        lambda: adapter.getattr(node, CONTEXT),
        lambda: adapter.setattr(node, EntryAttributes(), Fields("mode"), None, CONTEXT),  # type: ignore[arg-type]
        lambda: adapter.setattr(node, EntryAttributes(), Fields("size"), None, CONTEXT),  # type: ignore[arg-type]
        lambda: adapter.link(node, folder, b"other", CONTEXT),
        lambda: adapter.open(node, 0, CONTEXT),
        lambda: adapter.read(node, 0, 7),
        lambda: adapter.write(node, 0, b"lost"),
        lambda: adapter.fsync(node, datasync=False),
        lambda: adapter.fsync(node, datasync=True),
        lambda: adapter.getxattr(node, b"user.a", CONTEXT),
        lambda: adapter.listxattr(node, CONTEXT),
        lambda: adapter.setxattr(node, b"user.a", b"", CONTEXT),
        lambda: adapter.removexattr(node, b"user.a", CONTEXT),
        lambda: adapter.readlink(node, CONTEXT),
        lambda: adapter.lookup(node, b".", CONTEXT),
    ]
    assert [await stale(request()) for request in requests] == [True] * len(requests)
    found = await adapter.lookup(ROOT_INO, b"file", CONTEXT)
    assert found.st_ino != node
    assert fs.read_bytes("/file") == b"content"
    assert not await stale(adapter.getattr(found.st_ino, CONTEXT))
    assert (await adapter.open(found.st_ino, 0, CONTEXT)).fh == found.st_ino


async def test_requests_that_name_a_stale_directory_second_are_refused(
    fs: vfs.FileSystem, adapter: Adapter
) -> None:
    file = fs.write_bytes("/file", b"").ino
    fs.create_snapshot("without the folder")
    folder = fs.make_directory("/folder")
    await adapter.lookup(ROOT_INO, b"folder", CONTEXT)
    adapter.nodes.follow(fs.rollback("without the folder"))
    assert await stale(adapter.rename(ROOT_INO, b"file", folder.ino, b"moved", 0, CONTEXT))
    assert await stale(adapter.link(file, folder.ino, b"other", CONTEXT))
    assert await stale(adapter.mkdir(folder.ino, b"sub", 0o755, CONTEXT))
    assert await stale(adapter.fsyncdir(folder.ino, datasync=False))
    assert fs.listdir("/") == [b"file"]


async def test_forgetting_and_closing_are_never_refused_and_end_it(
    fs: vfs.FileSystem, adapter: Adapter
) -> None:
    node = await opened(adapter, b"file")
    roll_back(adapter, node)
    await adapter.release(node)
    await adapter.forget([(node, 1)])
    assert not adapter.nodes.renumbered
    assert (await adapter.lookup(ROOT_INO, b"file", CONTEXT)).st_ino == node
    await adapter.forget([(node, 1)])
    assert not fs.table.is_held(node)


async def test_a_write_that_is_slowed_down_across_a_rollback_is_refused(
    fs: vfs.FileSystem,
    adapter: Adapter,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = await opened(adapter, b"file")
    monkeypatch.setattr(fs, "write_delay_seconds", lambda size: 1000.0)  # over when all others wait
    monkeypatch.setattr(type(fs), "packing_seconds", 1000.0)
    refused: list[bool] = []

    async def write() -> None:
        refused.append(await stale(adapter.write(node, 0, b"LATE")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        roll_back(adapter, node)
    assert refused == [True]
    assert fs.read_bytes("/file") == b"content"


@pytest.mark.parametrize("field", ["size", "mtime", "write"])
async def test_what_the_cache_writes_to_a_suspect_makes_it_stale(
    fs: vfs.FileSystem, adapter: Adapter, field: str
) -> None:
    node = await opened(adapter, b"file")
    before = fs.get(node).mtime_ns
    assert roll_back(adapter).suspects == [node]
    if field == "write":
        assert await stale(adapter.write(node, 0, b"LATE"))
    else:
        assert await stale(
            adapter.setattr(node, EntryAttributes(), Fields(field), node, CONTEXT)  # type: ignore[arg-type]
        )
    assert await stale(adapter.read(node, 0, 7))
    assert fs.read_bytes("/file") == b"content"
    assert fs.get(node).mtime_ns == before
    found = await adapter.lookup(ROOT_INO, b"file", CONTEXT)
    assert found.st_ino != node
    handle = (await adapter.open(found.st_ino, 2, CONTEXT)).fh
    assert await adapter.write(handle, 0, b"new") == 3
    assert fs.read_bytes("/file") == b"newtent"


async def test_an_attribute_that_waits_for_a_checkpoint_across_a_rollback_is_refused(
    fs: vfs.FileSystem, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await opened(adapter, b"file")
    monkeypatch.setattr(type(fs), "memory_overdrawn", True)
    refused: list[bool] = []

    async def set_attribute() -> None:
        refused.append(await stale(adapter.setxattr(node, b"user.late", b"", CONTEXT)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_attribute)
        await trio.testing.wait_all_tasks_blocked()
        roll_back(adapter, node)
        await nursery.start(adapter.committer.run)
        while not refused:  # noqa: ASYNC110 -- the handler ends, and nothing else tells
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert refused == [True]
    assert fs.list_xattrs(node) == []


async def test_a_cold_read_across_a_rollback_has_the_bytes_of_when_it_was_asked(
    fs: vfs.FileSystem, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await opened(adapter, b"file")
    read_on = threading.Event()
    real = fs.run_read

    def read_when_told(plan: ReadPlan) -> bytes | memoryview:
        assert read_on.wait(60)
        return real(plan)

    monkeypatch.setattr(fs, "read_resident", lambda ino, offset, length: None)
    monkeypatch.setattr(fs, "run_read", read_when_told)
    answers: list[bytes] = []

    async def read() -> None:
        answers.append(bytes(await adapter.read(node, 0, 7)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.01)
        roll_back(adapter, node)
        fs.write_bytes("/file", b"another")
        read_on.set()
    assert answers == [b"content"]
    assert await stale(adapter.read(node, 0, 7))
