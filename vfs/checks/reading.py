"""Reading and verifying beside the thread that asks for it: a bounded number of jobs in worker threads.

Promises that what a job answers is taken by the caller's thread, in the order in which jobs were given, and
that no more wait than a few for each worker.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

AHEAD = 4
"""Jobs for each worker that are under way or waiting."""


class Readers:
    """The workers. Within `with`: `submit` jobs, and `finish` when all answers are needed."""

    def __init__(self) -> None:
        workers = max(2, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(workers, "fsck")
        self._most = AHEAD * workers
        self._waiting: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, job: Callable[[], T], take: Callable[[T], None]) -> None:
        """Have a job done in a worker; `take` gets its answer, now or later, in this thread."""
        while len(self._waiting) >= self._most:
            self._take()
        self._waiting.append((self._pool.submit(job), take))

    def finish(self) -> None:
        """Wait for all jobs, and take their answers."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        future, take = self._waiting.popleft()
        take(future.result())
