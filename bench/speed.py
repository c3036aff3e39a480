"""`python -m bench`: measure the floor, the host directory and vfs in one run; ratios, JSON and a plot.

Promises that no figure of vfs is reported without what it is held against, measured in the same run.
It never writes anywhere but below one temporary folder and to the two files of results.
"""

import argparse
import dataclasses
import os
import shutil
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench import payload
from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, draw, load_before, store_parent
from bench.processes import filesystem_type
from bench.registry import WORKLOADS
from bench.report import Conditions, print_report, write_json
from bench.results import Line, lines
from bench.runner import Run
from bench.sizes import BY_NAME, Sizes
from bench.targets import CompressorTarget, FloorTarget, HostDirectory, Target, VfsTarget
from bench.workload import Workload

TARGETS = ("floor", "host", "vfs", "zstd")
FILES_AT_ONCE = 6
"""Files of sequential_bytes that a round may hold on disk at once, logs and copies included."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_const", dest="sizes", const="quick", help="the same as --sizes quick"
    )
    parser.add_argument("--sizes", choices=BY_NAME, default="full", help="how much work (default: full)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=WORKLOADS, help="these workloads only")
    parser.add_argument("--targets", default=",".join(TARGETS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="measure everything this many times")
    parser.add_argument(
        "--pin",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure with client and daemon on one CPU (default), or leave that out",
    )
    add_place(parser, RESULTS / "latest.json", RESULTS / "latest.png")
    parser.add_argument("--strict", action="store_true", help=f"exit {EXIT_SHORT} when a budget is not met")
    parser.add_argument("--list", action="store_true", help="list the workloads and end")
    parser.set_defaults(sizes="full")


def _targets(names: list[str], program: str) -> dict[str, Target]:
    available: dict[str, Target] = {
        "floor": FloorTarget(),
        "host": HostDirectory(),
        "vfs": VfsTarget(program),
        "zstd": CompressorTarget(),
    }
    unknown = [name for name in names if name not in available]
    if unknown:
        raise SystemExit(f"no target {unknown[0]!r}: choose from {', '.join(TARGETS)}")
    if "vfs" in names and (reason := VfsTarget(program).ready()):
        raise SystemExit(
            f"cannot measure vfs ({reason}): install it, or leave it out with --targets floor,host"
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount3") is None:
        raise SystemExit("cannot mount: /dev/fuse must be readable and writable, and fusermount3 installed")
    return {name: available[name] for name in names}


def _sizes(arguments: argparse.Namespace, free_bytes: int) -> Sizes:
    sizes = BY_NAME[arguments.sizes]
    wanted = min(payload.sequential_bytes(sizes.sequential_bytes), free_bytes // FILES_AT_ONCE)
    if arguments.rounds is not None:
        sizes = dataclasses.replace(sizes, rounds=max(1, arguments.rounds))
    return dataclasses.replace(sizes, sequential_bytes=wanted // 2**20 * 2**20)


def _run(arguments: argparse.Namespace, console: Console) -> tuple[Run, list[Line], Conditions]:
    begin, load = time.monotonic(), load_before(console)
    workloads: list[Workload] = [WORKLOADS[name] for name in arguments.only or WORKLOADS]
    targets = _targets(arguments.targets.split(","), arguments.vfs)
    parent = store_parent(arguments.store_dir)
    sizes = _sizes(arguments, shutil.disk_usage(parent).free)
    payloads = {kind: payload.make(kind, sizes.sequential_bytes) for kind in payload.KINDS}
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=parent) as folder:
        console.print(f"stores in {folder} ({filesystem_type(folder)})", markup=False)
        run = Run(
            workloads=workloads,
            targets=targets,
            sizes=sizes,
            pinned=arguments.pin,
            store_dir=Path(folder),
            payloads=payloads,
            say=lambda text: console.print(text, markup=False, highlight=False),
        )
        run.run()
        kind = filesystem_type(folder)
    versions = {name: target.version() for name, target in targets.items()}
    conditions = Conditions(
        dataclasses.asdict(sizes),
        versions,
        kind,
        run.readahead_kib,
        load,
        time.monotonic() - begin,
    )
    return run, lines(workloads, run.samples), conditions


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    if arguments.list:
        print("\n".join(WORKLOADS))
        return 0
    run, report, conditions = _run(arguments, progress)
    print_report(output, report, run.skips)
    write_json(arguments.json, conditions, report, run.samples, run.skips)
    progress.print(f"{conditions.seconds:.0f} s; JSON: {arguments.json}", markup=False)
    draw(progress, arguments.plot, "bench.plot", report)
    if any(skip.failed for skip in run.skips):
        return EXIT_FAILED
    if arguments.strict and any(line.passes is False for line in report):
        return EXIT_SHORT
    return 0
