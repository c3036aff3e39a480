"""Who owns a store at this moment.

Promises an answer without waiting and without writing. Never keeps the lock that it tries.
"""

import os
import signal
import time
from pathlib import Path

from vfs.backing.file_names import LOCK_NAME
from vfs.backing.lock_holder import is_owned, owner_pid

LOOK_SECONDS = 0.02
PROC = Path("/proc")


class Owner:
    """The process that holds a store's lock; its pid is None when nobody can tell (see `owner_pid`)."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid

    def is_dying(self) -> bool:
        """Whether it was killed, and the kernel has not taken it apart yet: some thread of it waits there."""
        if self.pid is None:
            return False
        try:
            tasks = list((PROC / str(self.pid) / "task").iterdir())
        except OSError:
            return False  # gone, or of another world
        return any(_is_killed(task) for task in tasks)

    def __str__(self) -> str:
        return "another process" if self.pid is None else f"process {self.pid}"


def find_owner(store: Path) -> Owner | None:
    """The owner of the store, None when nobody owns it (or there is no such store)."""
    try:
        descriptor = os.open(store / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return Owner(owner_pid(descriptor)) if is_owned(descriptor) else None
    except OSError:
        return Owner(None)  # a disk that does not say
    finally:
        os.close(descriptor)


def wait_until_free(store: Path, seconds: float) -> bool:
    """Wait until nobody owns the store; False when that took longer."""
    end = time.monotonic() + seconds
    while find_owner(store) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _is_killed(task: Path) -> bool:
    """Whether a thread's folder /proc/PID/task/TID says that it has ended or shall; not of one that is gone,
    as threads of the living go, too."""
    try:
        status = (task / "status").read_text("ascii", "replace")
    except OSError:
        return False
    fields = dict(line.partition(":\t")[::2] for line in status.splitlines())
    killed = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    return fields.get("State", "")[:1] in ("Z", "X") or bool(killed >> (signal.SIGKILL - 1) & 1)
