"""`python -m bench fsync`: 1 to 16 processes that each append 4 KiB to a file of its own and fsync it.

Promises the same work on vfs and on the host's directory, in turn, every second round in the other order, and
to count the syncs of the daemon's log against the fsyncs that were answered. It never shares a file between
processes.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, load_before, store_parent
from bench.hops import hop_rows
from bench.processes import die_with_parent, filesystem_type
from bench.results import spread
from bench.targets import HostDirectory, Target, TargetFailed, VfsTarget, mounts

PAGE_BYTES = 4096
PROCESSES = {"full": (1, 2, 4, 8, 16), "quick": (1, 2, 4, 8, 16), "tiny": (1, 8)}
SECONDS = {"full": 3.0, "quick": 1.0, "tiny": 0.2}
ROUNDS = {"full": 5, "quick": 2, "tiny": 1}
HOPS = {"full": 2000, "quick": 500, "tiny": 10}
GROUPED = 8
LEAST_GAIN = 3.0
"""What so many processes get together, over what one gets."""
LEAST_RATIO = 0.7
"""One process on vfs, over one on the host's directory."""


@dataclass
class Line:
    """So many processes; a value for each round."""

    processes: int
    rates: dict[str, list[float]] = field(default_factory=dict)
    gains: dict[str, list[float]] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        cells = [str(self.processes), _told(self.rates["vfs"]), _told(self.gains["vfs"], 2)]
        cells += [_told(self.syncs, 2), _told(self.rates["host"]), _told(self.gains["host"], 2)]
        return f"| {' | '.join([*cells, _told(self.ratios, 2)])} |"


HEADING = (
    "processes",
    "vfs, fsyncs/s",
    "over one process",
    "syncs of the log per fsync",
    "host, fsyncs/s",
    "over one process",
    "vfs over host",
)


def _told(values: list[float], digits: int = 0) -> str:
    found = spread(values)
    if found is None:
        return "-"
    return f"{found.median:,.{digits}f} ({found.least:,.{digits}f} to {found.most:,.{digits}f})"


def append_and_sync(path: Path, seconds: float) -> int:
    """One process' work: how many it made durable in that time, at least one."""
    data = os.urandom(PAGE_BYTES)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    count, end = 0, time.monotonic() + seconds
    while not count or time.monotonic() < end:
        os.write(descriptor, data)
        os.fsync(descriptor)
        count += 1
    os.close(descriptor)
    return count


def rate(folder: Path, processes: int, seconds: float) -> tuple[float, int]:
    """Fsyncs a second of so many processes together, and how many there were."""
    reading, writing = os.pipe()
    begin = time.monotonic()
    children = [_child(folder / str(number), seconds, writing) for number in range(processes)]
    os.close(writing)
    try:
        with os.fdopen(reading) as results:
            counts = [int(line) for line in results]
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if len(counts) != processes:
        raise OSError("a process that appends has failed")
    for number in range(processes):
        os.unlink(folder / str(number))
    return sum(counts) / max(seconds, time.monotonic() - begin), sum(counts)


def _child(path: Path, seconds: float, writing: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(signal.SIGKILL)
        os.write(writing, b"%d\n" % append_and_sync(path, seconds))
    finally:
        os._exit(0)


class Daemon:
    """What the daemon of a mount says of itself."""

    def __init__(self, program: str, mountpoint: Path) -> None:
        self._command = [program, "info", "--json", str(mountpoint)]

    def syncs(self) -> int:
        """How often it has made its log durable."""
        done = subprocess.run(self._command, capture_output=True, text=True, check=True, timeout=60)
        count: int = json.loads(done.stdout)["upkeep"]["sync"]["count"]
        return count


def measure(program: str, folder: Path, size: str, rounds: int, lines: list[Line]) -> Iterator[str]:
    """All rounds, every second one the other way round; yields what to tell meanwhile."""
    targets: dict[str, Target] = {"host": HostDirectory(), "vfs": VfsTarget(program)}
    with mounts(folder, targets) as mounted:
        for number in range(rounds):
            for line in lines[:: -1 if number % 2 else 1]:
                for name in list(targets)[:: -1 if number % 2 else 1]:
                    root = mounted.root(name, frozenset())
                    daemon = Daemon(program, root) if name == "vfs" else None
                    before = daemon.syncs() if daemon else 0
                    found, count = rate(root, line.processes, SECONDS[size])
                    if daemon:
                        line.syncs.append((daemon.syncs() - before) / count)
                    line.rates.setdefault(name, []).append(found)
                told = ", ".join(f"{name} {line.rates[name][-1]:,.0f}" for name in targets)
                yield f"round {number + 1}, {line.processes:2} processes, fsyncs/s: {told}"
            for line in lines:
                for name in targets:
                    alone = lines[0].rates[name][-1]
                    line.gains.setdefault(name, []).append(line.rates[name][-1] / alone)
                line.ratios.append(line.rates["vfs"][-1] / line.rates["host"][-1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=SECONDS, default="full", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="(default: by size)")
    add_place(parser, RESULTS / "fsync.json")


@contextmanager
def _place(wanted: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(wanted)) as folder:
        yield Path(folder)


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)
    lines = [Line(count) for count in PROCESSES[arguments.sizes]]
    rounds = arguments.rounds or ROUNDS[arguments.sizes]
    try:
        with _place(arguments.store_dir) as folder:
            for told in measure(arguments.vfs, folder, arguments.sizes, rounds, lines):
                progress.print(told, markup=False, highlight=False)
            kind = filesystem_type(str(folder))
    except (TargetFailed, OSError, subprocess.SubprocessError) as error:
        progress.print(f"FAILED: {type(error).__name__}: {error}", markup=False)
        return EXIT_FAILED
    rows = [f"| {' | '.join(HEADING)} |", f"|{' --- |' * len(HEADING)}", *(line.row() for line in lines)]
    output.print("\n".join(rows), markup=False, highlight=False, soft_wrap=True)
    gain = spread(next(line for line in lines if line.processes == GROUPED).gains["vfs"])
    ratio = spread(lines[0].ratios)
    assert gain is not None
    assert ratio is not None
    output.print(
        f"{GROUPED} processes over one: {gain.median:.2f} (budget {LEAST_GAIN}); one over the host: "
        f"{ratio.median:.2f} (budget {LEAST_RATIO})",
        soft_wrap=True,
    )
    output.print("\n".join(hop_rows(HOPS[arguments.sizes])), markup=False, highlight=False, soft_wrap=True)
    document = {
        "conditions": {"sizes": arguments.sizes, "store_filesystem": kind, "load_before": load},
        "seconds": time.monotonic() - begin,
        "lines": [asdict(line) for line in lines],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    short = gain.median < LEAST_GAIN or ratio.median < LEAST_RATIO
    return EXIT_SHORT if short and arguments.sizes == "full" else 0
