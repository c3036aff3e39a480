"""What the bench needs of Linux about other processes: CPU used, requests answered, pinning, dropped caches.

Promises that every call names one process by its id or one mount point.
It never signals or changes a process that the caller did not start.
"""

import ctypes
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
DROP_NAMES = 2
DROP_EVERYTHING = 3
PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
LIBC = ctypes.CDLL(None, use_errno=True)

QUIET_WINDOW_SECONDS = 0.04
QUIET_CPU_SECONDS = 0.002
QUIET_LIMIT_SECONDS = 5.0


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send this process `signal_number` when its parent ends, however it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def cpu_seconds(pid: int) -> float:
    """CPU used by all threads of `pid`, ended ones included, to the nanosecond.

    The clock id is the one clock_getcpuclockid(3) makes of a process id; /proc/PID/stat counts the same
    time, but in ticks of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def write_calls(pid: int) -> int | None:
    """Calls of write and its kin that `pid` made so far; None where the kernel does not say."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return None
    return int(text.split("syscw:")[1].split()[0])


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Let every thread of `pid` run on `cpus` only; threads it starts later inherit that."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(thread), cpus)
        except ProcessLookupError:
            continue  # the thread ended between the listing and now


def settle(pid: int) -> None:
    """Return when `pid` has been nearly idle for a moment, or after QUIET_LIMIT_SECONDS."""
    deadline = time.monotonic() + QUIET_LIMIT_SECONDS
    used = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_WINDOW_SECONDS)
        now = cpu_seconds(pid)
        if now - used < QUIET_CPU_SECONDS:
            return
        used = now


def can_drop_caches() -> bool:
    return os.access(DROP_CACHES, os.W_OK)


def drop_caches(what: int) -> None:
    """Drop clean kernel caches of the whole machine: DROP_NAMES or DROP_EVERYTHING. Waits for whoever is
    within `keeping_caches`."""
    with open(DROP_CACHES, "w") as switch:
        fcntl.flock(switch, fcntl.LOCK_EX)
        switch.write(str(what))


@contextmanager
def keeping_caches() -> Iterator[None]:
    """Nobody drops them by `drop_caches` meanwhile: for what is nowhere but there."""
    with ExitStack() as stack:
        if can_drop_caches():
            switch = stack.enter_context(open(DROP_CACHES, "w"))
            fcntl.flock(switch, fcntl.LOCK_SH)
        yield


def is_mounted(mountpoint: str) -> bool:
    return device_of(mountpoint) is not None


def device_of(mountpoint: str) -> str | None:
    """`major:minor` of what is mounted exactly at `mountpoint`, read without asking its file system."""
    escaped = mountpoint.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == escaped:
            return fields[2]
    return None


def filesystem_type(path: str) -> str:
    """Type of the file system that holds `path`, by its device number."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return "unknown"


def readahead_file(mountpoint: str) -> Path:
    """The kernel's readahead setting of a mount, in KiB."""
    return Path(f"/sys/class/bdi/{device_of(mountpoint)}/read_ahead_kb")
