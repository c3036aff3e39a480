"""Cold reads in threads: so many at a time, so many bytes at a time, and in the order in which they came."""

import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from vfs.limits import MIB
from vfs.mount.reading_threads import BYTES, THREADS, ReadingThreads


class Disk:
    """Reads that are over when they are told so."""

    def __init__(self) -> None:
        self.reading = ReadingThreads()
        self.begun: list[int] = []
        self.answered: list[int] = []
        self._gates: dict[int, threading.Event] = {}

    def _read(self, number: int) -> int:
        self.begun.append(number)
        assert self._gates[number].wait(60)
        return number

    async def read(self, number: int, size_bytes: int) -> None:
        self.answered.append(await self.reading.run(lambda: self._read(number), size_bytes))

    def ask(self, nursery: trio.Nursery, number: int, size_bytes: int) -> None:
        self._gates[number] = threading.Event()
        nursery.start_soon(self.read, number, size_bytes)

    def end(self, number: int) -> None:
        self._gates[number].set()

    async def until_begun(self, *numbers: int) -> None:
        """These, and no others that could have begun, have begun."""
        with trio.fail_after(60):
            while len(self.begun) < len(numbers):  # noqa: ASYNC110 - threads tell nobody
                await trio.sleep(0.001)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(self.begun) == sorted(numbers)


@asynccontextmanager
async def disk() -> AsyncIterator[tuple[Disk, trio.Nursery]]:
    made = Disk()
    async with trio.open_nursery() as nursery:
        yield made, nursery
    assert made.reading._bytes == BYTES
    assert made.reading._threads == THREADS


async def test_small_reads_wait_for_a_thread_only() -> None:
    async with disk() as (reads, nursery):
        for number in range(THREADS + 2):
            reads.ask(nursery, number, 4096)
            await trio.testing.wait_all_tasks_blocked()
        await reads.until_begun(*range(THREADS))
        reads.end(5)
        await reads.until_begun(*range(THREADS + 1))
        for number in range(THREADS + 2):
            reads.end(number)
    assert sorted(reads.answered) == list(range(THREADS + 2))


async def test_large_reads_wait_for_room_and_keep_their_turn() -> None:
    async with disk() as (reads, nursery):
        half = BYTES // 2
        for number, size_bytes in enumerate((half, half, MIB, half, 4096)):
            reads.ask(nursery, number, size_bytes)
            await trio.testing.wait_all_tasks_blocked()
        await reads.until_begun(0, 1)
        reads.end(1)
        await reads.until_begun(0, 1, 2)  # the next one does not fit, and the last one waits behind it
        reads.end(2)
        await reads.until_begun(0, 1, 2, 3)
        reads.end(0)
        await reads.until_begun(0, 1, 2, 3, 4)
        reads.end(3)
        reads.end(4)


async def test_a_read_beyond_the_bound_is_alone() -> None:
    async with disk() as (reads, nursery):
        for number, size_bytes in enumerate((4096, 2 * BYTES, 4096)):
            reads.ask(nursery, number, size_bytes)
            await trio.testing.wait_all_tasks_blocked()
        await reads.until_begun(0)
        reads.end(0)
        await reads.until_begun(0, 1)
        reads.end(1)
        await reads.until_begun(0, 1, 2)
        reads.end(2)


async def test_who_gives_up_waiting_leaves_the_room_to_others() -> None:
    async with disk() as (reads, nursery):
        reads.ask(nursery, 0, BYTES)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as impatient:
            reads.ask(impatient, 1, BYTES)
            await trio.testing.wait_all_tasks_blocked()
            reads.ask(nursery, 2, 4096)
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        reads.end(0)
        await reads.until_begun(0, 2)
        reads.end(2)


async def test_what_a_read_raises_is_raised_and_the_next_one_is_done() -> None:
    reading = ReadingThreads()

    def fail() -> None:
        raise OSError(5, "a bad sector")

    for _ in range(THREADS + 1):
        with pytest.raises(OSError, match="a bad sector"):
            await reading.run(fail, 1)
    assert await reading.run(lambda: "data", 1) == "data"


async def test_nobody_leaves_a_read_behind_and_nothing_is_kept_of_it() -> None:
    reading, gate = ReadingThreads(), threading.Event()

    class Data:
        pass

    def read() -> Data:
        assert gate.wait(60)
        return Data()

    gone: list[weakref.ref[Data]] = []

    async def ask() -> None:
        gone.append(weakref.ref(await reading.run(read, 1)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert not gone
        gate.set()
    assert len(gone) == 1, "it waited for the thread"
    with trio.fail_after(60):
        while gone[0]() is not None:  # noqa: ASYNC110 - long before the thread ends
            await trio.sleep(0.001)
