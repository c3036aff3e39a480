"""Turns at reading: one reads on while nobody has to wait, another one reads while somebody does."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pyfuse3
import pytest
import trio
import trio.testing

from vfs.mount.reading import ReadingTurn, taking_turns

REQUEST = b"r"

Answer = Callable[[str], Awaitable[None]]


class Kernel:
    """Requests of one byte each, and the tasks that read them the way pyfuse3 does."""

    def __init__(self) -> None:
        self._requests, self._descriptor = socket.socketpair()
        self._descriptor.setblocking(False)
        self.read: list[str] = []
        """Who has read each request."""
        self.ended: list[str] = []

    def asks(self, number: int = 1) -> None:
        self._requests.send(REQUEST * number)

    def goes_away(self) -> None:
        trio.lowlevel.notify_closing(self._descriptor)

    def close(self) -> None:
        self._requests.close()
        self._descriptor.close()

    async def worker(self, name: str, answer: Answer) -> None:
        """The loop of a task of pyfuse3, with what it takes from `pyfuse3.trio`."""
        lock = pyfuse3.trio.Lock()  # type: ignore[attr-defined]
        try:
            while True:
                async with lock:
                    await pyfuse3.trio.lowlevel.wait_readable(self._descriptor.fileno())  # type: ignore[attr-defined]
                self._descriptor.recv(1)
                self.read.append(name)
                await answer(name)
        except trio.ClosedResourceError:
            self.ended.append(name)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@asynccontextmanager
async def workers(kernel: Kernel, answer: Answer, *names: str) -> AsyncIterator[trio.Nursery]:
    """Tasks that read, begun in this order, with a turn of their own; gone when this ends."""
    with taking_turns(lambda: False, ReadingTurn()):
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(kernel.worker, name, answer)
                await trio.testing.wait_all_tasks_blocked()
            yield nursery
            nursery.cancel_scope.cancel()


async def at_once(_: str) -> None:
    """A request that is answered without waiting."""


async def test_whoever_answers_at_once_keeps_the_turn(kernel: Kernel) -> None:
    async with workers(kernel, at_once, "first", "second"):
        for _ in range(3):
            kernel.asks(2)
            await trio.testing.wait_all_tasks_blocked()
    assert kernel.read == ["first"] * 6


async def test_while_one_waits_another_one_reads(kernel: Kernel) -> None:
    disk = trio.Event()

    async def first_waits(name: str) -> None:
        if name == "first":
            await disk.wait()

    async with workers(kernel, first_waits, "first", "second"):
        kernel.asks(3)
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.read == ["first", "second", "second"]
        disk.set()
        kernel.asks()
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.read[3:] == ["second"], "and goes on doing so"


async def test_all_wait_and_the_first_that_comes_back_reads(kernel: Kernel) -> None:
    disks = {"first": trio.Event(), "second": trio.Event()}

    async def wait(name: str) -> None:
        await disks[name].wait()

    async with workers(kernel, wait, "first", "second"):
        kernel.asks(3)
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.read == ["first", "second"]
        disks["first"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.read[2:] == ["first"]


async def test_one_that_is_cancelled_in_the_line_takes_no_turn(kernel: Kernel) -> None:
    disk = trio.Event()

    async def first_waits(name: str) -> None:
        if name == "first":
            await disk.wait()

    async with workers(kernel, first_waits, "first", "second") as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(_within, scope, kernel.worker, "third", first_waits)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        kernel.asks(2)
        await trio.testing.wait_all_tasks_blocked()
        assert kernel.read == ["first", "second"]


async def _within(
    scope: trio.CancelScope, worker: Callable[[str, Answer], Awaitable[None]], name: str, answer: Answer
) -> None:
    with scope:
        await worker(name, answer)


async def test_one_that_ends_leaves_the_turn_to_the_next(kernel: Kernel) -> None:
    async with workers(kernel, at_once, "first", "second", "third"):
        for _ in range(3):
            kernel.goes_away()
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(kernel.ended) == ["first", "second", "third"]


async def test_pyfuse3_has_trio_itself_before_and_after() -> None:
    with taking_turns(lambda: False, ReadingTurn()):
        assert pyfuse3.trio is not trio  # type: ignore[attr-defined]
    assert pyfuse3.trio is trio  # type: ignore[attr-defined]
