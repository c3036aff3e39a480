"""Latency of a stat that reaches the daemon, alone and beside a process that fsyncs or writes in a loop.

Promises that each sample is one request to the daemon (statx with AT_STATX_FORCE_SYNC passes the kernel's
cache). It never counts the pauses between samples.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator

from bench.processes import LIBC, die_with_parent
from bench.workload import Measured, Place, Row, Workload
from bench.workloads_data import PAGE_BYTES, payload, write_all

AT_FDCWD = -100
AT_STATX_FORCE_SYNC = 0x2000
STATX_BASIC_STATS = 0x7FF
STATX_BYTES = 256
PAUSE_SECONDS = 0.0005
WARM_UP_SECONDS = 0.1
FORGET = frozenset({"forget"})

Load = Callable[[Place], None]
"""Work that another process repeats until it is killed."""


def _fsync_once(place: Place) -> None:
    descriptor = os.open(f"{place.folder}/load", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    data = os.urandom(PAGE_BYTES)
    for _ in range(1000):
        os.write(descriptor, data)
        os.fsync(descriptor)
    os.close(descriptor)


def _write_once(place: Place) -> None:
    path = f"{place.folder}/load"
    with payload(place, "random") as data:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        write_all(descriptor, data)
        os.close(descriptor)
    os.unlink(path)


@contextlib.contextmanager
def _loaded(load: Load, place: Place) -> Iterator[None]:
    """Another process repeats `load` while the block runs."""
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(signal.SIGKILL)
            while True:
                load(place)
        finally:
            os._exit(1)
    try:
        time.sleep(WARM_UP_SECONDS)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        raise OSError("the process that makes the load failed")


def sample(path: str, seconds: float) -> list[float]:
    """Durations of statx of `path`, in seconds, sorted; at least one."""
    encoded = os.fsencode(path)
    buffer = ctypes.create_string_buffer(STATX_BYTES)
    samples: list[float] = []
    deadline = time.perf_counter() + seconds
    while not samples or time.perf_counter() < deadline:
        begin = time.perf_counter()
        failed = LIBC.statx(AT_FDCWD, encoded, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, buffer)
        samples.append(time.perf_counter() - begin)
        if failed:
            raise OSError(ctypes.get_errno(), "statx failed", path)
        time.sleep(PAUSE_SECONDS)
    return sorted(samples)


def _latency(name: str, load: Load | None) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        path = f"{place.folder}/watched"
        os.mknod(path)
        with _loaded(load, place) if load else contextlib.nullcontext():
            samples = sample(path, place.sizes.latency_seconds)
        count = len(samples)
        figures = {
            f"{name} p50": samples[count // 2] * 1e6,
            f"{name} p99": samples[count * 99 // 100] * 1e6,
            f"{name} max": samples[-1] * 1e6,
        }
        return Measured(0 if load else count, figures)

    return measure


def _remove_load(place: Place) -> None:
    path = f"{place.folder}/load"
    if os.path.exists(path):
        os.unlink(path)


def _rows(name: str) -> tuple[Row, ...]:
    return tuple(Row(f"{name} {which}", "us", lower_is_better=True) for which in ("p50", "p99"))


def _workload(name: str, load: Load | None) -> Workload:
    return Workload(
        name,
        _rows(name),
        _latency(name, load),
        cleanup=_remove_load,
        targets=("floor", "vfs"),
        floor_options=FORGET,
    )


WORKLOADS = (
    _workload("stat-alone", None),
    _workload("stat-while-fsync", _fsync_once),
    _workload("stat-while-write", _write_once),
)
