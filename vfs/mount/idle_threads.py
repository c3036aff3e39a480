"""Threads for what waits for the disk: begun when needed, ended when nobody has needed them for a while.

Promises that jobs begin in the order in which they came and that each is done. Never more threads than were
wanted at a time. Whoever hands a job in is told by the job itself: nothing here is heard by trio.

Without the new context and the names of threads that `trio.to_thread` sets and resets for each job.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_SECONDS = 10.0
"""A thread that nobody needs for so long ends."""

Job = Callable[[], None]
"""Raises nothing."""


class IdleThreads:
    """A queue of jobs and the threads that take from it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._living = 0
        """INVARIANT: under `_lock`, as many threads will look at the queue once more."""

    def put(self, job: Job, threads: int) -> None:
        """Have the job done by one of so many threads.

        RuntimeError where none can be begun: there is no job either then, and the next one tries again.
        """
        with self._lock:
            if self._living < threads:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
                self._living += 1
            self._jobs.put(job)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._living -= 1
                        return
                continue
            job()
            del job  # it holds what it works on, and the next one may be long in coming
