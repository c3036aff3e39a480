"""Whether small reads from the disk are over before a thread for them would have begun.

Promises that who reads without a thread has seen the disk answer quickly for a while, and goes back to
threads after an answer that was slow. Never reads anything itself.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

SMALL_READ_BYTES = 128 * 1024
"""More is for a thread in any case."""

QUICK_SECONDS = 0.0005
"""Having a thread do it takes 0.1 to 0.3 ms, half of it work of the thread that answers requests."""

FIRST_SECONDS = 0.01
"""What an unknown disk is taken for: one that spins. Some 30 reads change that."""

WEIGHT = 1 / 8
"""Of the last read in the average."""


class Pace:
    """How long the disk has taken of late."""

    def __init__(self) -> None:
        self._seconds = FIRST_SECONDS  # any thread sets it: one that is lost does no harm

    @property
    def is_quick(self) -> bool:
        """Whether the next small read may be waited for."""
        return self._seconds <= QUICK_SECONDS

    def timed(self, read: Callable[[A], R], plan: A) -> R:
        """Do a small read and take note of its time; any thread."""
        begin = perf_counter()
        try:
            return read(plan)
        finally:
            self._seconds += WEIGHT * (perf_counter() - begin - self._seconds)
