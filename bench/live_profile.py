"""Where the threads of a live daemon are while it answers one kind of request, as py-spy sees them.

Promises samples of a daemon that nothing else is asked of. py-spy stops it for each sample, so this says
shares and no times. It never changes the daemon, and needs what py-spy needs: root, or a kernel that lets us.
"""

import dataclasses
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console

from bench.layers import Layers
from bench.processes import DROP_NAMES, can_drop_caches, drop_caches
from bench.sizes import Sizes
from bench.targets import Target, TargetFailed, mounts
from bench.workload import Cold, Place, Workload
from bench.workloads_requests import NOXATTR, OPERATIONS

SECONDS = 4
RATE = 250
LAYERS = ("adapter", "filesystem", "log", "reply")
BINDING, BESIDE = "binding", "beside"

TASK = re.compile(r"unrolled_run \(.*trio/_core/_run\.py:\d+\)")
"""Below it in a stack are trio and the daemon's life, above it what a task does."""


class Measured(Protocol):
    """What the layers say of one operation."""

    @property
    def layers(self) -> Layers: ...

    @property
    def daemon_us(self) -> float: ...


def _program() -> str | None:
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


def missing() -> str | None:
    """Why there can be no profile; None when there can."""
    if _program() is None:
        return "--profile needs py-spy: .venv/bin/pip install py-spy"
    return None if can_drop_caches() else "--profile needs root, to drop the kernel's caches"


def profile(target: Target, folder: Path, sizes: Sizes, console: Console) -> dict[str, dict[str, int]]:
    """Samples by operation and layer."""
    found = {}
    with mounts(folder, {target.name: target}) as mounted:
        root = mounted.root(target.name, NOXATTR)
        daemon = mounted.daemon(target.name, NOXATTR)
        if daemon is None:
            raise TargetFailed(f"{target.name} has no daemon to look at")
        for operation, workload in OPERATIONS.items():
            place = Place(str(root / operation), str(root / "shared"), sizes, {}, {})
            for needed in (place.folder, place.shared):
                Path(needed).mkdir(exist_ok=True)
            found[operation] = dict(_look(daemon.pid, workload, place, folder / "stacks"))
            console.print(f"py-spy {operation}: {sum(found[operation].values())} samples", highlight=False)
    return found


def _look(pid: int, workload: Workload, place: Place, output: Path) -> Counter[str]:
    """Repeat a workload for as long as py-spy looks."""
    measure, program = workload.measure, _program()
    assert measure is not None
    assert program is not None, "see `missing`"
    workload.prepare(place)
    looking = subprocess.Popen(
        [
            *(program, "record", "--pid", str(pid), "--duration", str(SECONDS), "--rate", str(RATE)),
            *("--format", "raw", "--full-filenames", "--output", str(output)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    number = 0
    try:
        while looking.poll() is None:
            number += 1
            again = dataclasses.replace(place, folder=f"{place.folder}/{number}")
            Path(again.folder).mkdir()
            if workload.cold is Cold.NAMES:
                drop_caches(DROP_NAMES)
            else:
                workload.prepare(again)
            measure(again)
    finally:
        looking.kill()
        _, said = looking.communicate()
    if not output.exists():
        raise TargetFailed(f"py-spy gave nothing: {said.strip()}")
    return sort_stacks(output.read_text().splitlines())


def sort_stacks(lines: Iterable[str]) -> Counter[str]:
    """Samples by layer, of lines with frames from the outermost in, with semicolons, and a count."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        found[layer_of(stack.split(";"))] += int(count)
    return found


def layer_of(frames: list[str]) -> str:
    """The layer that a stack stands in."""
    tasks = [number for number, frame in enumerate(frames) if TASK.match(frame)]
    if not tasks:
        return BESIDE  # another thread
    frames = [
        frame for frame in frames[tasks[-1] + 1 :] if "/vfs/" in frame and "/site-packages/" not in frame
    ]
    if not frames:
        return BINDING
    if "/vfs/mount/handlers.py:" not in frames[0] and "/vfs/mount/adapter.py:" not in frames[0]:
        return BESIDE  # a commit, a checkpoint, packing
    if any(frame.startswith("append (") and "/vfs/backing/log.py:" in frame for frame in frames):
        return "log"
    if "/vfs/mount/answers.py:" in frames[-1]:
        return "reply"
    return "adapter" if "/vfs/mount/" in frames[-1] else "filesystem"


def markdown(profiles: Mapping[str, Mapping[str, int]], measured: Mapping[str, Measured]) -> list[str]:
    """Shares of the daemon's main thread in percent: as seen, and as the layers say."""
    rows = [
        "| py-spy: % (layers: %) | samples | binding | adapter | FileSystem | log append | reply |",
        "| --- " * 7 + "|",
    ]
    for operation, samples in profiles.items():
        count = sum(found for layer, found in samples.items() if layer != BESIDE)
        line = measured.get(operation)
        if not count or line is None:
            continue
        said = {layer: getattr(line.layers, layer) / line.daemon_us for layer in LAYERS}
        said[BINDING] = 1 - sum(said.values())
        cells = (f"{samples.get(each, 0) / count:.0%} ({said[each]:.0%})" for each in (BINDING, *LAYERS))
        rows.append(f"| {operation} | {count:,} | {' | '.join(cells)} |")
    return rows
