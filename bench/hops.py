"""What it costs a daemon's loop to have something done in a thread and to hear of it, in two ways, in turn.

Promises that the job is the same pause each time, so that what is more is the way there and back.
It never touches a disk.
"""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from vfs.mount.sync_thread import SyncThread
from vfs.mount.tuning import SWITCH_SECONDS

PAUSE_SECONDS = 0.0001


@dataclass
class Hop:
    """One way; seconds."""

    name: str
    taken: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def row(self, direct: "Hop") -> str:
        """A line of the table: what is more than a pause without any thread."""
        latency = statistics.median(self.taken) - statistics.median(direct.taken)
        cpu = statistics.mean(self.cpu) - statistics.mean(direct.cpu)
        return f"| {self.name} | {latency * 1e6:.0f} | {cpu * 1e6:.0f} |"


HEADING = "| way to the sync and back | latency, µs | CPU, µs |\n| --- | --- | --- |"


def _pause() -> None:
    time.sleep(PAUSE_SECONDS)


async def _measure(times: int) -> list[Hop]:
    thread, limiter = SyncThread(), trio.CapacityLimiter(1)

    async def direct() -> None:
        _pause()

    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "none: the loop waits": direct,
        "trio.to_thread": lambda: trio.to_thread.run_sync(_pause, limiter=limiter),
        "mount/sync_thread.py": lambda: thread.run(_pause),
    }
    hops = {name: Hop(name) for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            await trio.lowlevel.checkpoint()
            cpu, begin = time.process_time(), time.perf_counter()
            await way()
            hops[name].taken.append(time.perf_counter() - begin)
            hops[name].cpu.append(time.process_time() - cpu)
    return list(hops.values())


def hop_rows(times: int) -> list[str]:
    """The table, after so many rounds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        hops = trio.run(_measure, times)
    finally:
        sys.setswitchinterval(before)
    return [HEADING, *(hop.row(hops[0]) for hop in hops[1:])]
