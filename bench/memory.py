"""Memory of the machine: how much there is, and having it at hand before bulk data is timed.

Promises not to take more than a third of what is available. It never keeps memory.
"""

import mmap
from pathlib import Path

from bench.sizes import MIB


def available_bytes() -> int | None:
    """What the kernel says can be had without swapping; None where it does not say."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def warm(wanted_bytes: int) -> None:
    """Touch free memory and give it back.

    A virtual machine that reports its free pages to the host gets each of them back by a fault into the
    host: 1 GiB of page cache then takes 0.6 s or 3 s, by what happened to be free, and that would
    drown every difference between file systems. Pages freed a moment ago are handed out first.
    """
    available = available_bytes()
    size_bytes = wanted_bytes if available is None else min(wanted_bytes, available // 3)
    if size_bytes >= MIB:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        mmap.mmap(-1, size_bytes, flags=flags).close()
