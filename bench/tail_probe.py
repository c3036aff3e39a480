"""The process that samples: a stat, a resident and a cold read of 4 KiB, each at fixed times.

`python -m bench.tail_probe FOLDER PERIOD`: prints "ready" when it is warm, samples until its standard input
ends, at least once, and then prints what it saw as one line of JSON.
Promises that each sample asks whoever serves the folder: statx with AT_STATX_FORCE_SYNC passes the kernel's
cache of attributes, POSIX_FADV_DONTNEED has dropped the page that is read. Never changes the folder but for
its own files.
"""

import ctypes
import gc
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from bench.processes import LIBC, die_with_parent
from bench.workloads_data import PAGE_BYTES
from bench.workloads_latency import AT_FDCWD, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, STATX_BYTES

COLD_EVERY = 10
"""Cold reads bring pages into the cache of the disk: few of them, so that there are cold ones left."""

NAMES = ("watched", "resident", "cold")
WARM_UP_SAMPLES = 20


def prepare(folder: Path, cold_bytes: int) -> None:
    """Make the files that are asked for; durable on return."""
    for name, size in zip(NAMES, (0, PAGE_BYTES, cold_bytes), strict=True):
        with (folder / name).open("wb") as file:
            for _ in range(0, size, PAGE_BYTES * 256):
                file.write(os.urandom(min(size, PAGE_BYTES * 256)))
            file.flush()
            os.fsync(file.fileno())


class Prober:
    """Three kinds of samples: (when it began, how long it took) in seconds."""

    def __init__(self, folder: Path) -> None:
        self._watched = os.fsencode(folder / NAMES[0])
        self._buffer = ctypes.create_string_buffer(STATX_BYTES)
        self._resident = os.open(folder / NAMES[1], os.O_RDONLY)
        self._cold = os.open(folder / NAMES[2], os.O_RDONLY)
        for descriptor in (self._resident, self._cold):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead: one page, one request
        self._cold_pages = max(1, os.fstat(self._cold).st_size // PAGE_BYTES)
        self._chance = random.Random(folder.name)
        self.samples: dict[str, list[tuple[float, float]]] = {"stat": [], "read": [], "cold": []}

    def stat(self) -> None:
        begin = time.perf_counter()
        failed = LIBC.statx(AT_FDCWD, self._watched, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, self._buffer)
        self.samples["stat"].append((begin, time.perf_counter() - begin))
        if failed:
            raise OSError(ctypes.get_errno(), "statx failed", os.fsdecode(self._watched))

    def read(self) -> None:
        self._read("read", self._resident, 0)

    def cold(self) -> None:
        self._read("cold", self._cold, self._chance.randrange(self._cold_pages) * PAGE_BYTES)

    def _read(self, kind: str, descriptor: int, offset: int) -> None:
        os.posix_fadvise(descriptor, offset, PAGE_BYTES, os.POSIX_FADV_DONTNEED)
        begin = time.perf_counter()
        data = os.pread(descriptor, PAGE_BYTES, offset)
        self.samples[kind].append((begin, time.perf_counter() - begin))
        if len(data) != PAGE_BYTES:
            raise OSError("a short read")

    def round(self, number: int) -> None:
        self.stat()
        self.read()
        if number % COLD_EVERY == 0:
            self.cold()


def main(words: list[str]) -> None:
    die_with_parent(signal.SIGKILL)
    prober, period = Prober(Path(words[0])), float(words[1])
    for number in range(WARM_UP_SAMPLES):
        prober.round(number)
    for samples in prober.samples.values():
        samples.clear()
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    due, number = time.perf_counter(), 0
    while not number or not select.select([sys.stdin], [], [], max(0.0, due - time.perf_counter()))[0]:
        prober.round(number)
        number += 1
        # Late by more than a period: what could not begin in time is added by the arithmetic, once.
        due = max(due + period, time.perf_counter())
    print(json.dumps(prober.samples), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
