"""The thread in which the log is made durable, beside the loop that answers requests.

Promises one job at a time and that what it raised is raised where it was asked for. Never touches the loop:
it is heard through an eventfd that the waiting task reads, so nothing of the loop runs but that task.

The way there and back takes a tenth less than with `trio.to_thread`, and a third less on a busy machine: see
idle_threads.py, and one turn of the loop instead of two (docs/performance.md).
"""

import os
import weakref
from collections.abc import Callable
from functools import partial

import trio

from vfs.mount.idle_threads import IdleThreads


class SyncThread:
    """Runs jobs that wait for the disk. Asked by one task at a time, in the trio thread."""

    def __init__(self) -> None:
        self._thread = IdleThreads("vfs-sync")
        self._heard = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._heard).atexit = False  # a thread may still write to it then
        self._error: BaseException | None = None  # of the last job, written before it is heard

    async def run(self, job: Callable[[], None]) -> None:
        """Return when the job is done, however long it takes; raises what it raised."""
        self._thread.put(partial(self._do, job), threads=1)
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(self._heard)
        os.eventfd_read(self._heard)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            self._error = error
        os.eventfd_write(self._heard, 1)
