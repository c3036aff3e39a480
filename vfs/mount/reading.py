"""How the tasks of pyfuse3 take turns at reading requests of the kernel.

One task reads while others answer, and the next one waits for its turn with a lock of trio. pyfuse3 takes
that lock, as all that it needs of trio, from `pyfuse3.trio`, which its own `pyfuse3.asyncio` replaces too.
Trio's lock would wake the next task with each request, although most are answered at once and whoever read
one comes back for the next. Here a task keeps its turn until it waits for something.

Promises that somebody reads whenever all others wait. Never reads itself, and never lets anybody read out of
turn.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType

import pyfuse3
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from vfs.mount.readiness import NOTHING, Readiness

SPARE_TASKS = 8
"""So many may wait for their turn, and need not be made and ended each time that as many requests wait for a
sync. Each has a buffer of 1 MiB, which takes memory for the largest request that it has read."""


class ReadingTurn(trio.abc.Instrument):
    """Whose turn it is to read, in the place of a `trio.Lock`.

    INVARIANT: after each step of a task the turn is taken if anybody waits for it.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Task] = deque()

    def __aenter__(self) -> Awaitable[None]:
        if self._taken:
            return self._wait_for_turn()
        self._taken = True
        return NOTHING

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        self._taken = False
        return NOTHING

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


_TURN = ReadingTurn()
"""One for all calls of `pyfuse3.main` in this process: it keeps the lock that it has made once."""


@contextmanager
def seen_by_pyfuse3(
    wait_readable: Callable[[int], Awaitable[None]] = trio.lowlevel.wait_readable,
    notify_closing: Callable[[int], None] = trio.lowlevel.notify_closing,
    turn: ReadingTurn = _TURN,
) -> Iterator[None]:
    """Have pyfuse3 find the turn where it looks for trio's lock. The first loop of a session makes the lock
    that all later ones use, so that loop has to run in here; as long as it has one task it needs no more."""
    lowlevel = SimpleNamespace(
        current_task=current_task,
        current_trio_token=trio.lowlevel.current_trio_token,
        notify_closing=notify_closing,
        wait_readable=wait_readable,
    )
    vars(pyfuse3)["trio"] = SimpleNamespace(
        ClosedResourceError=trio.ClosedResourceError,
        Lock=lambda: turn,
        lowlevel=lowlevel,
        open_nursery=trio.open_nursery,
    )
    try:
        yield
    finally:
        vars(pyfuse3)["trio"] = trio


@contextmanager
def taking_turns(quiet: Callable[[], bool], turn: ReadingTurn = _TURN) -> Iterator[None]:
    """Have pyfuse3 use the turn while its `main` runs. To be entered in the loop of trio.

    `quiet` says whether no request waits for anything."""
    readiness = Readiness(quiet)
    trio.lowlevel.add_instrument(turn)
    try:
        with seen_by_pyfuse3(readiness.wait_readable, readiness.notify_closing, turn):
            yield
    finally:
        trio.lowlevel.remove_instrument(turn)
