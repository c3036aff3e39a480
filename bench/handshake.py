"""`python -m bench handshake`: what it saves that the daemon takes part in the handshake with the kernel.

Promises that each round does every work on a new store with it and on one without it, in an order that is
drawn anew, the rest being the same; and to leave nothing behind. It never compares with anything else.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from bench.command import RESULTS, add_place, load_before, store_parent
from bench.results import spread
from bench.storage import fresh
from bench.targets import Daemon

VFS = (sys.executable, "-m", "vfs")
WAYS = {"without": (sys.executable, "-m", "bench.left_alone"), "with": VFS}
LOOKING_UP = 3
"""Processes that look up names in one directory."""

SIZES = {"full": 20, "quick": 5, "tiny": 1}
"""Times a hundred of each."""


class Work(NamedTuple):
    """What is done, so many times, on a mount, and how one of it is called."""

    one: str
    prepare: Callable[[Path, int], object]
    measure: Callable[[Path, int], object]


class Sample(NamedTuple):
    """One work, once: microseconds and requests for one of it."""

    work: str
    way: str
    us: float
    requests: float


def nothing(folder: Path, count: int) -> None:
    """No preparation."""


def append(folder: Path, count: int) -> None:
    handle = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(count):
        os.write(handle, b"x" * 100)
    os.close(handle)


def append_and_sync(folder: Path, count: int) -> None:
    handle = os.open(folder / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    page = random.Random(1).randbytes(4096)
    for _ in range(count):
        os.write(handle, page)
        os.fsync(handle)
    os.close(handle)


def pack_up(folder: Path, count: int) -> None:
    with tarfile.open(folder.parent / "small.tar", "w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"{number % 10}/{number}")
            member.size = 1024
            archive.addfile(member, io.BytesIO(random.Random(number).randbytes(1024)))


def unpack(folder: Path, count: int) -> None:
    subprocess.run(["tar", "-xf", folder.parent / "small.tar", "-C", folder], check=True)


def make_links(folder: Path, count: int) -> None:
    for number in range(100):
        os.symlink("target", folder / f"link{number}")
        os.readlink(folder / f"link{number}")


def read_links(folder: Path, count: int) -> None:
    for number in range(count):
        os.readlink(folder / f"link{number % 100}")


LOOK_UP = """
import os, sys
for number in range(int(sys.argv[3])):
    os.path.lexists(f"{sys.argv[1]}/{sys.argv[2]}-{number}")
"""


def look_up(folder: Path, count: int) -> None:
    each = str(count // LOOKING_UP)
    processes = [
        subprocess.Popen([sys.executable, "-c", LOOK_UP, folder, str(number), each])
        for number in range(LOOKING_UP)
    ]
    for process in processes:
        process.wait()


WORKS = {
    "append": Work("100-byte append", nothing, append),
    "append+fsync": Work("4 KiB append + fsync", nothing, append_and_sync),
    "untar": Work("file of 1 KiB by tar -x", pack_up, unpack),
    "readlink": Work("readlink, not the first one", make_links, read_links),
    "look-up": Work(f"look-up by one of {LOOKING_UP} processes in one directory", nothing, look_up),
}


def requests(mount: Path) -> int:
    """How many the daemon has answered."""
    said = subprocess.run([*VFS, "info", "--json", mount], capture_output=True, text=True, check=True).stdout
    return sum(kind["count"] for kind in json.loads(said)["requests"].values())


def measure(name: str, way: str, count: int, home: Path) -> Sample:
    """One work on a new store."""
    work = WORKS[name]
    subprocess.run([*VFS, "mkfs", home / "store"], check=True, stdout=subprocess.DEVNULL)
    command = [*WAYS[way], "mount", "--foreground", str(home / "store"), str(home / "mount")]
    daemon = Daemon(command, home / "mount", home / "log")
    try:
        work.prepare(daemon.mountpoint, count)
        before, begin = requests(daemon.mountpoint), time.perf_counter()
        work.measure(daemon.mountpoint, count)
        seconds = time.perf_counter() - begin
        return Sample(name, way, seconds / count * 1e6, (requests(daemon.mountpoint) - before) / count)
    finally:
        daemon.stop()


def markdown(samples: list[Sample]) -> str:
    """A row for each work: medians, and how much faster it is, with the least and the most of the rounds."""
    rows = ["| one of it | requests without | with | µs without | with | faster |", "| --- |" + " ---: |" * 5]
    for name in dict.fromkeys(one.work for one in samples):
        without, with_it = ([one for one in samples if one[:2] == (name, way)] for way in WAYS)
        faster = spread([old.us / new.us for old, new in zip(without, with_it, strict=True)])
        cells = [WORKS[name].one]
        for figure in ("requests", "us"):
            for found in (without, with_it):
                median = spread([getattr(one, figure) for one in found])
                cells.append("-" if median is None else f"{median.median:.2f}")
        if faster is not None:
            cells.append(f"{faster.median:.2f} ({faster.least:.2f}–{faster.most:.2f})")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", choices=SIZES, default="full", help="how much (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), help="works (default: all)")
    add_place(parser, RESULTS / "handshake.json")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    load = load_before(progress)
    count = SIZES[arguments.sizes] * 100
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        for number in range(arguments.rounds):
            for name in arguments.only:
                for way in random.sample(list(WAYS), len(WAYS)):
                    with fresh(Path(folder) / "home") as home:
                        samples.append(measure(name, way, count, home))
                    told = samples[-1]
                    progress.print(
                        f"round {number + 1} {name} {way}: {told.us:.1f} µs, {told.requests:.2f} requests",
                        markup=False,
                        highlight=False,
                    )
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"load_before": load, "count": count, "samples": [sample._asdict() for sample in samples]}
    arguments.json.write_text(json.dumps(document, indent=1))
    output.print(markdown(samples), markup=False, highlight=False, soft_wrap=True)
    return 0
