"""`python -m bench replay`: a mount after a kill -9 with a full log, for each kind of record.

Promises stores as a kill leaves them, opened by the library in a process of its own and mounted by the
program, in turn with an empty store, with everything in the page cache. It never closes a store before that.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, load_before, store_parent
from bench.full_logs import KINDS, peak_bytes
from bench.processes import die_with_parent, filesystem_type
from bench.results import spread
from bench.sizes import MIB
from bench.targets import Daemon, TargetFailed, VfsTarget, mounted_below, undisturbed
from vfs.limits import CHUNK_BYTES

RECORDS = {
    "full": {
        # What is in a log at most: 50,000 changes and what comes during a checkpoint, or 256 MiB.
        "create": 80_000,
        "write of 100 bytes": 1_200_000,
        "setattr": 2_500_000,
        "create and unlink": 100_000,
        "write of 1 MiB": 256,
    },
    "quick": {
        "create": 40_000,
        "write of 100 bytes": 200_000,
        "setattr": 200_000,
        "create and unlink": 40_000,
        "write of 1 MiB": 128,
    },
    "tiny": {"create": 300},
}
ROUNDS = {"full": 3, "quick": 2, "tiny": 1}
LIMIT_SECONDS = 600
LEAST_RECORDS = 200_000
"""A second, of small records; or"""
LEAST_BYTES = 1e9


@dataclass
class Kind:
    """What was measured of logs of one kind; a value for each round."""

    name: str
    records: int = 0
    log_bytes: int = 0
    records_a_second: list[float] = field(default_factory=list)
    bytes_a_second: list[float] = field(default_factory=list)
    records_a_cpu_second: list[float] = field(default_factory=list)
    mount_seconds: list[float] = field(default_factory=list)
    empty_mount_seconds: list[float] = field(default_factory=list)
    peak_bytes: list[float] = field(default_factory=list)

    def passes(self) -> bool:
        """Whether it is as fast as it should be, in small records or in bytes."""
        records, data = spread(self.records_a_second), spread(self.bytes_a_second)
        assert records is not None
        assert data is not None
        return records.median >= LEAST_RECORDS or data.median >= LEAST_BYTES

    def row(self) -> str:
        """A line of the table."""
        cells = (
            self.name,
            f"{self.records:,}",
            f"{self.log_bytes / MIB:.0f}",
            _spread(self.records_a_second),
            _spread(self.records_a_cpu_second),
            _spread(self.bytes_a_second, 1e6),
            _spread(self.mount_seconds, 1, 2),
            _spread(self.empty_mount_seconds, 1, 2),
            _spread(self.peak_bytes, MIB),
            "pass" if self.passes() else "falls short",
        )
        return f"| {' | '.join(cells)} |"


HEADING = (
    "log of",
    "records",
    "MiB",
    "records/s",
    "records/s of CPU",
    "MB/s",
    "mount, s",
    "of an empty store, s",
    "peak of the daemon, MiB",
    "200,000/s or 1 GB/s",
)


def _spread(values: list[float], unit: float = 1.0, digits: int = 0) -> str:
    found = spread([value / unit for value in values])
    if found is None:
        return "-"
    told = f"{found.median:,.{digits}f}"
    return told if len(values) == 1 else f"{told} ({found.least:,.{digits}f} to {found.most:,.{digits}f})"


def _child(*words: object) -> str:
    command = [sys.executable, "-m", "bench.full_logs", *map(str, words)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: die_with_parent(signal.SIGKILL),
    )
    if done.returncode:
        raise TargetFailed((done.stderr.strip() or "the child said nothing").splitlines()[-1])
    return done.stdout


@contextmanager
def _mounted(target: VfsTarget, home: Path) -> Iterator[Daemon]:
    daemon = target.start(home, frozenset())
    assert daemon is not None
    try:
        yield daemon
    finally:
        with undisturbed():
            daemon.stop()


class Replaying:
    """All kinds, one after the other, in a folder."""

    def __init__(self, target: VfsTarget, folder: Path, say: Callable[[str], None]) -> None:
        self._target = target
        self._folder = folder
        self._say = say

    def measure(self, name: str, records: int, rounds: int) -> Kind:
        """One kind."""
        home = self._folder / "crashed"
        home.mkdir()
        try:
            begin = time.perf_counter()
            _child("make", home / "store", name, records)
            self._say(f"{name}: {records:,} records logged in {time.perf_counter() - begin:.1f} s")
            kind = Kind(name)
            kind.log_bytes = sum(path.stat().st_size for path in (home / "store" / "log").iterdir())
            for number in range(rounds):
                self._round(kind, home, last=number == rounds - 1)
            return kind
        finally:
            with undisturbed():
                if not mounted_below(self._folder):
                    shutil.rmtree(home)

    def _round(self, kind: Kind, home: Path, *, last: bool) -> None:
        # A mount would take a checkpoint soon: it gets a copy, and the original stays as the kill left it.
        found = json.loads(_child("open", home / "store"))
        kind.records = found["records"]
        kind.records_a_second.append(found["records"] / found["seconds"])
        kind.bytes_a_second.append(kind.log_bytes / found["seconds"])
        kind.records_a_cpu_second.append(found["records"] / found["cpu_seconds"])
        copy = self._folder / "mounted"
        empty = self._folder / "empty"
        try:
            for place in (copy, empty):
                place.mkdir()
            os.rename(home / "store", copy / "store") if last else shutil.copytree(
                home / "store", copy / "store"
            )
            with _mounted(self._target, copy) as daemon:
                kind.mount_seconds.append(daemon.start_seconds)
                kind.peak_bytes.append(peak_bytes(daemon.pid))
                os.kill(daemon.pid, signal.SIGKILL)
            with _mounted(self._target, empty) as daemon:
                kind.empty_mount_seconds.append(daemon.start_seconds)
        finally:
            with undisturbed():
                if not mounted_below(self._folder):
                    for place in (copy, empty):
                        shutil.rmtree(place, ignore_errors=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=RECORDS, default="full", help="(default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="(default: all of the size)")
    add_place(parser, RESULTS / "replay.json")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)
    wanted = RECORDS[arguments.sizes]
    target = VfsTarget(arguments.vfs)
    found: list[Kind] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        replaying = Replaying(
            target, Path(folder), lambda text: progress.print(text, markup=False, highlight=False)
        )
        for name in arguments.kinds or wanted:
            try:
                found.append(replaying.measure(name, wanted[name], ROUNDS[arguments.sizes]))
            except (TargetFailed, OSError, subprocess.TimeoutExpired) as error:
                failed = True
                progress.print(f"FAILED {name}: {type(error).__name__}: {error}", markup=False)
        kind = filesystem_type(folder)
    rows = [f"| {' | '.join(HEADING)} |", f"|{' --- |' * len(HEADING)}", *(each.row() for each in found)]
    output.print("\n".join(rows), markup=False, highlight=False, soft_wrap=True)
    document = {
        "conditions": {
            "sizes": arguments.sizes,
            "version": target.version(),
            "store_filesystem": kind,
            "chunk_bytes": CHUNK_BYTES,
            "load_before": load,
            "seconds": time.monotonic() - begin,
        },
        "kinds": [asdict(each) for each in found],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    progress.print(f"{time.monotonic() - begin:.0f} s; JSON: {arguments.json}", markup=False)
    if failed:
        return EXIT_FAILED
    return 0 if arguments.sizes != "full" or all(each.passes() for each in found) else EXIT_SHORT
