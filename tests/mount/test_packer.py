"""When packing happens beside requests, in what order, and what ends it. The file system is a script here."""

import itertools
import threading
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.mount.packer_script import Script, Work
from tests.waiting import until
from vfs.errors import ChunkDamaged, MountError, NoSpace
from vfs.mount.packer import Packer


def packer_of(script: Any, *, automatic: bool = True) -> Packer:
    return Packer(script, script, automatic=automatic)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.mount.packer.LOOK_SECONDS", 0.01)


@asynccontextmanager
async def running(packer: Packer):
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(packer.run)
            yield
            nursery.cancel_scope.cancel()


async def test_what_is_due_is_packed_and_then_chunks_go() -> None:
    script = Script(2)
    async with running(packer_of(script)):
        await until(lambda: "checkpoint anyway" in script.done)
    assert script.done == ["begin", "run", "commit", "end"] * 2 + ["checkpoint anyway"]


async def test_what_is_not_in_the_index_yet_is_brought_there_first() -> None:
    script = Script(0)
    script.pack_wants_checkpoint = True
    async with running(packer_of(script)):
        await until(lambda: "checkpoint" in script.done)
        script.pack_wants_checkpoint = False


async def test_nothing_is_packed_where_that_is_not_wanted() -> None:
    script = Script(1)
    async with running(packer_of(script, automatic=False)):
        await trio.sleep(0.1)
    read_only = Script(1)
    read_only.read_only = True
    async with running(packer_of(read_only)):
        await trio.sleep(0.1)
    assert script.done == read_only.done == []


async def test_a_flush_packs_everything_between_two_checkpoints() -> None:
    script = Script(3)
    told: list[tuple[int, int]] = []
    packer = packer_of(script, automatic=False)
    packed = await packer.flush(lambda done, total, what: told.append((done, total)))
    assert packed == 300
    assert told == [(100, 300), (200, 300), (300, 300)]
    assert script.done == [
        "checkpoint",
        "seal",
        *["begin all", "run", "commit", "end"] * 3,
        *["begin all", "run", "abandon"],
        "checkpoint anyway",
    ]


async def test_a_pass_in_the_background_gives_way_and_one_that_was_asked_for_does_not() -> None:
    rests: list[float] = []

    def busily(work: Work) -> None:
        """Pieces of work, until there is a rest; none is to be had where the pass is to go on and on."""
        rest = 0.0
        while work.give_way is not None and not rest and not work.cancelled:
            time.sleep(0.002)
            rest = work.give_way()
        rests.append(rest)

    script = Script(2)
    script.run = busily
    async with running(packer_of(script)):
        with trio.fail_after(60):
            while len(rests) < 2:  # as clients do that ask all the time
                await trio.lowlevel.checkpoint()
    assert all(rests)
    script.left = 2
    await packer_of(script).flush(lambda done, total, text: None)
    flushed = len(rests)
    script.left = script.presses = 2
    await packer_of(script).collect(dry_run=False, on_progress=lambda done, total, text: None)
    assert len(rests) > flushed, "there are passes amid a collection too"
    assert set(rests[2:]) == {0.0}


async def test_a_pass_does_not_give_way_when_somebody_waits_for_its_end() -> None:
    script = Script(1)
    packer = packer_of(script)
    assert packer._leisure() == 1.0
    script.pack_leisure = 0.25
    assert packer._leisure() == 0.25
    async with packer.exclusive, trio.open_nursery() as nursery:
        nursery.start_soon(packer.flush, lambda done, total, text: None)
        await trio.testing.wait_all_tasks_blocked()
        assert packer._leisure() == 0.0
        packer.exclusive.release()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await packer.exclusive.acquire()


async def test_passes_do_not_overlap() -> None:
    script = Script(4)
    packer = packer_of(script)
    async with running(packer):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(packer.flush, lambda done, total, what: None)
    steps = [step for step in script.done if not step.startswith("checkpoint")]
    for step, following in itertools.pairwise(steps):
        if step.startswith("begin"):
            assert following == "run"
        if step == "commit":
            assert following == "end"


async def test_the_end_tells_the_thread_of_a_pass_and_gives_it_up() -> None:
    script = Script(1)
    started = threading.Event()

    def wait_until_cancelled(work: Work) -> None:
        started.set()
        for _ in range(6000):
            if work.cancelled:
                return
            threading.Event().wait(0.01)
        pytest.fail("nobody said that it is over")

    script.run = wait_until_cancelled
    async with running(packer_of(script)):
        await until(started.is_set)
    assert script.done == ["begin", "run", "abandon"]


async def test_who_asked_for_all_is_not_told_that_it_is_done_when_the_store_closes() -> None:
    script = Script(3)
    packer = packer_of(script, automatic=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(packer.run)

        def close(work: Work) -> None:
            trio.from_thread.run_sync(nursery.cancel_scope.cancel)
            while not work.cancelled:
                threading.Event().wait(0.01)

        script.run = close
        with trio.CancelScope(shield=True), pytest.raises(MountError, match="being closed"):
            await packer.flush(lambda done, total, what: None)
    assert script.done[-1] == "abandon"


async def test_the_steps_of_a_collection() -> None:
    script = Script(2)
    packer = packer_of(script, automatic=False)
    report: object = await packer.collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert report == "report"
    rounds = ["look", "commit", "end"] * 2 + ["look"]
    ending = ["checkpoint anyway", "log", "index"]
    assert script.done == ["checkpoint anyway", "prune", "begin eager", *rounds, *ending]


async def test_a_collection_lets_passes_in_between_its_rounds() -> None:
    script = Script(4)
    script.presses = 2
    await packer_of(script).collect(dry_run=False, on_progress=lambda done, total, what: None)
    one_pass = ["begin", "run", "commit", "end"]
    in_between = ["checkpoint", *one_pass, *one_pass, "checkpoint anyway", "resume"]
    rounds = ["look", "commit", "end", *in_between, "look", "commit", "end", "look"]
    assert script.done == [
        "checkpoint anyway",
        "prune",
        "begin eager",
        *rounds,
        "checkpoint anyway",
        "log",
        "index",
    ]


async def test_a_collection_without_packing_in_the_background_lets_none_in() -> None:
    script = Script(2)
    script.presses = 2
    await packer_of(script, automatic=False).collect(dry_run=False, on_progress=lambda *_: None)
    assert "run" not in script.done


async def test_a_dry_run_only_looks() -> None:
    script = Script(0)
    await packer_of(script).collect(dry_run=True, on_progress=lambda done, total, what: None)
    assert script.done == ["checkpoint anyway", "estimate", "begin eager", "look"]


async def test_a_collection_that_fails_is_given_up() -> None:
    script = Script(2)

    def full() -> None:
        raise NoSpace("full")

    script.commit = full
    with pytest.raises(NoSpace):
        await packer_of(script).collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert script.done[-2:] == ["commit", "abandon"]


async def test_a_thin_log_is_packed_before_a_collection() -> None:
    script = Script(1)
    script.log_is_thin = True
    await packer_of(script).collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert script.done.index("seal") < script.done.index("begin all") < script.done.index("begin eager")


async def test_what_is_worth_collecting_is_collected() -> None:
    script = Script(0)
    script.gc_due = True
    async with running(packer_of(script)):
        await until(lambda: "index" in script.done)
    assert "begin" in script.done


async def test_a_collection_that_the_end_cuts_short_is_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script(1)
    script.left = 0
    script.gc_due = True
    async with trio.open_nursery() as nursery:

        def close(work: Work) -> None:
            trio.from_thread.run_sync(nursery.cancel_scope.cancel)
            while not work.cancelled:
                threading.Event().wait(0.01)

        script.run = close
        await nursery.start(packer_of(script).run)
    assert script.done[-1] == "abandon"
    assert not caplog.records


async def test_a_full_disk_puts_it_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.background.FULL_SECONDS", 1000.0)
    script = Script(1)

    def full() -> None:
        raise NoSpace("full")

    script.commit = full
    async with running(packer_of(script)):
        await until(lambda: bool(caplog.records))
        await trio.sleep(0.05)
        assert script.done == ["begin", "run", "commit", "abandon"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_full_disk_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.background.FULL_SECONDS", 0.01)
    script = Script(1)

    def full() -> None:
        raise NoSpace("full")

    script.commit = full
    async with running(packer_of(script)):
        await until(lambda: script.done.count("abandon") == 3)
        script.commit = lambda: None
        await until(lambda: "end" in script.done)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_full_disk_keeps_nothing_from_being_collected() -> None:
    script = Script(1)
    script.gc_due = True

    def full() -> None:
        raise NoSpace("full")

    script.commit = full
    async with running(packer_of(script)):
        await until(lambda: "look" in script.done)
    assert "end" not in script.done


async def test_a_thin_log_that_has_no_room_to_be_packed_does_not_stop_a_collection() -> None:
    script = Script(1)
    script.log_is_thin = True

    def full(work: Work) -> None:
        if work in script.works:  # a pass, no collection
            raise NoSpace("full")

    script.run = full
    await packer_of(script).collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert "index" in script.done


@pytest.mark.parametrize("error", [ChunkDamaged(3, 64, "wrong"), RuntimeError("a fault of ours")])
async def test_other_failures_end_neither_the_packer_nor_the_mount(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.background.RETRY_SECONDS", 0.05)
    script = Script(1)

    def fail(work: Work) -> None:
        raise error

    script.run = fail
    async with running(packer_of(script)):
        await until(lambda: script.done.count("abandon") == 2)
        script.run = lambda work: None
        await until(lambda: "end" in script.done)
    assert {record.levelname for record in caplog.records} == {"ERROR"}


async def test_a_failed_store_is_left_alone() -> None:
    script = Script(1)
    script.failed = RuntimeError("poisoned")  # type: ignore[assignment]
    async with running(packer_of(script)):
        await trio.sleep(0.1)
    assert script.done == []
