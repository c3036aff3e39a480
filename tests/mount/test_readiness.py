"""Waiting for a request: by looking while that pays, by sleeping otherwise, and never for others' turns."""

import socket
from collections.abc import Callable, Iterator
from itertools import count, pairwise

import pytest
import trio
import trio.testing

from vfs.mount import readiness
from vfs.mount.readiness import BURST_SECONDS, MOST_SKIPPED, NOTHING, SPIN_SECONDS, Readiness

REQUEST = b"r"


class Kernel:
    """A descriptor on which requests come, and a clock that goes on only when somebody looks at it."""

    def __init__(self) -> None:
        self._requests, self._descriptor = socket.socketpair()
        self._descriptor.setblocking(False)
        self.number = self._descriptor.fileno()
        self.spins = 0
        """How often somebody began to look again and again."""
        self.quiet = True

    def asks(self, number: int = 1) -> None:
        self._requests.send(REQUEST * number)

    def take(self) -> None:
        assert self._descriptor.recv(1) == REQUEST

    def is_quiet(self) -> bool:
        self.spins += self.quiet
        return self.quiet

    def close(self) -> None:
        self._requests.close()
        self._descriptor.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Has each look at the clock take so many seconds."""
    now, step = 0.0, SPIN_SECONDS / 10

    def monotonic() -> float:
        nonlocal now
        now += step
        return now

    def each_look_takes(seconds: float) -> None:
        nonlocal step
        step = seconds

    monkeypatch.setattr(readiness, "monotonic", monotonic)
    return each_look_takes


async def woken(waiting: Readiness, kernel: Kernel) -> None:
    """Wait for a request that comes when the waiting one sleeps."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait, waiting, kernel)
        await trio.testing.wait_all_tasks_blocked()
        kernel.asks()


async def _wait(waiting: Readiness, kernel: Kernel) -> None:
    with trio.fail_after(60):
        await waiting.wait_readable(kernel.number)
    kernel.take()


@pytest.mark.usefixtures("tick")
async def test_what_is_there_is_taken_without_a_turn_of_the_loop(kernel: Kernel) -> None:
    waiting = Readiness(kernel.is_quiet)
    await woken(waiting, kernel)
    kernel.asks(2)
    for _ in range(2):
        assert waiting.wait_readable(kernel.number) is NOTHING
        kernel.take()


@pytest.mark.usefixtures("tick")
async def test_what_comes_while_it_looks_is_taken_too(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Readiness(kernel.is_quiet)
    for _ in range(2):  # it looks in vain, then not again and again
        await woken(waiting, kernel)
    looks = count()
    there = Readiness._is_there
    monkeypatch.setattr(Readiness, "_is_there", lambda self: next(looks) == 3 and _asked(kernel, there(self)))
    assert waiting.wait_readable(kernel.number) is NOTHING
    kernel.take()


def _asked(kernel: Kernel, was_there: bool) -> bool:
    assert not was_there
    kernel.asks()
    return True


async def test_it_sleeps_when_nothing_comes_and_looks_less_and_less_often(
    kernel: Kernel, tick: Callable[[float], None]
) -> None:
    waiting = Readiness(kernel.is_quiet)
    tick(SPIN_SECONDS / 2)
    for _ in range(10 * MOST_SKIPPED):
        await woken(waiting, kernel)
    assert 10 <= kernel.spins <= 10 + MOST_SKIPPED.bit_length()


@pytest.mark.usefixtures("tick")
async def test_it_looks_again_and_again_when_that_pays_again(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Readiness(kernel.is_quiet)
    for _ in range(3 * MOST_SKIPPED):
        await woken(waiting, kernel)
    tried = kernel.spins
    there = Readiness._is_there
    looks = count()

    def comes_at_the_second_look(self: Readiness) -> bool:
        if next(looks) % 2:
            kernel.asks()
        return there(self)

    with monkeypatch.context() as paying:
        paying.setattr(Readiness, "_is_there", comes_at_the_second_look)
        for _ in range(10 * MOST_SKIPPED):
            await _wait_and_ask(waiting, kernel)
    assert kernel.spins - tried > 3 * MOST_SKIPPED
    tried = kernel.spins
    for _ in range(4):
        await woken(waiting, kernel)
    assert kernel.spins - tried >= 2, "what was in vain long ago is forgotten"


async def _wait_and_ask(waiting: Readiness, kernel: Kernel) -> None:
    """Wait for a request that comes, at the latest, when the waiting one sleeps."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait, waiting, kernel)
        await trio.testing.wait_all_tasks_blocked()
        if nursery.child_tasks:
            kernel.asks()


async def test_it_sleeps_at_once_while_something_else_is_waited_for(
    kernel: Kernel, tick: Callable[[float], None]
) -> None:
    waiting = Readiness(kernel.is_quiet)
    kernel.quiet = False
    tick(0)  # if it looked until the clock says so, it would do so for ever
    for _ in range(3):
        await woken(waiting, kernel)


async def test_other_tasks_have_their_turn_beside_a_stream_of_requests(
    kernel: Kernel, tick: Callable[[float], None]
) -> None:
    """A request takes a tenth of a burst here, and the next one is always there."""
    waiting = Readiness(kernel.is_quiet)
    tick(BURST_SECONDS / 10)
    kernel.asks(1000)
    taken = 0
    seen = []

    async def beside() -> None:
        while taken < 1000:
            seen.append(taken)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beside)
        for _ in range(1000):
            await _wait(waiting, kernel)
            taken += 1
    steps = [after - before for before, after in pairwise(seen)]
    assert 2 <= max(steps) <= 24  # two bursts, when trio has them begin in the other order


async def test_a_wait_is_cancelled_and_told_of_the_end_as_one_of_trio(kernel: Kernel) -> None:
    waiting = Readiness(kernel.is_quiet)
    with trio.move_on_after(0.01) as scope:
        await waiting.wait_readable(kernel.number)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_closed, waiting, kernel)
        await trio.testing.wait_all_tasks_blocked()
        waiting.notify_closing(kernel.number)


async def test_the_end_is_told_to_who_does_not_sleep_just_now(kernel: Kernel) -> None:
    """Whoever lets others have their turn hears of what one of them says."""
    waiting = Readiness(kernel.is_quiet)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_closed, waiting, kernel)
            nursery.start_soon(_close, waiting, kernel)


async def _close(waiting: Readiness, kernel: Kernel) -> None:
    waiting.notify_closing(kernel.number)


async def _until_closed(waiting: Readiness, kernel: Kernel) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await waiting.wait_readable(kernel.number)
