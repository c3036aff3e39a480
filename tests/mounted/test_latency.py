"""One client's slow fsync or cold read does not hold up another client's stat."""

import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from tests.mounted import slow_daemon
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python, wait_for
from vfs.mount.tuning import UNWRITTEN_BYTES

pytestmark = pytest.mark.mounted

MEASURED_SECONDS = 1.5
SLOW_SECONDS = 1.0
"""So much longer than a busy machine may keep a program from its turn."""

# Each prints how long its operations took, one a line, until its standard input ends.
SYNCER = """
import os, select, sys, time
descriptor = os.open("synced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while not select.select([sys.stdin], [], [], 0)[0]:
    begin = time.perf_counter()
    os.write(descriptor, b"x" * 4096)
    os.fsync(descriptor)
    print(time.perf_counter() - begin, flush=True)
"""
READER = """
import mmap, os, select, sys, time
descriptor = os.open("cold", os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 65536)
at = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    begin = time.perf_counter()
    os.preadv(descriptor, [buffer], at)
    at = (at + 65536) % (1 << 20)
    print(time.perf_counter() - begin, flush=True)
"""


def stat_seconds(path: Path) -> list[float]:
    """How long each stat took that was asked of the daemon, in order of size."""
    taken = []
    end = time.perf_counter() + MEASURED_SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        os.stat(path)
        taken.append(time.perf_counter() - begin)
    return sorted(taken)


def measure(mounted: MountedStore, *sources: str) -> tuple[float, list[float]]:
    """The 99th percentile of a stat, and the median of what each other process does meanwhile; seconds."""
    (mounted.path / "file").touch()
    others = [start_python(source, cwd=mounted.path) for source in sources]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    stats = stat_seconds(mounted.path / "file")
    p99 = stats[len(stats) * 99 // 100]
    print(f"stat: p50 {stats[len(stats) // 2] * 1e6:.0f} µs, p99 {p99 * 1e6:.0f} µs of {len(stats)}; ")
    for other in others:  # all at once: each has something slow under way
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    typical = []
    for other in others:
        done = [float(line) for line in wait_for(other).split()]
        typical.append(statistics.median(done))
        print(f"beside {len(done)} operations of {typical[-1] * 1e6:.0f} µs")
    return p99, typical


@pytest.mark.serial
def test_on_a_slow_disk_a_stat_does_not_wait(mounted: MountedStore) -> None:
    (mounted.path / "cold").write_bytes(os.urandom(1 << 20))
    mounted.unmount()
    mounted.command = (sys.executable, "-m", slow_daemon.__name__)
    mounted.mount("attr_timeout=0", environment={"VFS_SLOW_SECONDS": str(SLOW_SECONDS)})
    p99, slow = measure(mounted, SYNCER, READER)
    assert min(slow) >= SLOW_SECONDS
    # Were they served one after the other, every stat but a few would wait for one of those.
    assert p99 < min(slow) / 4


@pytest.mark.serial
def test_on_this_disk(mounted: MountedStore) -> None:
    mounted.remount("attr_timeout=0")
    p99, (sync,) = measure(mounted, SYNCER)
    assert p99 < max(5 * sync, 0.05)


def test_the_kernel_keeps_little_that_a_read_would_have_to_wait_for(mounted: MountedStore) -> None:
    device = mounted.path.stat().st_dev
    knob = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/max_bytes")
    if not os.access(knob, os.W_OK):
        return  # an old kernel, a sandbox, or not root: all stays as it is
    deadline = time.monotonic() + 60
    # The kernel keeps it as a share of the memory that there is at the moment, so it may be a little more.
    while int(knob.read_text()) > 1.25 * UNWRITTEN_BYTES:
        assert time.monotonic() < deadline
        time.sleep(0.01)
