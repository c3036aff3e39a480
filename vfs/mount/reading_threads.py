"""Cold reads in threads of their own, a bounded number of them, and of bytes that they hold.

Promises that reads begin in the order in which they came, that one that is larger than the bound is done
alone, and that a slow disk holds up nothing but reads. Never looks at what is read.

The way there and back takes two thirds of the processor time of `trio.to_thread`: see idle_threads.py
(docs/performance.md).
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import trio

from vfs.limits import MIB
from vfs.mount.idle_threads import IdleThreads

T = TypeVar("T")

THREADS = 32
"""Reads at a time."""

BYTES = 8 * MIB
"""What those may have asked for together: it is in memory in parts and as a whole until it is answered."""


class Answer(Generic[T]):
    """What a thread finds for the task that asked."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._found: list[T] = []
        self._error: BaseException | None = None

    def find(self, tell: Callable[[], None]) -> None:
        """Read, and tell that it is done; in the thread."""
        try:
            self._found.append(self._read())
        except BaseException as error:
            self._error = error
        with suppress(trio.RunFinishedError):  # nobody is left to be told
            tell()

    def result(self) -> T:
        """What was found, or raised; once."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._found.pop()


def _wait_all_the_same(_: object) -> trio.lowlevel.Abort:
    """A thread cannot be cancelled, and what it reads must stay until it has."""
    return trio.lowlevel.Abort.FAILED


class ReadingThreads:
    """Lives in the trio thread."""

    def __init__(self) -> None:
        self._threads = THREADS
        self._bytes = BYTES
        """Room for as many more; below 0 while a larger read is alone."""
        self._waiting: deque[tuple[trio.Event, int]] = deque()
        """INVARIANT: there is no room for the first of them."""
        self._pool = IdleThreads("vfs-read")

    async def run(self, read: Callable[[], T], size_bytes: int) -> T:
        """What `read` returns, from a thread, or what it raises."""
        await self._enter(size_bytes)
        try:
            return await self._hear(read)
        finally:
            self._leave(size_bytes)

    # --- whose turn it is -------------------------------------------------------------------

    async def _enter(self, size_bytes: int) -> None:
        if not self._waiting and self._fits(size_bytes):
            self._take(size_bytes)
            return
        turn = trio.Event()
        self._waiting.append((turn, size_bytes))
        try:
            await turn.wait()  # whoever ends it has taken the room for us
        except trio.Cancelled:
            if turn.is_set():
                self._leave(size_bytes)
            else:
                self._waiting.remove((turn, size_bytes))
                self._admit()
            raise

    def _fits(self, size_bytes: int) -> bool:
        return self._threads > 0 and (size_bytes <= self._bytes or self._bytes == BYTES)

    def _take(self, size_bytes: int) -> None:
        self._threads -= 1
        self._bytes -= size_bytes

    def _leave(self, size_bytes: int) -> None:
        self._threads += 1
        self._bytes += size_bytes
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            turn, size_bytes = self._waiting.popleft()
            self._take(size_bytes)
            turn.set()

    # --- threads ----------------------------------------------------------------------------

    async def _hear(self, read: Callable[[], T]) -> T:
        """Have it done, and wait for it however long it takes."""
        answer = Answer(read)
        heard = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
        tell = partial(trio.lowlevel.current_trio_token().run_sync_soon, heard)
        self._pool.put(partial(answer.find, tell), threads=THREADS - self._threads)
        await trio.lowlevel.wait_task_rescheduled(_wait_all_the_same)
        return answer.result()
