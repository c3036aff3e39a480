"""The end of a process that is not our child.

Promises that what the process had open is closed when its end is told: the disk it lay on can be unmounted.
"""

import os
import select
from types import TracebackType
from typing import Self


class ProcessEnd:
    """A process to be waited for. A context manager, to be made while the process lives.

    With a pid of None (a process that another PID namespace hides), or where the kernel gives no descriptor
    of a process, there is nothing to wait for.
    """

    def __init__(self, pid: int | None) -> None:
        self._fd: int | None = None
        if pid is not None:
            try:
                self._fd = os.pidfd_open(pid)
            except (OSError, AttributeError):
                return  # ended already, forbidden by a sandbox, or a Python that was built without it

    @property
    def is_known(self) -> bool:
        """Whether there is a process to wait for."""
        return self._fd is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for nothing any more; idempotent."""
        descriptor, self._fd = self._fd, None
        if descriptor is not None:
            os.close(descriptor)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False when that took longer."""
        if self._fd is None:
            return True
        # The kernel tells of it (do_notify_pidfd) after the last thread has closed its files.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
