"""`python -m bench requests`: where the time of one request goes, layer by layer, as a table in Markdown.

Promises that the binding's part is the floor's (kernel, libfuse, pyfuse3 and the client's call; client and
daemon on one CPU), that each layer's comes from calling it without a kernel, and that both are held against
what a live daemon counts of its handlers, where the processor's caches are cold, and against what the same
work takes more on vfs than on the floor, in turn. It never counts what is done later; that has a column.

    binding        CPU of client and daemon on the floor, median (least to most) of the rounds
    adapter...     CPU of our layers one by one, in a loop; sum: all of them
    counted        the daemon's own histograms: medians of the handlers, of the clock, pinned
    share          counted over binding; of metadata at most a third is aimed at
    vfs − floor    CPU of client and daemon, more than on the floor
    later          CPU of the checkpoint, for each operation

With --profile, py-spy looks at a live daemon as well, where it is installed (pip install py-spy).
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench import live_profile
from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, load_before, store_parent
from bench.counted import count_requests
from bench.counting_cost import counting_us
from bench.layers import LISTED, Layers, Measuring, harness
from bench.operations import operations
from bench.processes import filesystem_type
from bench.report import Conditions, print_verdicts, write_json
from bench.results import Sample, Spread, spread
from bench.runner import Run
from bench.sizes import BY_NAME, Sizes
from bench.targets import FloorTarget, Target, VfsTarget
from bench.workloads_requests import OPERATIONS, figure

SHARE = 1 / 3
"""Of the binding's time, what ours may be for metadata."""

DATA = {"write", "read"}
"""Requests that are no metadata, and have budgets of their own."""

SHOWN = {
    "lookup": "lookup",
    "getattr": "getattr",
    "create": "create (getattr, lookup, create, release)",
    "write": "write 4 KiB",
    "read": "read 4 KiB",
    "readdir": f"readdir of {LISTED:,}",
}
HEADINGS = (
    *("operation", "requests", "binding", "adapter", "FileSystem", "log append", "reply"),
    *("sum", "counted", "share", "vfs − floor", "later"),
)
PASSES = {"full": 15, "quick": 5, "tiny": 1}
COUNTED = 20_000
"""Requests in a pass over what counting costs."""

LISTINGS = 5
"""In a pass over a layer; of other operations as many as on the mount."""


@dataclass(frozen=True)
class Line:
    """One operation. Microseconds of CPU."""

    operation: str
    requests: float
    binding: Spread
    layers: Layers
    difference: Spread
    """vfs less the floor, by round."""
    counted: float
    """By the daemon itself."""
    daemon_us: float
    """Of the binding's and ours, what the daemon takes."""

    @property
    def share(self) -> float:
        """Ours over the binding's."""
        return self.counted / self.binding.median

    @property
    def passes(self) -> bool:
        """Whether it is as small as it should be."""
        return self.share <= SHARE or self.operation in DATA


def costs(samples: Sequence[Sample], operation: str) -> dict[int, dict[str, float]]:
    """Microseconds of client and daemon for one operation, by round and target."""
    found: dict[int, dict[str, float]] = {}
    for sample in samples:
        if sample.workload == figure(operation) and sample.cpu_seconds is not None and sample.operations:
            cost = (sample.cpu_seconds + sample.client_cpu_seconds) / sample.operations * 1e6
            found.setdefault(sample.round, {})[sample.target] = cost
    return {number: both for number, both in found.items() if {"floor", "vfs"} <= both.keys()}


def requests_each(samples: Sequence[Sample], operation: str) -> float:
    """Requests of the kernel for one operation, as the floor answered them; 0 when nobody knows."""
    counts = [
        sample.write_calls / sample.operations
        for sample in samples
        if sample.workload == figure(operation)
        and sample.target == "floor"
        and sample.write_calls is not None
    ]
    return statistics.median(counts) if counts else 0.0


def page_entries(samples: Sequence[Sample]) -> int:
    """How many entries the kernel takes at a time: all requests but opendir, releasedir and the last."""
    return max(1, round(LISTED / max(1.0, requests_each(samples, "readdir") - 3)))


def measure_layers(
    samples: Sequence[Sample], folder: Path, count: int, passes: int
) -> tuple[dict[str, Layers], Spread]:
    """By operation; and what counting adds to each request."""
    found = {}
    with harness(folder) as made:
        for name, steps in operations(page_entries(samples)).items():
            each = LISTINGS if name == "readdir" else count
            found[name] = Measuring(made, steps, each).run(passes)
        return found, counting_us(made, COUNTED, passes)


def lines(
    samples: Sequence[Sample], layers: Mapping[str, Layers], counted: Mapping[str, float]
) -> list[Line]:
    """One for each operation that was measured on both targets."""
    result = []
    for name, found in layers.items():
        by_round = list(costs(samples, name).values())
        binding = spread([both["floor"] for both in by_round])
        difference = spread([both["vfs"] - both["floor"] for both in by_round])
        if binding is not None and difference is not None and name in counted:
            daemon_us = statistics.median(
                sample.cpu_seconds / sample.operations * 1e6
                for sample in samples
                if (sample.workload, sample.target) == (figure(name), "vfs")
                and sample.cpu_seconds is not None
            )
            requests = requests_each(samples, name)
            result.append(Line(name, requests, binding, found, difference, counted[name], daemon_us))
    return result


def markdown(found: Sequence[Line]) -> list[str]:
    """The table, a string a row."""
    rows = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    for line in found:
        layers = line.layers
        cells = (
            SHOWN[line.operation],
            f"{line.requests:.1f}",
            _spread(line.binding),
            *(_us(value) for value in (layers.adapter, layers.filesystem, layers.log, layers.reply)),
            _us(layers.ours),
            f"**{_us(line.counted)}**",
            f"{line.share:.2f}{'' if line.passes else ' (short)'}",
            _spread(line.difference),
            _us(layers.later),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _us(value: float) -> str:
    if not value:
        return "–"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def _spread(found: Spread) -> str:
    return f"{_us(found.median)} ({_us(found.least)} to {_us(found.most)})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=BY_NAME, default="full", help="how much work (default: full)")
    parser.add_argument("--rounds", type=int, help="measure everything this many times (default: 5; 2; 1)")
    parser.add_argument("--profile", action="store_true", help="also look at a live daemon with py-spy")
    add_place(parser, RESULTS / "requests.json")
    parser.add_argument(
        "--strict", action="store_true", help=f"exit {EXIT_SHORT} when metadata takes us over a third"
    )


def _sizes(arguments: argparse.Namespace) -> Sizes:
    rounds = arguments.rounds or {"full": 5, "quick": 2, "tiny": 1}[arguments.sizes]
    # Always a thousand entries to a listing: that is what the table says.
    return dataclasses.replace(BY_NAME[arguments.sizes], rounds=rounds, listed_entries=LISTED)


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)
    targets: dict[str, Target] = {"floor": FloorTarget(), "vfs": VfsTarget(arguments.vfs)}
    sizes = _sizes(arguments)
    if arguments.profile and (reason := live_profile.missing()):
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as name:
        folder = Path(name)
        run = Run(
            workloads=list(OPERATIONS.values()),
            targets=targets,
            sizes=sizes,
            pinned=True,
            store_dir=folder,
            payloads={},
            say=lambda text: progress.print(text, markup=False, highlight=False),
        )
        run.run()
        layers, counting = measure_layers(run.samples, folder, sizes.files, PASSES[arguments.sizes])
        found = lines(run.samples, layers, count_requests(arguments.vfs, folder, sizes))
        profiles = live_profile.profile(targets["vfs"], folder, sizes, progress) if arguments.profile else {}
        kind = filesystem_type(name)
    print("\n".join(markdown(found)))
    print(f"\nof which counting, in µs a request: {_spread(counting)}")
    if profiles:
        print("\n" + "\n".join(live_profile.markdown(profiles, {line.operation: line for line in found})))
    versions = {target: each.version() for target, each in targets.items()}
    seconds = time.monotonic() - begin
    conditions = Conditions(dataclasses.asdict(sizes), versions, kind, run.readahead_kib, load, seconds)
    more = {
        "requests": [asdict(line) for line in found],
        "counting_us": asdict(counting),
        "profiles": profiles,
    }
    write_json(arguments.json, conditions, [], run.samples, run.skips, more)
    print_verdicts(progress, [], run.skips)
    progress.print(f"{seconds:.0f} s; JSON: {arguments.json}", markup=False)
    if len(found) < len(OPERATIONS) and not all(skip.failed is False for skip in run.skips):
        return EXIT_FAILED
    return EXIT_SHORT if arguments.strict and not all(line.passes for line in found) else 0
