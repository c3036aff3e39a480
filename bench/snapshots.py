"""`python -m bench snapshots`: freezing, comparing, bringing back and forking 100 to a million files.

Promises the same tree and the same changes for vfs (as commands, and asked of its daemon), btrfs on a loop
file and `cp -a`, one after the other, the disk at rest before each step. Files are empty but those that
change, which is kind to `cp`. It never lets the failure of one end the run, and leaves nothing behind.
"""

import argparse
import math
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.command import EXIT_FAILED, RESULTS, add_place, load_before, store_parent
from bench.freezers import Freezer, Frozen, freezers
from bench.keepers import KeeperFailed
from bench.processes import filesystem_type
from bench.report import PLAIN_WIDTH, Conditions, print_verdicts, write_json
from bench.results import Line, Sample, Skip, lines
from bench.storage import fresh
from bench.targets import TargetFailed
from bench.workload import Row, Workload
from vfs.errors import VfsError

SUBJECTS = ("vfs", "vfs-daemon")
PEERS = ("btrfs", "cp")
STEPS = ("create", "diff", "clone", "rollback")
CHANGES = 100

SIZES = {
    "full": {100: 5, 10_000: 5, 1_000_000: 2},
    "quick": {100: 3, 10_000: 3},
    "small": {100: 1},
}
"""How many files -> how many rounds."""


def workload(files: int) -> Workload:
    """The rows of a tree of so many files."""
    rows = [
        Row(figure(step, files), "ms", peer, lower_is_better=True, subject=subject)
        for step in STEPS
        for subject in SUBJECTS
        for peer in PEERS
    ]
    return Workload(str(files), tuple(rows), measure=None, targets=(*SUBJECTS, *PEERS))


def figure(step: str, files: int) -> str:
    """What a time is called."""
    return f"{step} at {files:,}"


class Tree:
    """Files in as many folders as there are files in each."""

    def __init__(self, files: int) -> None:
        self.files = files
        self._each = math.isqrt(files)

    def paths(self) -> Iterator[str]:
        """All files."""
        return (f"{number // self._each:04}/{number % self._each:04}" for number in range(self.files))

    def make(self, folder: Path) -> None:
        """All of it, in an empty folder."""
        for number in range(self.files // self._each):
            os.mkdir(folder / f"{number:04}")
        for path in self.paths():
            os.close(os.open(folder / path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def changes(self, seed: str) -> list[str]:
        """Files to be changed."""
        chosen = random.Random(seed).sample(range(self.files), min(CHANGES, self.files))
        return [f"{number // self._each:04}/{number % self._each:04}" for number in chosen]


@dataclass
class Freezing:
    """What to do (constant) and what came out (grows)."""

    rounds: dict[int, int]
    freezers: dict[str, Freezer]
    folder: Path
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)

    def run(self) -> None:
        """All trees, with all who can."""
        for name, freezer in list(self.freezers.items()):
            if (reason := freezer.ready()) is not None:
                self._skip("all", name, reason, failed=False)
                del self.freezers[name]
        for files, rounds in self.rounds.items():
            tree = Tree(files)
            with fresh(self.folder / "source") as source:
                tree.make(source)
                for freezer in self.freezers.values():
                    self._try(freezer, tree, source, rounds)

    def _try(self, freezer: Freezer, tree: Tree, source: Path, rounds: int) -> None:
        try:
            with (
                fresh(self.folder / "home") as home,
                freezer.hold(source, tree.files, home) as ways,
            ):
                for number in range(rounds):
                    for name, frozen in ways.items():
                        self._round(name, frozen, tree, number)
        except (KeeperFailed, TargetFailed, VfsError, OSError, subprocess.TimeoutExpired) as error:
            self._skip(str(tree.files), freezer.name, f"{type(error).__name__}: {error}", failed=True)

    def _round(self, name: str, frozen: Frozen, tree: Tree, number: int) -> None:
        snapshot = f"{name}-{number}"
        figures: dict[str, float] = {}

        def timed(step: str, work: Callable[[], object]) -> object:
            subprocess.run(["sync"], check=True)
            begin = time.perf_counter()
            answer = work()
            figures[figure(step, tree.files)] = (time.perf_counter() - begin) * 1e3
            return answer

        timed("create", lambda: frozen.create(snapshot))
        changed = tree.changes(snapshot)
        for path in changed:
            with (frozen.work / path).open("ab") as file:
                file.write(snapshot.encode())
        found = timed("diff", lambda: frozen.diff(snapshot))
        if found != len(changed):
            raise KeeperFailed(f"{found} differences instead of {len(changed)}")
        timed("clone", lambda: frozen.clone(snapshot, number))
        timed("rollback", lambda: frozen.rollback(snapshot))
        if frozen.diff(snapshot):
            raise KeeperFailed("the rollback left differences")
        self.samples.append(Sample(str(tree.files), name, "free", number, 0, figures))
        told = ", ".join(f"{step} {figures[figure(step, tree.files)]:,.1f}" for step in STEPS)
        self.say(f"round {number + 1} {tree.files:>9,} files {name:10} ms: {told}")

    def _skip(self, files: str, name: str, reason: str, *, failed: bool) -> None:
        self.skips.append(Skip(files, name, reason, failed))
        self.say(f"{'FAILED' if failed else 'skipped'} {files} by {name}: {reason}")

    def lines(self) -> list[Line]:
        """The report."""
        return lines([workload(files) for files in self.rounds], self.samples)


def print_times(console: Console, report: Iterable[Line], skips: list[Skip]) -> None:
    """A table of medians, a line for each step and number of files."""
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    table = Table(title="Milliseconds, median")
    names = (*SUBJECTS, *PEERS)
    for heading in ("", *names):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    rows = {line.figure: line.medians for line in report}
    for name, medians in rows.items():
        cells = (f"{medians[each]:,.1f}" if each in medians else "-" for each in names)
        table.add_row(name, *cells)
    table.caption = (
        f"vfs: commands on a mount; vfs-daemon: the same asked over its socket; diff: after {CHANGES} changes"
    )
    console.print(table)
    print_verdicts(console, [], skips)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=SIZES, default="full", help="how many files (default: %(default)s)")
    parser.add_argument("--freezers", default="vfs,btrfs,cp", help="default: %(default)s")
    add_place(parser, RESULTS / "snapshots.json")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)
    every = freezers(arguments.vfs)
    wanted = arguments.freezers.split(",")
    if unknown := [name for name in wanted if name not in every]:
        raise SystemExit(f"no freezer {unknown[0]!r}: choose from {', '.join(every)}")
    rounds = SIZES[arguments.size]
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        freezing = Freezing(
            rounds=rounds,
            freezers={name: every[name] for name in wanted},
            folder=Path(folder),
            say=lambda text: progress.print(text, markup=False, highlight=False),
        )
        freezing.run()
        kind = filesystem_type(folder)
    versions = {name: freezer.version() for name, freezer in freezing.freezers.items()}
    seconds = time.monotonic() - begin
    conditions = Conditions(
        {str(files): count for files, count in rounds.items()}, versions, kind, {}, load, seconds
    )
    report = freezing.lines()
    print_times(output, report, freezing.skips)
    write_json(arguments.json, conditions, report, freezing.samples, freezing.skips)
    progress.print(f"{seconds:.0f} s; JSON: {arguments.json}", markup=False)
    return EXIT_FAILED if any(skip.failed for skip in freezing.skips) else 0
