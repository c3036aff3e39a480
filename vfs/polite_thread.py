"""A thread for work that nobody waits for: all others go first.

Promises that what it starts is over when `run` returns, also after an interrupt. Never used for anything that
a client waits for: a thread that was made polite cannot be made as it was without privileges.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

R = TypeVar("R")

NICENESS = 10
"""Added to that of the process; threads that it starts have it too."""


class PoliteThread:
    """One thread, begun when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], R], cancel: Callable[[], None]) -> R:
        """Do the work there, and wait for it; when that is interrupted `cancel` should make it end soon."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, self._name, initializer=_be_polite)
        future = self._pool.submit(work)
        try:
            return future.result()
        except BaseException:
            cancel()
            wait([future])
            raise

    def end(self) -> None:
        """Wait for what runs there, and give the thread back."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _be_polite() -> None:
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
