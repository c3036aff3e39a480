"""Who may run beside whom, where several workers (pytest-xdist) share the tests of one run.

Promises that a test marked `serial` runs while no other test does, in whatever worker, and that none waits
for ever to be alone. A worker that dies is out.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Room:
    """The room in which the tests of all workers run. `folder` is the same for all workers of a run."""

    def __init__(self, folder: Path) -> None:
        self._door = os.open(folder / "door", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._room = os.open(folder / "room", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def inside(self, *, alone: bool) -> Iterator[None]:
        """Wait until there is room, and be in it."""
        # Who waits to be alone stands in the door, so nobody comes in any more before that.
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """No test comes any more."""
        os.close(self._door)
        os.close(self._room)
