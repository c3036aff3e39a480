"""When pruning happens beside requests, and what it lets others do. The file system is a script here."""

from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.mount.packer_script import Script
from tests.waiting import until
from vfs.errors import NoSpace
from vfs.mount.packer import Packer
from vfs.mount.pruner import Pruner


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.mount.pruner.LOOK_SECONDS", 0.01)


@asynccontextmanager
async def running(script: Any):
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Pruner(script, script).run)
            yield
            nursery.cancel_scope.cancel()


def due(slices: int) -> Script:
    script = Script(0)
    script.to_prune, script.prune_due = slices, True
    return script


async def test_all_slices_are_taken_and_then_chunks_go() -> None:
    script = due(3)
    async with running(script):
        await until(lambda: "checkpoint anyway" in script.done)
    assert script.done == ["prune"] * 3 + ["checkpoint anyway"]


async def test_what_is_hidden_is_not_looked_for_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.mount.pruner.HIDDEN_PAUSES", 1e9)
    script = due(1)
    async with running(script):
        await until(lambda: len(script.looks) == 1 and not script.prune_due)
        script.to_prune, script.prune_due = 1, True
        await until(lambda: len(script.looks) == 2)
    assert script.looks == [True, False]


async def test_nothing_happens_when_nothing_is_due() -> None:
    script = due(1)
    script.prune_due = False
    async with running(script):
        await trio.sleep(0.1)
    assert script.done == []


async def test_a_checkpoint_comes_between_two_slices() -> None:
    """It waits for one slice and not for all of them."""
    script = due(1_000_000)
    async with running(script):
        await until(lambda: "prune" in script.done)
        before = len(script.done)
        await script.checkpoint()
        assert script.done[before:].count("prune") <= 1


async def test_no_slice_runs_while_a_checkpoint_is_under_way() -> None:
    script = due(1_000_000)
    async with running(script):
        await until(lambda: "prune" in script.done)
        async with script.checkpointing:
            before = list(script.done)
            await trio.sleep(0.1)
            assert script.done == before


async def test_a_full_disk_puts_it_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vfs.mount.background.FULL_SECONDS", 0.01)
    script = due(1_000_000)
    tries: list[int] = []

    def full() -> None:
        tries.append(1)
        raise NoSpace("full")

    script.prune = full
    async with running(script):
        await until(lambda: len(tries) > 2)
        script.prune = lambda: None
        await until(lambda: script.done[-1] == "prune")
    assert [record.getMessage() for record in caplog.records] == ["pruning put off: full"]


async def test_a_collection_goes_on_where_nothing_can_be_pruned(caplog: pytest.LogCaptureFixture) -> None:
    script: Any = Script(1)

    def full() -> None:
        raise NoSpace("full")

    script.prune = full
    packer = Packer(script, script, automatic=False)
    await packer.collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert script.done[-1] == "index"
    assert "rows of deleted snapshots stay for now: full" in caplog.text
