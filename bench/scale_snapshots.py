"""A thousand snapshots of one store: taking them, listing them, looking into them, mounting, fsck.

Promises that some files change between any two. Asks the daemon itself, so that the start of a program does
not count. It never judges what a snapshot holds but by one name and one size.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import vfs
from bench.memory import most_memory
from bench.scale_curves import Curve, Findings
from bench.scale_mount import Mounting, first_names, stat_all
from bench.scale_part import Part
from bench.scale_sizes import MIB, ScaleSizes
from vfs.mount.client import ControlClient

PART = "snapshots"
CHANGED = 10
IN_FOLDER = 100
SAME = 1.5
MOUNT_RATIO = 2.0
MOUNT_BYTES = 100 * MIB


class SnapshotsPart(Part):
    """Takes them through a mount and looks at each number of them."""

    def __init__(
        self, mounting: Mounting, sizes: ScaleSizes, findings: Findings, say: Callable[[str], None]
    ) -> None:
        super().__init__(mounting, sizes, findings, say)
        self._chance = random.Random(1)

    def run(self, home: Path) -> None:
        """All of it."""
        vfs.mkfs(home / "store")
        with vfs.open(home / "store") as fs:
            for number in range(self._sizes.frozen_files):
                if number % IN_FOLDER == 0:
                    fs.make_directory(f"/{number // IN_FOLDER:04}")
                fs.write_bytes(self._path(number), b"first %d" % number)
        made = 0
        for snapshots in self._sizes.snapshots:
            self._take(home, made, snapshots)
            made = snapshots
            self._look(home, snapshots)
        self._judge()

    def _path(self, number: int) -> str:
        return f"/{number // IN_FOLDER:04}/{number:06}"

    def _curve(self, panel: str, name: str, unit: str) -> Curve:
        return self._findings.curve(PART, panel, name, unit, "snapshots")

    def _take(self, home: Path, made: int, snapshots: int) -> None:
        taken = []
        with self._mounting.mounted(home) as daemon:
            for number in range(made, snapshots):
                for _ in range(CHANGED):
                    file = self._chance.randrange(self._sizes.frozen_files)
                    with open(f"{daemon.mountpoint}{self._path(file)}", "ab") as changed:
                        changed.write(b", then %d" % number)
                begin = time.perf_counter()
                ask(home / "store", "snapshot_create", name=f"s{number:04}", comment="")
                taken.append((time.perf_counter() - begin) * 1e3)
        self._curve("taking one", "asked", "ms").points[snapshots] = [median(taken[-100:])]
        self._say(f"{snapshots} snapshots taken, the last ones in {median(taken[-100:]):.1f} ms each")

    def _look(self, home: Path, snapshots: int) -> None:
        figures = self._mounting.figures(home, self._sizes.mounts)
        for name, seconds in (("with snapshots", figures.seconds), ("empty", figures.empty_seconds)):
            self._curve("vfs mount", name, "s").points[snapshots] = seconds
        for name, seconds in (
            ("with snapshots", figures.open_seconds),
            ("empty", figures.empty_open_seconds),
        ):
            opened = self._curve("vfs.open in a program", name, "ms")
            opened.points[snapshots] = [second * 1e3 for second in seconds]
        with self._mounting.mounted(home) as daemon, most_memory(daemon.pid) as most:
            folder = daemon.mountpoint / ".snapshots"
            for name in ("vfs snapshot list", "ls .snapshots"):
                begin = time.perf_counter()
                listed = (
                    os.listdir(folder)
                    if name[0] == "l"
                    else ask(home / "store", "snapshot_list")["snapshots"]
                )
                taken = (time.perf_counter() - begin) / snapshots * 1e6
                assert len(listed) == snapshots, name
                self._curve("listing all, one", name, "µs").points[snapshots] = [taken]
            first = first_names(folder / "s0000" / "0000") * 1e3
            self._curve("the first name in the oldest", "listed", "ms").points[snapshots] = [first]
            self._look_into(daemon.mountpoint, snapshots)
        resident = self._curve("memory of the mount (resident)", "fresh", "MiB")
        resident.points[snapshots] = [figures.idle.resident_bytes / MIB]
        used = self._curve("memory of the mount (resident)", "all of this done", "MiB")
        used.points[snapshots] = [most.resident_bytes / MIB]
        begin, used_before = time.perf_counter(), time.process_time()
        report = vfs.check(home / "store")
        assert report.clean, report
        for name, value in (
            ("seconds", time.perf_counter() - begin),
            ("CPU", time.process_time() - used_before),
        ):
            self._curve("vfs fsck", name, "s").points[snapshots] = [value]
        self._say(f"{snapshots} snapshots looked at; mounting takes {figures.ratio:.2f} of empty")

    def _look_into(self, root: Path, snapshots: int) -> None:
        for name, numbers in (("newest", range(snapshots - 1, snapshots)), ("any", range(snapshots))):
            paths = {
                f"{root}/.snapshots/s{self._chance.choice(numbers):04}"
                + self._path(self._chance.randrange(self._sizes.frozen_files)): None
                for _ in range(self._sizes.looks)
            }
            taken = median(stat_all(list(paths), there=True))
            self._curve("looking a path up in one", name, "µs").points[snapshots] = [taken]

    # --- judging ----------------------------------------------------------------------------

    def _judge(self) -> None:
        most = max(self._sizes.snapshots)
        for panel, name, unit, sentence in (
            ("taking one", "asked", "ms", "taking the last"),
            ("looking a path up in one", "newest", "µs", "looking a path up in the newest"),
            ("looking a path up in one", "any", "µs", "looking a path up in any"),
        ):
            curve = self._curve(panel, name, unit)
            few = sorted(curve.points)[:2][-1]  # the very first one shares nothing with another yet
            what = f"{sentence} of {most:,} snapshots, to {few:,}"
            self._at_most(what, curve.last / curve.at(few), SAME, "x")
        ratio = (
            self._curve("vfs mount", "with snapshots", "s").last / self._curve("vfs mount", "empty", "s").last
        )
        self._at_most(f"mount with {most:,} snapshots, of an empty store's", ratio, MOUNT_RATIO, "x")
        resident = self._curve("memory of the mount (resident)", "fresh", "MiB").last
        self._at_most(f"memory of a fresh mount with {most:,} snapshots", resident, MOUNT_BYTES / MIB, "MiB")

    def _at_most(self, sentence: str, value: float, most: float, unit: str) -> None:
        self._findings.at_most(PART, sentence, value, most, unit)


def ask(store: Path, verb: str, **arguments: Any) -> Any:
    """Ask the daemon."""
    client = ControlClient.connect(store)
    assert client is not None, "it is mounted"
    with client:
        return client.ask(verb, **arguments)
