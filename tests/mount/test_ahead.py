"""Reading ahead in the background: every plan is ended, few wait, and no reader does."""

import threading
from typing import Any

import trio
import trio.testing

from vfs.contents import ReadPlan
from vfs.errors import IndexDamaged
from vfs.inode.extents import BlobRange
from vfs.mount.ahead import MOST_WAITING, THREADS, ReadAhead


class Script:
    """Stands in for a file system whose decoding waits for `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.decoded: list[int] = []
        self.ended: list[int] = []
        self.epochs: Any = self
        self.entered = 100
        self.error: Exception | None = None

    def enter(self) -> int:
        self.entered += 1
        return self.entered

    def run_ahead(self, plan: ReadPlan) -> None:
        assert self.gate.wait(60)
        self.decoded.append(plan.epoch)
        if self.error is not None:
            raise self.error

    def end_read(self, plan: ReadPlan) -> None:
        self.ended.append(plan.epoch)


def plan_of(number: int) -> ReadPlan:
    return ReadPlan([], 0, number, (BlobRange(1, number, 0),))


def reader_of(script: Any) -> ReadAhead:
    return ReadAhead(script)


async def test_few_plans_wait_and_the_oldest_is_given_up() -> None:
    script = Script()
    ahead = reader_of(script)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        for number in range(10):
            ahead.want(plan_of(number))
            await trio.testing.wait_all_tasks_blocked(0.01)
        script.gate.set()
        with trio.fail_after(60):
            while len(script.ended) < 10:  # noqa: ASYNC110 - a script to look at
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert sorted(script.ended) == list(range(10))
    assert script.decoded == [*range(THREADS), *range(10 - MOST_WAITING, 10)]


async def test_what_follows_a_plan_is_decoded_for_itself() -> None:
    script = Script()
    script.gate.set()
    ahead = reader_of(script)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        ahead.follow(ReadPlan([], 5, 7))
        ahead.follow(plan_of(8))
        with trio.fail_after(60):
            while not script.ended:  # noqa: ASYNC110 - a script to look at
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert script.decoded == script.ended == [101], "an epoch of its own: whoever reads ends the other"


async def test_the_end_and_a_failure_leave_no_plan_behind() -> None:
    script = Script()
    script.error = IndexDamaged("a fault made for a test")
    script.gate.set()
    ahead = reader_of(script)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        ahead.want(plan_of(1))
        with trio.fail_after(60):
            while not script.ended:  # noqa: ASYNC110 - a script to look at
                await trio.sleep(0.01)
        script.gate.clear()
        ahead.want(plan_of(2))
        await trio.testing.wait_all_tasks_blocked(0.01)
        ahead.want(plan_of(3))
        script.gate.set()
        nursery.cancel_scope.cancel()
    assert sorted(script.ended) == [1, 2, 3]
