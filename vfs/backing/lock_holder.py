"""Who holds the lock of a store, for whoever wants it and for whoever only looks.

Promises an answer without waiting, and a pid that is not that of an earlier owner. Never writes, and never
keeps a lock that it tries: an owner to be may have to wait for a look to end, and does.
"""

import fcntl
import os
import re
from pathlib import Path

from vfs.backing.file_names import LOCK_BYTES

PROC = Path("/proc")
LOCKS = PROC / "locks"
LOOKS = 5
"""The kernel leaves a lock out now and then while others come and go: once in a hundred times beside 200."""

HELD = re.compile(r"^\d+: FLOCK +\w+ +WRITE (?P<pid>\d+) (?P<device>[0-9a-f]+:[0-9a-f]+):(?P<ino>\d+) ", re.M)
"""A line of proc_locks(5): a lock for one alone, by process, device and inode of its file."""


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock it (LOCK_EX or LOCK_SH) without waiting; False when somebody else's lock forbids that."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_owned(descriptor: int) -> bool:
    """Whether somebody holds the lock on a lock file that is open."""
    # A shared lock, given back at once: two who ask at the same time do not see each other.
    if not try_lock(descriptor, fcntl.LOCK_SH):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def owner_pid(descriptor: int) -> int | None:
    """The process that holds the lock on a lock file that is open; None when nobody can tell.

    What stands in the file may be of an earlier owner: for a moment, or as long as the disk takes no other.
    """
    noted = _noted_pid(descriptor)
    file = os.fstat(descriptor)
    try:
        for _ in range(LOOKS):
            found = _shown_pid(file, noted)
            if found is not None:
                return found
    except OSError:
        return noted  # a system that does not say
    return None


def is_there(pid: int | None) -> bool:
    """Whether there is such a process: not so an owner that has left its lock to one that it had begun."""
    return pid is not None and (PROC / str(pid)).exists()


def _shown_pid(file: os.stat_result, noted: int | None) -> int | None:
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    found = None
    for line in HELD.finditer(LOCKS.read_text("ascii", "replace")):
        if int(line["ino"]) == file.st_ino:
            if int(line["pid"]) == noted:
                return noted  # some file systems show another device there
            if line["device"] == device:
                found = int(line["pid"])
    return found


def _noted_pid(descriptor: int) -> int | None:
    try:
        pid = int(os.pread(descriptor, LOCK_BYTES, 0))
    except (ValueError, OSError):
        return None
    return pid if pid > 0 else None
