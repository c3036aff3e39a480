"""A store that is mounted again and again while it grows, and what is asked of each mount.

Promises that nothing stays mounted, and that an empty store is mounted in turn with each other one, so that
both see the same machine. It never judges a figure.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import vfs
from bench.memory import Memory, memory
from bench.processes import DROP_NAMES, can_drop_caches, drop_caches, settle
from bench.scale_curves import Findings
from bench.targets import Daemon, VfsTarget

DROPS = 4
"""The kernel forgets a name at the second time of asking: the first only notes that it was not used since."""


@dataclass(frozen=True)
class MountFigures:
    """Of one store, beside an empty one: seconds of `vfs mount` and of `vfs.open`, and memory at rest."""

    seconds: list[float]
    empty_seconds: list[float]
    open_seconds: list[float]
    empty_open_seconds: list[float]
    idle: Memory
    empty_idle: Memory

    @property
    def ratio(self) -> float:
        """How many times as long as an empty one."""
        return median(self.seconds) / median(self.empty_seconds)

    def put(self, findings: Findings, part: str, name: str, along: str, size: float) -> None:
        """Into curves of that part."""
        for panel, unit, factor, pairs in (
            ("vfs mount", "s", 1, ((name, self.seconds), ("empty", self.empty_seconds))),
            (
                "vfs.open in a program",
                "ms",
                1e3,
                ((name, self.open_seconds), ("empty", self.empty_open_seconds)),
            ),
        ):
            for whose, seconds in pairs:
                points = findings.curve(part, panel, whose, unit, along).points
                points.setdefault(size, []).extend(second * factor for second in seconds)


class Mounting:
    """Mounts stores of one program, below one folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self._target = VfsTarget(program)
        self._folder = folder

    def home(self, name: str) -> Path:
        """A folder for a store of its own."""
        found = self._folder / name
        found.mkdir(exist_ok=True)
        return found

    @contextlib.contextmanager
    def mounted(self, home: Path, *options: str) -> Iterator[Daemon]:
        """The store of a home, made where there is none."""
        daemon = self._target.start(home, frozenset(options))
        assert daemon is not None, "vfs is mounted by a daemon"
        try:
            yield daemon
        finally:
            daemon.stop()

    def figures(self, home: Path, rounds: int) -> MountFigures:
        """Mount it, and an empty one in turn."""
        homes = (self.home("empty"), home)
        seconds: tuple[list[float], list[float]] = ([], [])
        opening: tuple[list[float], list[float]] = ([], [])
        idle = [Memory(), Memory()]
        for _ in range(rounds):
            for number, each in enumerate(homes):
                with self.mounted(each) as daemon:
                    seconds[number].append(daemon.start_seconds)
                    settle(daemon.pid)
                    idle[number] = memory(daemon.pid)
                opening[number].append(open_seconds(each / "store"))
        return MountFigures(seconds[1], seconds[0], opening[1], opening[0], idle[1], idle[0])


def open_seconds(store: Path) -> float:
    """What opening takes in a program that runs already."""
    begin = time.perf_counter()
    with vfs.open(store, read_only=True):
        return time.perf_counter() - begin


def first_names(folder: Path) -> float:
    """Seconds until a listing shows its first name."""
    begin = time.perf_counter()
    with os.scandir(folder) as entries:
        next(entries)
        return time.perf_counter() - begin


def stat_all(paths: Sequence[str], *, there: bool) -> list[float]:
    """Microseconds that looking at each takes; they must be there, or not."""
    taken = []
    for path in paths:
        begin = time.perf_counter()
        try:
            os.stat(path)
            found = True
        except FileNotFoundError:
            found = False
        taken.append((time.perf_counter() - begin) * 1e6)
        assert found == there, path
    return taken


def find(folder: Path, *tests: str) -> float:
    """Seconds of a whole walk by find(1)."""
    begin = time.perf_counter()
    subprocess.run(["find", str(folder), *tests], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def forget_names(pid: int) -> bool:
    """Have the kernel forget what it need not know; False where this machine does not allow that."""
    if not can_drop_caches():
        return False
    for _ in range(DROPS):
        drop_caches(DROP_NAMES)
        settle(pid)
    return True
