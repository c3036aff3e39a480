"""Group commit and checkpoints beside requests, on a real store."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

import vfs
from vfs.backing.log import SyncTicket
from vfs.contents import ReadPlan
from vfs.errors import NoSpace, ReadOnly, StoreFailed
from vfs.mount import committer as committer_module
from vfs.mount.adapter import Adapter
from vfs.mount.committer import Committer
from vfs.mount.options import MountOptions


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


class Gate:
    """A disk whose syncs wait until they are let through."""

    def __init__(self, fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.open = threading.Event()
        self.error: OSError | None = None
        self._real = fs.run_sync
        monkeypatch.setattr(fs, "run_sync", self.run)

    def run(self, ticket: SyncTicket) -> None:
        self.syncs += 1
        assert self.open.wait(60)
        if self.error is not None:
            raise self.error
        self._real(ticket)


@pytest.fixture
def gate(fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(fs, monkeypatch)


async def test_many_waiters_share_one_sync(fs: vfs.FileSystem, gate: Gate) -> None:
    committer = Committer(fs)
    async with trio.open_nursery() as nursery:
        fs.write_bytes("/first", b"1")
        nursery.start_soon(committer.commit)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for number in range(50):
            fs.write_bytes(f"/file{number}", b"x")
            nursery.start_soon(committer.commit)
        await trio.testing.wait_all_tasks_blocked(0.01)
        gate.open.set()
    assert gate.syncs == 2, "one was on its way, the other serves all fifty"
    assert fs.log.synced_lsn == fs.log.last_lsn


async def test_a_commit_covers_what_was_answered_before_it_and_not_a_sync_under_way(
    fs: vfs.FileSystem, gate: Gate
) -> None:
    committer = Committer(fs)
    done: list[int] = []

    async def commit(lsn: int) -> None:
        await committer.commit()
        assert fs.log.synced_lsn >= lsn
        done.append(lsn)

    async with trio.open_nursery() as nursery:
        fs.write_bytes("/early", b"1")
        nursery.start_soon(commit, fs.log.last_lsn)
        await trio.testing.wait_all_tasks_blocked(0.01)
        fs.write_bytes("/late", b"2")
        nursery.start_soon(commit, fs.log.last_lsn)
        gate.open.set()
    assert done == sorted(done)


async def test_requests_go_on_while_the_disk_syncs(fs: vfs.FileSystem, gate: Gate) -> None:
    committer = Committer(fs)
    async with trio.open_nursery() as nursery:
        fs.write_bytes("/file", b"1")
        nursery.start_soon(committer.commit)
        await trio.testing.wait_all_tasks_blocked(0.01)
        fs.write_bytes("/file", b"2")
        assert fs.read_bytes("/file") == b"2"
        gate.open.set()


async def test_a_failed_sync_fails_every_waiter_and_is_never_tried_again(
    fs: vfs.FileSystem, gate: Gate
) -> None:
    committer = Committer(fs)
    gate.error = OSError(5, "the disk is gone")
    failures: list[StoreFailed] = []

    async def commit() -> None:
        try:
            await committer.commit()
        except StoreFailed as error:
            failures.append(error)

    fs.write_bytes("/file", b"kept")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(commit)
        await trio.testing.wait_all_tasks_blocked(0.01)
        gate.open.set()
    assert len(failures) == 5
    assert gate.syncs == 1
    gate.error = None
    with pytest.raises(StoreFailed):
        await committer.commit()
    assert gate.syncs == 1
    assert fs.read_bytes("/file") == b"kept"
    with pytest.raises(ReadOnly):
        fs.write_bytes("/other", b"")


async def test_background_work_commits_in_time(fs: vfs.FileSystem) -> None:
    fs.commit_seconds = 0.05
    committer = Committer(fs)
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        fs.write_bytes("/file", b"1")
        lsn = fs.log.last_lsn
        with trio.fail_after(60):
            while fs.log.synced_lsn < lsn:  # noqa: ASYNC110 - a number to look at, not an event
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


async def test_a_checkpoint_goes_on_beside_operations(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.checkpoint.SLICE", 3)
    committer = Committer(fs)
    for number in range(60):
        fs.write_bytes(f"/file{number}", b"before")
    lsn = fs.log.last_lsn

    async def disturb() -> None:
        while fs.table.tracker.capture is None:
            await trio.lowlevel.checkpoint()
        for number in range(60):
            fs.write_bytes(f"/file{number}", b"after")
            if number % 3 == 0:
                fs.remove(f"/file{number}")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.checkpoint)
        nursery.start_soon(disturb)
    assert fs.store.index.meta()["lsn"] == lsn
    assert fs.store.index.meta()["files"] == 60
    await committer.checkpoint()
    assert fs.store.index.meta()["files"] == 40
    assert all(fs.read_bytes(path) == b"after" for path in map(bytes, fs.listdir()))


async def test_who_wants_the_index_up_to_date_need_not_wait(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.mount.committer.LOOK_SECONDS", 100.0)
    committer = Committer(fs)
    waiting, real = threading.Event(), fs.commit_checkpoint

    def commit_slowly() -> None:
        assert waiting.wait(60)
        real()

    async def up_to_date_in(scope: trio.CancelScope) -> None:
        with scope:
            await committer.up_to_date()

    monkeypatch.setattr(fs, "commit_checkpoint", commit_slowly)
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        fs.write_bytes("/file", b"1")
        scope = trio.CancelScope()
        nursery.start_soon(up_to_date_in, scope)
        with trio.fail_after(60):
            while fs.table.tracker.capture is None:  # noqa: ASYNC110 -- nobody tells
                await trio.sleep(0.005)
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert scope.cancelled_caught
        assert fs.table.tracker.capture is not None, "it goes on"
        waiting.set()
        fs.write_bytes("/other", b"2")
        with trio.fail_after(60):
            await committer.up_to_date()
        assert fs.store.index.meta()["lsn"] == fs.log.last_lsn
        nursery.cancel_scope.cancel()


async def test_a_checkpoint_is_taken_anyway_only_when_told_so(fs: vfs.FileSystem) -> None:
    committer = Committer(fs)
    fs.write_bytes("/file", b"1")
    await committer.checkpoint()
    fs.log.append(b"")  # a record that changes nothing
    lsn = fs.store.index.meta()["lsn"]
    await committer.checkpoint()
    assert fs.store.index.meta()["lsn"] == lsn
    await committer.checkpoint(anyway=True)
    assert fs.store.index.meta()["lsn"] == lsn + 1


async def test_a_checkpoint_without_room_is_given_up_and_works_later(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer = Committer(fs)
    fs.write_bytes("/file", b"text")

    def full() -> None:
        raise NoSpace("full")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "commit_checkpoint", full)
        with pytest.raises(NoSpace):
            await committer.checkpoint()
    assert fs.store.index.meta()["lsn"] == 0
    fs.write_bytes("/file", b"more text")
    await committer.checkpoint()
    assert fs.store.index.meta()["files"] == 1
    assert fs.read_bytes("/file") == b"more text"


async def test_unexpected_errors_do_not_end_the_background_work(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.committer.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("vfs.checkpoint.AGE_SECONDS", 0.0)
    fs.commit_seconds = 0.01
    fs.write_bytes("/file", b"text")

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async with trio.open_nursery() as nursery:
        with monkeypatch.context() as patch, trio.fail_after(60):
            patch.setattr(fs, "run_sync", fail)
            patch.setattr(fs, "gather_checkpoint", fail)
            await nursery.start(Committer(fs).run)
            while len({record.message for record in caplog.records}) < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
        fs._retry_at = 0.0
        with trio.fail_after(60):
            while fs.store.index.meta()["lsn"] == 0:  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert fs.failed is None


async def test_chunks_that_packing_emptied_go_although_nothing_changed(fs: vfs.FileSystem) -> None:
    ino = fs.write_bytes("/small", b"").ino
    for number in range(20):
        if number == 10:
            fs.log.roll()
        fs.write(ino, number * 100, b"%d" % number * 50)
    committer = Committer(fs)
    await committer.checkpoint()
    assert fs.store.index.meta()["lsn"] < fs.log.last_lsn, "what merged in memory was logged for it"
    assert fs.pack(everything=True)
    assert not len(fs.table.tracker)
    await committer.checkpoint()
    assert len(fs.log.chunk_numbers()) == 1


async def test_no_number_of_slow_reads_keeps_a_sync_or_a_checkpoint_from_beginning(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.write_bytes("/file", b"content")
    ino = fs.resolve("/file").ino
    adapter = Adapter(fs, MountOptions())
    read_on = threading.Event()
    real = fs.run_read

    def read_when_told(plan: ReadPlan) -> bytes | memoryview:
        assert read_on.wait(60)
        return real(plan)

    monkeypatch.setattr(fs, "read_resident", lambda ino, offset, length: None)
    monkeypatch.setattr(fs, "run_read", read_when_told)
    answers: list[bytes] = []

    async def read() -> None:
        answers.append(bytes(await adapter.read(ino, 0, 7)))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert adapter.waiting == 100
        with trio.fail_after(60):
            await adapter.committer.commit()
            await adapter.committer.checkpoint(anyway=True)
        assert not answers
        read_on.set()
    assert answers == [b"content"] * 100
    assert adapter.waiting == 0


async def test_a_sync_waits_for_those_whom_the_last_one_has_answered(
    fs: vfs.FileSystem, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "GATHER_SHARE", 1e9)
    monkeypatch.setattr(committer_module, "GATHER_SECONDS", 100.0)
    committer = Committer(fs)
    gate.open.set()
    answered: list[str] = []

    async def commit_again_and_again(name: str) -> None:
        while gate.syncs < 11:
            fs.write_bytes(f"/{name}", b"%d" % gate.syncs)
            await committer.commit()
            answered.append(name)
            await trio.sleep(0.001)  # the client has to be told, and to come back

    with trio.fail_after(80):
        async with trio.open_nursery() as nursery:
            for name in "abcde":
                nursery.start_soon(commit_again_and_again, name)
    assert len(answered) == 1 + 10 * 5, "the first sync knew of nobody else"


async def commit_of_five(committer: Committer, fs: vfs.FileSystem, gate: Gate) -> None:
    """So many wait for the first sync, which is let go."""
    fs.write_bytes("/file", b"of all")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(committer.commit)
        await trio.testing.wait_all_tasks_blocked(0.01)
        gate.open.set()


async def test_a_sync_waits_in_vain_once_and_alone_nobody_waits(
    fs: vfs.FileSystem, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "GATHER_SHARE", 1e9)
    monkeypatch.setattr(committer_module, "GATHER_SECONDS", 0.01)
    committer = Committer(fs)
    await commit_of_five(committer, fs, gate)
    fs.write_bytes("/file", b"of one, who waits for the others")
    await committer.commit()
    monkeypatch.setattr(committer_module, "GATHER_SECONDS", 100.0)
    with trio.fail_after(80):
        for number in range(3):
            fs.write_bytes("/file", b"of one %d" % number)
            await committer.commit()
    assert gate.syncs == 5


async def test_who_gives_up_while_a_sync_waits_for_others_leaves_it_to_them(
    fs: vfs.FileSystem, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer = Committer(fs)
    await commit_of_five(committer, fs, gate)
    monkeypatch.setattr(committer_module, "GATHER_SHARE", 1e9)
    monkeypatch.setattr(committer_module, "GATHER_SECONDS", 100.0)
    fs.write_bytes("/file", b"once more")
    with trio.fail_after(80):
        async with trio.open_nursery() as others, trio.open_nursery() as first:
            first.start_soon(committer.commit)
            await trio.testing.wait_all_tasks_blocked(0.01)
            for _ in range(5):  # with the one that goes they are as many as before, and more
                others.start_soon(committer.commit)
            first.cancel_scope.cancel()
    assert fs.log.synced_lsn == fs.log.last_lsn
