"""The thread of syncs: what it was asked for is done, heard and told, whatever happens to whom."""

import gc
import os
import threading
import weakref
from functools import partial

import pytest
import trio
import trio.testing

from tests.waiting import PATIENCE_SECONDS, until
from vfs.mount import idle_threads
from vfs.mount.sync_thread import SyncThread


async def test_jobs_run_elsewhere_one_after_the_other() -> None:
    thread = SyncThread()
    idents: list[int] = []
    for _ in range(100):
        await thread.run(lambda: idents.append(threading.get_ident()))
    assert len(idents) == 100
    assert len(set(idents)) == 1
    assert threading.get_ident() not in idents


async def test_what_a_job_raises_is_raised_once_where_it_was_asked_for() -> None:
    thread = SyncThread()
    for error in (OSError(5, "the disk is gone"), ValueError("a bug")):
        with pytest.raises(type(error)) as raised:
            await thread.run(partial(_fail, error))
        assert raised.value is error
        await thread.run(lambda: None)


def _fail(error: Exception) -> None:
    raise error


async def test_requests_go_on_while_a_job_waits_and_nobody_leaves_it_behind() -> None:
    thread, gate = SyncThread(), threading.Event()
    done: list[str] = []

    async def ask() -> None:
        await thread.run(lambda: done.append("the disk") if gate.wait(PATIENCE_SECONDS) else None)
        done.append("who asked")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not done
        gate.set()
    assert done == ["the disk", "who asked"]
    await thread.run(lambda: done.append("the next"))
    assert done[-1] == "the next"


async def test_nothing_is_kept_of_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = SyncThread()
    job = partial(_nothing)
    gone = weakref.ref(job)
    await thread.run(job)
    del job
    await until(lambda: gone() is None)  # long before the thread ends

    monkeypatch.setattr(idle_threads, "IDLE_SECONDS", 0.01)
    before = set(os.listdir("/proc/self/fd"))
    thread = SyncThread()
    await thread.run(_nothing)
    del thread
    await until(lambda: gc.collect() >= 0 and set(os.listdir("/proc/self/fd")) <= before)


def _nothing() -> None:
    pass
