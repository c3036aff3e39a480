"""The process that does one workload once, so that it can be pinned and nothing else runs in it.

Speaks lines of JSON: a specification in, "prepared" out, a start signal in, the figures out.
Promises that the daemon's CPU is counted until it is idle again; it never mounts anything.
"""

import gc
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.processes import cpu_seconds, die_with_parent, settle, write_calls
from bench.registry import CLIENTS
from bench.sizes import Sizes
from bench.workload import Place


@dataclass(frozen=True)
class Specification:
    """First line from the runner."""

    workload: str
    target: str
    folder: str
    shared: str
    sizes: dict[str, Any]
    payloads: dict[str, int]
    upkeep: dict[str, list[str]]

    def place(self) -> Place:
        return Place(self.folder, self.shared, Sizes(**self.sizes), self.payloads, self.upkeep)


@dataclass(frozen=True)
class Start:
    """Second line from the runner, sent when caches are dropped and the daemon is idle."""

    daemon_pid: int | None
    cpus: list[int]


@dataclass(frozen=True)
class Outcome:
    """Last line to the runner."""

    operations: int
    figures: dict[str, float]
    client_cpu_seconds: float
    cpu_seconds: float | None
    """Of the daemon, where there is one."""
    write_calls: int | None
    """Of the daemon; those of the floor are one per answered request."""


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _measure(specification: Specification, place: Place, start: Start) -> Outcome:
    workload = CLIENTS[specification.workload]
    measure = workload.measure
    if specification.target == "zstd" and workload.reference is not None:
        measure = workload.reference
    assert measure is not None
    os.sched_setaffinity(0, start.cpus)
    gc.disable()
    pid = start.daemon_pid
    own = time.process_time()
    if pid is None:
        measured = measure(place)
        return Outcome(measured.operations, measured.figures, time.process_time() - own, None, None)
    calls, cpu = write_calls(pid), cpu_seconds(pid)
    measured = measure(place)
    own = time.process_time() - own
    # What the daemon does right after (forgets, releases) belongs to the operations that caused it.
    settle(pid)
    calls_after = write_calls(pid)
    used_calls = None if calls is None or calls_after is None else calls_after - calls
    return Outcome(measured.operations, measured.figures, own, cpu_seconds(pid) - cpu, used_calls)


def main() -> None:
    die_with_parent(signal.SIGKILL)
    specification = Specification(**json.loads(sys.stdin.readline()))
    workload = CLIENTS[specification.workload]
    place = specification.place()
    on_files = specification.target != "zstd"
    if on_files:
        os.makedirs(place.shared, exist_ok=True)
        os.mkdir(place.folder)
        workload.prepare(place)
    _say({"prepared": True})
    start = Start(**json.loads(sys.stdin.readline()))
    _say(asdict(_measure(specification, place, start)))
    if on_files:
        workload.cleanup(place)


if __name__ == "__main__":
    main()
