"""Waiting until the kernel has a request: first by looking, then by sleeping.

A process that works on a mount asks for the next thing as soon as it has its answer, mostly within 20 µs, and
to wake a thread that sleeps takes longer than most requests. So whoever waits looks again and again for a
moment (busy polling) before it sleeps. Promises to do so only while that has paid and nothing else is waited
for; to sleep when nothing comes for `SPIN_SECONDS`; and to let the loop's other tasks have their turn every
`BURST_SECONDS`.
"""

import ctypes
import select
from collections.abc import Awaitable, Callable, Generator
from time import monotonic
from typing import Any, cast

import trio

BURST_SECONDS = 0.0005
"""For so long requests that come at once are taken one after the other; then other tasks have a turn."""

SPIN_SECONDS = 0.00005
"""For so long it is looked again and again: what it takes to sleep and to be woken, twice."""

MOST_SKIPPED = 64
"""So often it is not tried again, at most, after it was in vain: it may cost a microsecond a request."""


class _Nothing:
    """What is awaited where there is nothing to wait for."""

    def __await__(self) -> Generator[Any, None, None]:
        return _EXHAUSTED


_EXHAUSTED = cast("Generator[Any, None, None]", iter(()))
NOTHING = _Nothing()


class _PollFd(ctypes.Structure):
    """`struct pollfd` of poll(2)."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


# It returns at once, so it keeps the interpreter: to get it back could take much longer than the call.
_poll = ctypes.PyDLL(None).poll


class Readiness:
    """`trio.lowlevel.wait_readable` for one descriptor, by one task at a time.

    `quiet` says whether nothing is waited for but the next request.
    """

    def __init__(self, quiet: Callable[[], bool]) -> None:
        self._quiet = quiet
        self._burst_until = 0.0
        self._in_vain = 0  # skipped next time, at least one when it was
        self._to_skip = 0
        self._closing = False
        self._watched = _PollFd(-1, select.POLLIN, 0)
        self._watched_at = ctypes.byref(self._watched)

    def wait_readable(self, descriptor: int) -> Awaitable[None]:
        """Return when a read would not wait. Trio's errors."""
        self._watched.fd = descriptor
        if monotonic() < self._burst_until and self._comes():
            return NOTHING
        return self._wait(descriptor)

    async def _wait(self, descriptor: int) -> None:
        if monotonic() >= self._burst_until and not self._in_vain:
            await trio.lowlevel.checkpoint()
            if self._closing:  # trio tells only those who sleep
                raise trio.ClosedResourceError
            self._burst_until = monotonic() + BURST_SECONDS
            if self._comes():
                return
        await trio.lowlevel.wait_readable(descriptor)
        self._burst_until = monotonic() + BURST_SECONDS

    def notify_closing(self, descriptor: int) -> None:
        """`trio.lowlevel.notify_closing`: who waits, asleep or not, gets `trio.ClosedResourceError`."""
        self._closing = True
        trio.lowlevel.notify_closing(descriptor)

    def _comes(self) -> bool:
        """Whether there is a request, now or in a moment."""
        return self._is_there() or self._spin()

    def _is_there(self) -> bool:
        return bool(_poll(self._watched_at, 1, 0) > 0)

    def _spin(self) -> bool:
        if self._to_skip:
            self._to_skip -= 1
            return False
        if not self._quiet():
            return False
        end = monotonic() + SPIN_SECONDS
        while monotonic() < end:
            if self._is_there():
                self._in_vain //= 2
                return True
        self._in_vain = self._to_skip = min(2 * self._in_vain or 1, MOST_SKIPPED)
        return False
