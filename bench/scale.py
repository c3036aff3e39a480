"""`python -m bench scale`: a million files, huge files, a thousand snapshots, and the memory of the daemon.

Promises curves of time and memory against size, each claim with its verdict as rows of Markdown, and a
picture of each part. It never lets the failure of one part end the run, and leaves nothing behind.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, EXIT_SHORT, RESULTS, add_place, draw, load_before, store_parent
from bench.processes import filesystem_type
from bench.report import Conditions, write_json
from bench.results import Skip
from bench.scale_curves import Findings, markdown
from bench.scale_files import FilesPart, shapes
from bench.scale_huge import HugePart
from bench.scale_memory import MemoryPart
from bench.scale_mount import Mounting
from bench.scale_sizes import BY_NAME, ScaleSizes
from bench.scale_snapshots import SnapshotsPart
from bench.targets import TargetFailed, VfsTarget, mounted_below
from vfs.errors import VfsError

PARTS = ("files", "huge", "snapshots", "memory")
DOCS = Path(__file__).parent.parent / "docs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=BY_NAME, default="full", help="how much (default: %(default)s)")
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="default: %(default)s; memory needs files and huge"
    )
    parser.add_argument("--plots", type=Path, default=DOCS, help="folder for pictures (default: %(default)s)")
    parser.add_argument(
        "--strict", action="store_true", help=f"exit with {EXIT_SHORT} if a claim falls short"
    )
    add_place(parser, RESULTS / "scale.json")


def _steps(
    parts: list[str],
    program: str,
    mounting: Mounting,
    sizes: ScaleSizes,
    found: Findings,
    say: Callable[[str], None],
) -> list[tuple[str, Callable[[], None]]]:
    files = FilesPart(mounting, sizes, found, say)
    in_folders, in_one = shapes(sizes)
    homes = {name: mounting.home(name) for name in ("folders", "one", "huge", "snapshots")}
    huge = HugePart(program, mounting, sizes, found, say)
    snapshots = SnapshotsPart(mounting, sizes, found, say)
    own = MemoryPart(mounting, sizes, found, say)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("files", lambda: files.run(in_folders, homes["folders"])),
        ("files", lambda: files.run(in_one, homes["one"])),
        ("huge", lambda: huge.run(homes["huge"])),
        ("snapshots", lambda: snapshots.run(homes["snapshots"])),
        ("memory", lambda: own.run(homes["folders"], homes["huge"])),
    ]
    return [step for step in steps if step[0] in parts]


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    begin, load = time.monotonic(), load_before(progress)

    def say(text: str) -> None:
        progress.print(f"{time.monotonic() - begin:5.0f} s  {text}", markup=False, highlight=False)

    parts = arguments.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise SystemExit(f"no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if "memory" in parts and not {"files", "huge"} <= set(parts):
        raise SystemExit("the part memory looks at what files and huge have made: name them as well")
    target = VfsTarget(arguments.vfs)
    if reason := target.ready():
        raise SystemExit(f"cannot measure vfs ({reason})")
    sizes, found, skips = BY_NAME[arguments.sizes], Findings(), []
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        mounting = Mounting(arguments.vfs, Path(folder))
        for part, step in _steps(parts, arguments.vfs, mounting, sizes, found, say):
            try:
                step()
            except (TargetFailed, VfsError, OSError, subprocess.SubprocessError, AssertionError) as error:
                skips.append(Skip(part, "vfs", f"{type(error).__name__}: {error}", failed=True))
                say(f"FAILED {part}: {type(error).__name__}: {error}")
        kind = filesystem_type(folder)
        if left := mounted_below(Path(folder)):
            raise TargetFailed(f"still mounted: {', '.join(left)}")
    for row in markdown(found):
        output.print(row, markup=False, highlight=False, soft_wrap=True)
    seconds = time.monotonic() - begin
    conditions = Conditions(asdict(sizes), {"vfs": target.version()}, kind, {}, load, seconds)
    more = {
        "claims": [asdict(claim) for claim in found.claims],
        "curves": [asdict(curve) for curve in found.curves.values()],
    }
    write_json(arguments.json, conditions, (), (), skips, more)
    say(f"JSON: {arguments.json}")
    for part in found.parts():
        draw(
            progress,
            arguments.plots / f"scale-{part.replace(' ', '-')}.png",
            "bench.scale_plot",
            found.of(part),
        )
    if skips:
        return EXIT_FAILED
    return EXIT_SHORT if arguments.strict and not all(claim.holds for claim in found.claims) else 0
