"""What a live daemon has counted of its own time while one kind of work was done on its mount.

Promises the median time of each kind of request, times how often it came, with client and daemon on one CPU:
the daemon's own caches and those of the processor as they are between two requests. It never measures what
lies outside of the handlers.
"""

import os
from pathlib import Path
from typing import Any

from bench.processes import DROP_NAMES, can_drop_caches, drop_caches, pin
from bench.sizes import Sizes
from bench.targets import TargetFailed, VfsTarget, mounts
from bench.workload import Cold, Place
from bench.workloads_requests import NOXATTR, OPERATIONS
from vfs.mount.client import ControlClient

Histogram = dict[float, int]


def count_requests(program: str, folder: Path, sizes: Sizes) -> dict[str, float]:
    """Microseconds of all handlers, by operation; without those that cannot be done here."""
    target = VfsTarget(program)
    found = {}
    with mounts(folder, {target.name: target}) as mounted:
        root = mounted.root(target.name, NOXATTR)
        daemon = mounted.daemon(target.name, NOXATTR)
        if daemon is None:
            raise TargetFailed(f"{target.name} has no daemon to ask")
        everywhere = os.sched_getaffinity(0)
        for operation, workload in OPERATIONS.items():
            if workload.measure is None or (workload.cold is Cold.NAMES and not can_drop_caches()):
                continue
            place = Place(str(root / operation), str(root / "shared"), sizes, {}, {})
            for needed in (place.folder, place.shared):
                Path(needed).mkdir(exist_ok=True)
            workload.prepare(place)
            if workload.cold is Cold.NAMES:
                drop_caches(DROP_NAMES)
            before = _histograms(root.parent / "store")
            try:
                for pid in (daemon.pid, os.getpid()):
                    pin(pid, {max(everywhere)})
                measured = workload.measure(place)
            finally:
                for pid in (daemon.pid, os.getpid()):
                    pin(pid, everywhere)
            found[operation] = spent(before, _histograms(root.parent / "store")) / measured.operations
    return found


def _histograms(store: Path) -> dict[str, Histogram]:
    """By kind of request: how many took at most so many microseconds."""
    client = ControlClient.connect(store)
    if client is None:
        raise TargetFailed(f"the daemon of {store} does not listen")
    with client:
        requests: dict[str, Any] = client.ask("requests")["requests"]
    return {name: dict(map(tuple, figures["histogram_us"])) for name, figures in requests.items()}


def spent(before: dict[str, Histogram], after: dict[str, Histogram]) -> float:
    """Microseconds: of each kind of request the median, as often as it came. Not of those that come when the
    kernel likes."""
    total = 0.0
    for name in after.keys() - {"forget", "statfs"}:
        old = before.get(name, {})
        grown = {upper: found - old.get(upper, 0) for upper, found in sorted(after[name].items())}
        count = sum(grown.values())
        total += count * _median(grown, count) if count else 0.0
    return total


def _median(grown: Histogram, count: int) -> float:
    """A bucket's upper bound is at most a sixteenth above what lies in it; its middle is taken."""
    seen = 0
    for upper, found in grown.items():
        seen += found
        if 2 * seen >= count:
            return upper * (1 - 1 / 48)
    raise AssertionError("half of them lie somewhere")
