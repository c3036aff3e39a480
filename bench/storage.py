"""`python -m bench storage`: the same data kept by vfs, restic, borg and btrfs; room and time, in turn.

Promises alternation: each round hands a set of data to all programs in an order drawn anew, on a disk at rest
and with the data in memory. It never lets the failure of one program end the run, and leaves nothing behind.
"""

import argparse
import contextlib
import dataclasses
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, RESULTS, add_place, draw, load_before, store_parent
from bench.datasets import DATASETS, SCALES, Dataset, Extent, Scale, measure
from bench.keepers import Keeper, KeeperFailed, keepers
from bench.processes import filesystem_type
from bench.report import Conditions, write_json
from bench.results import Line, Sample, Skip, lines
from bench.storage_report import print_storage
from bench.targets import TargetFailed, mounted_below, undisturbed
from bench.workload import Row, Workload

SUBJECTS = ("vfs", "vfs-import")
PEERS = ("restic", "borg", "btrfs")
DEDUPLICATING = ("restic", "borg")
"""What the budget of stored size is held against; btrfs does not deduplicate."""


def workload(dataset: Dataset) -> Workload:
    """The rows of one set of data: room and time of vfs against each peer."""
    rows = []
    for subject in SUBJECTS:
        for peer in PEERS:
            at_least = dataset.at_least if peer in DEDUPLICATING else None
            rows += [
                Row(f"{dataset.name} stored", "MB", peer, at_least, lower_is_better=True, subject=subject),
                Row(f"{dataset.name} time", "s", peer, lower_is_better=True, subject=subject),
            ]
    return Workload(dataset.name, tuple(rows), measure=None, targets=(*SUBJECTS, *PEERS))


@dataclass
class Comparison:
    """What to do (constant) and what came out (grows)."""

    datasets: Sequence[Dataset]
    keepers: dict[str, Keeper]
    scale: Scale
    folder: Path
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    extents: dict[str, Extent] = field(default_factory=dict)

    def run(self) -> None:
        for name, keeper in list(self.keepers.items()):
            if (reason := keeper.ready()) is not None:
                self._skip("all", name, reason, failed=False)
                del self.keepers[name]
        for dataset in self.datasets:
            with fresh(self.folder / dataset.name) as source:
                dataset.make(source, self.scale)
                self.extents[dataset.name] = measure(source)
                for number in range(self.scale.rounds):
                    names = list(self.keepers)
                    for name in random.Random(number).sample(names, len(names)):
                        self._try(dataset, name, number, source)

    def _try(self, dataset: Dataset, name: str, number: int, source: Path) -> None:
        measure(source)  # it is in memory then
        subprocess.run(["sync"], check=True)
        try:
            with fresh(self.folder / "home") as home:
                kept = self.keepers[name].keep(source, home)
        except (KeeperFailed, TargetFailed, OSError, subprocess.TimeoutExpired) as error:
            self._skip(dataset.name, name, f"{type(error).__name__}: {error}", failed=True)
            return
        size_bytes = self.extents[dataset.name].size_bytes
        figures = {
            f"{dataset.name} stored": kept.stored_bytes / 1e6,
            f"{dataset.name} time": kept.seconds,
            **{f"{dataset.name} {step}": seconds for step, seconds in kept.steps.items()},
        }
        self.samples.append(Sample(dataset.name, name, "free", number, 0, figures))
        self.say(
            f"round {number + 1}/{self.scale.rounds} {dataset.name:20} {name:10} {size_bytes / 1e6:8,.1f} MB "
            f"in {kept.stored_bytes / 1e6:8,.1f} MB, {kept.seconds:6.1f} s"
        )

    def _skip(self, dataset: str, name: str, reason: str, *, failed: bool) -> None:
        skip = Skip(dataset, name, reason, failed)
        if skip not in self.skips:
            self.skips.append(skip)
            self.say(f"{'FAILED' if failed else 'skipped'} {dataset} by {name}: {reason}")

    def lines(self) -> list[Line]:
        return lines([workload(dataset) for dataset in self.datasets], self.samples)


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A new folder, gone at the end unless something is still mounted in it."""
    folder.mkdir()
    try:
        yield folder
    finally:
        with undisturbed():
            if left := mounted_below(folder):
                raise TargetFailed(f"still mounted, so {folder} was not removed: {', '.join(left)}")
            shutil.rmtree(folder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=SCALES, default="full", help="how much data (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=DATASETS, help="these sets of data only")
    parser.add_argument("--keepers", default=",".join((*SUBJECTS, *PEERS)), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, help="do everything this many times")
    parser.add_argument("--no-check", action="store_true", help="do not read back what vfs has kept")
    add_place(parser, RESULTS / "storage.json", RESULTS / "storage.png")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)
    every = keepers(arguments.vfs, check=not arguments.no_check)
    wanted = arguments.keepers.split(",")
    if unknown := [name for name in wanted if name not in every]:
        raise SystemExit(f"no keeper {unknown[0]!r}: choose from {', '.join(every)}")
    scale = SCALES[arguments.size]
    if arguments.rounds is not None:
        scale = dataclasses.replace(scale, rounds=max(1, arguments.rounds))
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        comparison = Comparison(
            datasets=[DATASETS[name] for name in arguments.only or DATASETS],
            keepers={name: every[name] for name in wanted},
            scale=scale,
            folder=Path(folder),
            say=lambda text: progress.print(text, markup=False, highlight=False),
        )
        comparison.run()
        kind = filesystem_type(folder)
    versions = {name: keeper.version() for name, keeper in comparison.keepers.items()}
    seconds = time.monotonic() - begin
    conditions = Conditions(dataclasses.asdict(scale), versions, kind, {}, load, seconds)
    report, extents, skips = comparison.lines(), comparison.extents, comparison.skips
    print_storage(output, report, extents, comparison.samples, skips)
    data = {"data": {name: dataclasses.asdict(extent) for name, extent in extents.items()}}
    write_json(arguments.json, conditions, report, comparison.samples, skips, data)
    progress.print(f"{seconds:.0f} s; JSON: {arguments.json}", markup=False)
    draw(progress, arguments.plot, "bench.storage_plot", extents, comparison.samples)
    return EXIT_FAILED if any(skip.failed for skip in skips) else 0
