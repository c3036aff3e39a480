"""`python -m bench tail`: latency of stat and 4 KiB reads beside everything that may get in their way.

Promises that each load runs on vfs and on the host's directory in turn, sampled in the same way by a process
of its own, and that while it runs on vfs the host's directory is sampled as well: what the disk does to
everybody shows there. It never reuses a store.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, draw, load_before, store_parent
from bench.processes import DROP_EVERYTHING, can_drop_caches, drop_caches, filesystem_type
from bench.report import Conditions, write_json
from bench.sizes import MIB
from bench.tail_loads import LOADS, SIZES, Side, Sizes, command
from bench.tail_probe import COLD_EVERY, prepare
from bench.tail_report import KINDS, PLACES, Row, Tail, expected, markdown
from bench.targets import Daemon, TargetFailed, VfsTarget

PERIOD_SECONDS = 0.002
BESIDE_SECONDS = 0.010
"""Between samples of the host's directory beside vfs: they must not be a load themselves."""

LOAD_SECONDS = 900.0
STOP_SECONDS = 60.0
DOCS = Path(__file__).parent.parent / "docs"

Durations = dict[str, list[float]]


class Probe:
    """A process that samples one folder, from the start of the block to its end."""

    def __init__(self, folder: Path, period: float) -> None:
        self._period = period
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.tail_probe", str(folder), str(period)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            text=True,
        )

    def __enter__(self) -> "Probe":
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise TargetFailed("the process that samples has failed")
        return self

    def finish(self) -> Durations:
        """Sorted durations by kind, with those that could not begin."""
        output, _ = self._process.communicate(timeout=STOP_SECONDS)
        if self._process.returncode:
            raise TargetFailed("the process that samples has failed")
        samples = json.loads(output.splitlines()[-1])
        periods = {"stat": self._period, "read": self._period, "cold": self._period * COLD_EVERY}
        return {kind: expected((duration for _, duration in samples[kind]), periods[kind]) for kind in KINDS}

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


class Measuring:
    """One run: a mount, a folder of the host beside its store, and the loads in turn on both."""

    def __init__(self, folder: Path, daemon: Daemon, program: str, sizes: Sizes) -> None:
        self._sizes = sizes
        self._host = folder / "host"
        self._probed = {"vfs": daemon.mountpoint / "probe", "host": self._host / "probe"}
        self._sides = {
            "vfs": Side(str(daemon.mountpoint / "work"), program, sizes),
            "host": Side(str(self._host / "work"), None, sizes),
        }
        for name, probed in self._probed.items():
            probed.mkdir(parents=True)
            Path(self._sides[name].work).mkdir()
            prepare(probed, sizes.cold_mib * MIB)

    def run(self, load: str, *, host_first: bool) -> dict[tuple[str, str], list[float]]:
        found: dict[tuple[str, str], list[float]] = {}
        for name in ("host", "vfs") if host_first else ("vfs", "host"):
            if can_drop_caches():
                drop_caches(DROP_EVERYTHING)
            for place, durations in self._sample(load, name).items():
                found.update(((place, kind), durations[kind]) for kind in KINDS)
        return found

    def _sample(self, load: str, name: str) -> dict[str, Durations]:
        with contextlib.ExitStack() as stack:
            probes = {name: stack.enter_context(Probe(self._probed[name], PERIOD_SECONDS))}
            if name == "vfs":
                probes["beside"] = stack.enter_context(Probe(self._probed["host"], BESIDE_SECONDS))
            self._do(load, self._sides[name])
            time.sleep(self._sizes.seconds / 2)  # what is done in the background afterwards
            return {place: probe.finish() for place, probe in probes.items()}

    def _do(self, load: str, side: Side) -> None:
        done = subprocess.run(
            command(load, side),
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=LOAD_SECONDS,
            check=False,
        )
        if done.returncode:
            words = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise TargetFailed(f"the load {load} failed in {side.work}: {words}")


@contextlib.contextmanager
def _mounted(target: VfsTarget, home: Path) -> Iterator[Daemon]:
    home.mkdir()
    daemon = target.start(home, frozenset())
    assert daemon is not None
    try:
        yield daemon
    finally:
        daemon.stop()


def measure(
    target: VfsTarget, program: str, folder: Path, sizes: Sizes, wanted: list[str], say: Callable[[str], None]
) -> dict[str, dict[tuple[str, str], list[float]]]:
    """By load the sorted durations by place and kind."""
    found = {}
    with _mounted(target, folder / "vfs") as daemon:
        measuring = Measuring(folder, daemon, program, sizes)
        for number, load in enumerate(LOADS):
            if load in wanted:
                begin = time.monotonic()
                found[load] = measuring.run(load, host_first=number % 2 == 0)
                worst = {place: found[load][place, "stat"][-1] * 1e3 for place in PLACES}
                told = ", ".join(f"{place} {ms:,.1f}" for place, ms in worst.items())
                say(f"{load:10} {time.monotonic() - begin:5.1f} s; longest stat in ms: {told}")
    return found


def rows(found: dict[str, dict[tuple[str, str], list[float]]]) -> list[Row]:
    return [
        Row(load, kind, {place: Tail.of(samples[place, kind]) for place in PLACES})
        for load, samples in found.items()
        for kind in KINDS
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=SIZES, default="full", help="default: %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=LOADS, default=list(LOADS), help="some loads; each needs those before it"
    )
    add_place(parser, RESULTS / "tail.json", DOCS / "tail.png")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    def say(text: str) -> None:
        progress.print(text, markup=False, highlight=False)

    begin, load = time.monotonic(), load_before(progress)
    target = VfsTarget(arguments.vfs)
    for verb in ("mount", "flush", "gc", "snapshot", "rollback"):
        if reason := target.ready(verb):
            raise SystemExit(f"cannot measure vfs ({reason})")
    sizes = SIZES[arguments.sizes]
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        kind = filesystem_type(folder)
        try:
            found = measure(target, arguments.vfs, Path(folder), sizes, arguments.only, say)
        except (TargetFailed, OSError, subprocess.TimeoutExpired) as error:
            say(f"FAILED: {error}")
            return EXIT_FAILED
    report = rows(found)
    seconds = time.monotonic() - begin
    conditions = Conditions(asdict(sizes), {"vfs": target.version()}, kind, {}, load, seconds)
    for line in markdown(report):
        output.print(line, markup=False, highlight=False, soft_wrap=True)
    write_json(arguments.json, conditions, (), (), (), {"rows": [asdict(row) for row in report]})
    say(f"{seconds:.0f} s; JSON: {arguments.json}")
    draw(progress, arguments.plot, "bench.tail_plot", found)
    return 0 if all(row.verdict == "ok" for row in report) else EXIT_SHORT
