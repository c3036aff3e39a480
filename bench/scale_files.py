"""A store that grows to a million files, in folders of a thousand and in one folder, and what that costs.

Promises that the files that count are made through the mount, one request each, and that each store is looked
at while it grows: mounting, the first names of a listing, looking names up, walking all of it.
"""

import itertools
import os
import random
import stat
import time
from pathlib import Path
from statistics import median

import vfs
from bench.memory import memory, most_memory
from bench.processes import cpu_seconds
from bench.scale_curves import Curve
from bench.scale_mount import find, first_names, forget_names, stat_all
from bench.scale_part import Part
from bench.scale_sizes import MIB, ScaleSizes

PART = "files"
FALL = 0.8
MOUNT_RATIO = 2.0
MOUNT_BYTES = 100 * MIB
SAME = 1.5
"""What is called the same time at all sizes: the rest is the machine."""

LARGE = 10_000
"""A folder of so many names is not read as a whole, which makes looking up in a smaller one cheaper."""

LOOKING_CPU = "looking a name up, the daemon's CPU"
LISTING_SECONDS = 0.05


class Shape:
    """How files lie in folders."""

    def __init__(self, name: str, in_folder: int | None) -> None:
        self.name = name
        self._in_folder = in_folder

    def folder(self, number: int) -> str:
        """Of a file."""
        return "all" if self._in_folder is None else f"{number // self._in_folder:04}"

    def path(self, number: int) -> str:
        """Of a file."""
        return f"{self.folder(number)}/{number:07}"

    def make(self, root: Path, first: int, end: int) -> None:
        """Files first..end-1."""
        for folder, numbers in itertools.groupby(range(first, end), self.folder):
            os.makedirs(root / folder, exist_ok=True)
            base = f"{root}/{folder}/"
            for number in numbers:
                os.mknod(f"{base}{number:07}", stat.S_IFREG | 0o644)


def shapes(sizes: ScaleSizes) -> tuple[Shape, Shape]:
    """Both of them; the store of the first is used for other measurements as well."""
    return Shape(f"folders of {sizes.files_in_folder:,}", sizes.files_in_folder), Shape("one folder", None)


class FilesPart(Part):
    """Both shapes, one after the other."""

    def run(self, shape: Shape, home: Path) -> None:
        """Grow a store in `home`, look at it, and judge."""
        vfs.mkfs(home / "store")
        made = 0
        for files in self._sizes.files:
            self._grow(shape, home, made, files)
            made = files
            self._look(shape, home, files)
        self._judge(shape)

    def _curve(self, panel: str, name: str, unit: str) -> Curve:
        return self._findings.curve(PART, panel, name, unit, "files")

    def _grow(self, shape: Shape, home: Path, made: int, files: int) -> None:
        """The last ones through the mount, those before in a program, which is quicker."""
        begin = max(made, files - self._sizes.edge)
        if begin > made:
            self._grow_in_program(shape, home, made, begin)
        wall = self._curve("creating through the mount", shape.name, "/s")
        cpu = self._curve("creating a file, the daemon's CPU", shape.name, "µs")
        taken = self._curve("memory while files are made (own)", shape.name, "MiB")
        step = self._sizes.slice_files
        with self._mounting.mounted(home) as daemon, most_memory(daemon.pid) as most:
            for first in range(begin, files, step):
                end = min(first + step, files)
                used, clock = cpu_seconds(daemon.pid), time.perf_counter()
                shape.make(daemon.mountpoint, first, end)
                # So few requests may not have been put to the daemon's account yet.
                seconds, used = time.perf_counter() - clock, max(cpu_seconds(daemon.pid) - used, 1e-6)
                wall.points.setdefault(files, []).append((end - first) / seconds)
                cpu.points.setdefault(files, []).append(used / (end - first) * 1e6)
        taken.points[files] = [most.own_bytes / MIB]
        self._say(f"{shape.name}: {files:,} files, the last at {wall.last:,.0f}/s")

    def _grow_in_program(self, shape: Shape, home: Path, first: int, end: int) -> None:
        used = time.process_time()
        with vfs.open(home / "store") as fs:
            for name, numbers in itertools.groupby(range(first, end), shape.folder):
                root = fs.resolve("/").ino
                found = fs.find(root, name.encode()) or fs.mkdir(root, name.encode(), 0o755)
                for number in numbers:
                    fs.mknod(found.ino, b"%07d" % number, 0o644)
        used = (time.process_time() - used) / (end - first) * 1e6
        self._curve("creating a file in a program, CPU", shape.name, "µs").points[end] = [used]

    def _look(self, shape: Shape, home: Path, files: int) -> None:
        figures = self._mounting.figures(home, self._sizes.mounts)
        figures.put(self._findings, PART, shape.name, "files", files)
        resident = self._curve("memory of a fresh mount (resident)", shape.name, "MiB")
        resident.points[files] = [figures.idle.resident_bytes / MIB]
        with self._mounting.mounted(home) as daemon:
            self._look_up(shape, daemon.pid, daemon.mountpoint, files)
            listing = self._curve("until the first name is listed", shape.name, "ms")
            listing.points[files] = [first_names(daemon.mountpoint / shape.folder(0)) * 1e3]
            self._walk(shape, daemon.pid, daemon.mountpoint, files)
        self._say(
            f"{shape.name}: looked at with {files:,} files; mounting takes {figures.ratio:.2f} of empty"
        )

    def _look_up(self, shape: Shape, pid: int, root: Path, files: int) -> None:
        chance = random.Random(files)
        chosen = [shape.path(chance.randrange(files)) for _ in range(self._sizes.looks)]
        there, missing = dict.fromkeys(chosen), dict.fromkeys(f"{path}.not" for path in chosen)
        for name, paths in (("there", there), ("missing", missing)):
            used = cpu_seconds(pid)
            taken = stat_all([f"{root}/{path}" for path in paths], there=name == "there")
            # A few short requests may not have been put to the daemon's account yet.
            used = max(cpu_seconds(pid) - used, 1e-6) / len(paths) * 1e6
            for panel, value in (("looking a name up", median(taken)), (LOOKING_CPU, used)):
                self._curve(panel, f"{name}, {shape.name}", "µs").points[files] = [value]

    def _walk(self, shape: Shape, pid: int, root: Path, files: int) -> None:
        before = memory(pid).own_bytes
        with most_memory(pid) as most:
            seconds = find(root)
        walking = self._curve("find, a name", shape.name, "µs")
        walking.points[files] = [seconds / files * 1e6]
        grown = {"at most": most.own_bytes, "after it": memory(pid).own_bytes}
        if forget_names(pid):
            grown["when the kernel has forgotten"] = memory(pid).own_bytes
        for name, own_bytes in grown.items():
            curve = self._curve("memory that find adds (own)", f"{name}, {shape.name}", "MiB")
            curve.points[files] = [max(0, own_bytes - before) / MIB]

    # --- judging ----------------------------------------------------------------------------

    def _judge(self, shape: Shape) -> None:
        files = self._sizes.files[-1]
        self._judge_creation(shape)
        mount = self._curve("vfs mount", shape.name, "s").last / self._curve("vfs mount", "empty", "s").last
        what = f"with {files:,} files, {shape.name}"
        self._at_most(f"mount {what}, of an empty store's", mount, MOUNT_RATIO, "x")
        resident = self._curve("memory of a fresh mount (resident)", shape.name, "MiB").last
        self._at_most(f"memory of a fresh mount {what}", resident, MOUNT_BYTES / MIB, "MiB")
        listing = self._curve("until the first name is listed", shape.name, "ms").last
        self._at_most(f"first names of a listing {what}", listing, LISTING_SECONDS * 1e3, "ms")
        for name in ("there", "missing"):
            looked = self._curve(LOOKING_CPU, f"{name}, {shape.name}", "µs")
            base = next((size for size in self._sizes.files if size >= LARGE), self._sizes.files[0])
            sentence = f"the daemon's CPU for looking a name up that is {name} {what}, to {base:,}"
            self._at_most(sentence, looked.last / looked.at(base), SAME, "x")
        self._judge_memory(what, shape, files)

    def _judge_memory(self, what: str, shape: Shape, files: int) -> None:
        panel = "memory that find adds (own)"
        bound = walk_bound_bytes(files) / MIB
        self._at_most(
            f"memory that find adds {what}",
            self._curve(panel, f"at most, {shape.name}", "MiB").last,
            bound,
            "MiB",
        )
        after = self._findings.curves.get((PART, panel, f"when the kernel has forgotten, {shape.name}"))
        if after is not None:
            self._at_most(f"of that left afterwards {what}", after.last, walk_bound_bytes(0) / MIB, "MiB")

    def _judge_creation(self, shape: Shape) -> None:
        rates = self._curve("creating through the mount", shape.name, "/s").points
        edge, files = self._sizes.edge, self._sizes.files[-1]
        early = [rate for end, values in rates.items() if end <= edge for rate in values]
        first = median(early or rates[min(rates)])
        last = median(rates[files])
        cpu = self._curve("creating a file, the daemon's CPU", shape.name, "µs").points
        cpu_ratio = median(cpu[files]) / median(cpu[max(end for end in cpu if end <= max(edge, min(cpu)))])
        self._findings.claim(
            PART,
            f"creating the last {edge:,} of {files:,} files, {shape.name}, to the first {edge:,}",
            f"{last / first:.2f} x ({first:,.0f} and {last:,.0f}/s; the daemon's CPU {cpu_ratio:.2f} x)",
            f"≥ {FALL} x",
            holds=last / first >= FALL,
        )

    def _at_most(self, sentence: str, value: float, most: float, unit: str) -> None:
        self._findings.at_most(PART, sentence, value, most, unit)


def walk_bound_bytes(known: int, cache_bytes: int = 64 * MIB) -> int:
    """What a walk may add to a daemon's memory when the kernel comes to know so many inodes by it."""
    return cache_bytes // 4 * 3 + 16 * MIB + 3 * known
