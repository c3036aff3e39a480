"""How the tasks of pyfuse3 take turns at reading requests of the kernel.

One task reads while others answer, and the next one waits for its turn with a lock of trio. pyfuse3 takes
that lock, as all that it needs of trio, from `pyfuse3.trio`, which its own `pyfuse3.asyncio` replaces too.
Trio's lock would wake the next task with each request, although most are answered at once and whoever read
one comes back for the next; and trio would have epoll look for each request, which is often there already.
Here a task keeps its turn until it waits for something, and reads on while there is something to read.

Promises that somebody reads whenever all others wait, and that the loop comes to its other tasks after
`BURST_SECONDS` and one request. Never reads itself, and never lets anybody read out of turn.
"""

import ctypes
import select
from collections import deque
from collections.abc import Awaitable, Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import Any, cast

import pyfuse3
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

BURST_SECONDS = 0.0005
"""For so long requests that are there already are read one after the other; then other tasks have a turn."""


class _Nothing:
    """What is awaited where there is nothing to wait for."""

    def __await__(self) -> Generator[Any, None, None]:
        return _EXHAUSTED


_EXHAUSTED = cast("Generator[Any, None, None]", iter(()))
_NOTHING = _Nothing()


class _PollFd(ctypes.Structure):
    """`struct pollfd` of poll(2)."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


# It returns at once, so it keeps the interpreter: to get it back could take much longer than the call.
_poll = ctypes.PyDLL(None).poll


class ReadingTurn(trio.abc.Instrument):
    """Whose turn it is to read, in the place of a `trio.Lock`; and `trio.lowlevel.wait_readable`.

    INVARIANT: after each step of a task the turn is taken if anybody waits for it.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Task] = deque()
        self._burst_until = 0.0
        self._watched = _PollFd(-1, select.POLLIN, 0)
        self._watched_at = ctypes.byref(self._watched)

    def __aenter__(self) -> Awaitable[None]:
        if self._taken:
            return self._wait_for_turn()
        self._taken = True
        return _NOTHING

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        self._taken = False
        return _NOTHING

    async def _wait_for_turn(self) -> None:
        task = current_task()
        self._waiting.append(task)

        def abort(_: object) -> Abort:
            self._waiting.remove(task)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)

    def after_task_step(self, task: Task) -> None:
        """Trio calls this. Who had the turn and did not come back for it waits for something or has ended."""
        if self._waiting and not self._taken:
            self._taken = True
            reschedule(self._waiting.pop())  # the last one: its memory is in the processor's caches

    def wait_readable(self, descriptor: int) -> Awaitable[None]:
        """Return when a read would not wait. Trio's errors."""
        if monotonic() < self._burst_until:
            self._watched.fd = descriptor
            if _poll(self._watched_at, 1, 0) > 0:
                return _NOTHING
        return self._wait_readable(descriptor)

    async def _wait_readable(self, descriptor: int) -> None:
        await trio.lowlevel.wait_readable(descriptor)
        self._burst_until = monotonic() + BURST_SECONDS


_TURN = ReadingTurn()
"""One for all calls of `pyfuse3.main` in this process: it keeps the lock that it has made once."""


@contextmanager
def taking_turns(turn: ReadingTurn = _TURN) -> Iterator[None]:
    """Have pyfuse3 use the turn while its `main` runs. To be entered in the loop of trio."""
    lowlevel = SimpleNamespace(
        current_task=current_task,
        current_trio_token=trio.lowlevel.current_trio_token,
        notify_closing=trio.lowlevel.notify_closing,
        wait_readable=turn.wait_readable,
    )
    seen = SimpleNamespace(
        ClosedResourceError=trio.ClosedResourceError,
        Lock=lambda: turn,
        lowlevel=lowlevel,
        open_nursery=trio.open_nursery,
    )
    trio.lowlevel.add_instrument(turn)
    vars(pyfuse3)["trio"] = seen
    try:
        yield
    finally:
        vars(pyfuse3)["trio"] = trio
        trio.lowlevel.remove_instrument(turn)
