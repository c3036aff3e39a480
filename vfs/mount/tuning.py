"""What makes the daemon's process and its mount fast, each measured before it was put here.

Promises to change nothing that a program could notice but the time things take, and to go on without
where this user may not. Never touches another process or mount.
"""

import ctypes
import logging
import sys
from contextlib import suppress
from pathlib import Path

from vfs.mount.cycles import shorten

log = logging.getLogger("vfs")

SWITCH_SECONDS = 0.0001
"""How long a worker thread may keep the interpreter from the thread that answers requests.

While a pass of the packer runs, the 99th percentile of a stat is 1.0 ms, and 1.6 ms with five times this
(median of six rounds in turn, on two busy processors); its median, 68 µs, is the same with either.
"""

MEMORY = {-1: 16 << 20, -3: 8 << 20, -8: 1}
"""mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX.

A megabyte of data is copied in 90 µs into memory that was used before, and in 350 into memory that the kernel
has to give first. So up to 16 MiB that are free stay with the process, in one place for all threads.
"""

READ_AHEAD_KIB = 1024
"""The kernel reads at most this much ahead; its default of 128 KiB makes eight requests of one."""


def tune_process() -> None:
    """Call once, when everything is imported and before requests are served."""
    shorten()
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(OSError, AttributeError):  # another C library may not have it
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in MEMORY.items():
            mallopt(parameter, value)


UNWRITTEN_BYTES = 24 << 20
"""What programs may have written that the kernel has not handed over yet, at most.

It hands over all that it may keep at once, a megabyte with each request, and a read of a page that it does
not have waits in the same line behind them: 24 to 33 ms beside a writer (99th percentile) with what it keeps
by itself, 1 % of the memory (44 MiB then), 12 with this, 6 to 12 with 16 MiB. A long write takes a fifth more
time with this, and a third with 16 MiB (docs/performance.md).
"""


def tune_mount(device: str, knobs: Path = Path("/sys/class/bdi")) -> None:
    """Have the kernel read further ahead, and keep less of what is written, for the mount whose device is
    given as `major:minor`. Only root may, and an old kernel has no bytes to set: then all stays as it is."""
    for name, wanted, better in (
        ("read_ahead_kb", READ_AHEAD_KIB, max),
        ("max_bytes", UNWRITTEN_BYTES, min),
    ):
        knob = knobs / device / name
        with suppress(OSError, ValueError):
            found = int(knob.read_text())
            if better(found, wanted) != found:
                knob.write_text(str(wanted))
                log.debug("%s of %s: %d, it was %d", name, device, wanted, found)
