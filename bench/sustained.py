"""`python -m bench sustained`: write mixed data for long; watch the daemon's memory and its store's room.

Promises that the data never repeats, is made without a disk, and is compared with what can be read back at
the end. It never looks into the files of the store: it only asks for their sizes.
"""

import argparse
import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench.command import EXIT_FAILED, RESULTS, add_place, draw, load_before, store_parent
from bench.keepers import room
from bench.material import MIXED_KINDS, Mixture
from bench.memory import status_bytes
from bench.processes import filesystem_type
from bench.report import Conditions, write_json
from bench.sizes import MIB
from bench.sustained_report import Moment, Summary, print_sustained, summarize
from bench.targets import Daemon, TargetFailed, VfsTarget

SIZES_MIB = {"full": 8192, "quick": 1024, "small": 32}
FILE_MIB = 64
SEED = 3
SAMPLE_SECONDS = 0.2
DOCS = Path(__file__).parent.parent / "docs"


@dataclass
class Progress:
    """Shared by the writer and the watcher; each field has one writer."""

    logical_bytes: int = 0
    longest_write_seconds: float = 0.0


def _look(begin: float, pid: int, store: Path, progress: Progress) -> Moment:
    memory = status_bytes(pid, "VmRSS", "VmHWM", "RssAnon")
    return Moment(
        seconds=time.perf_counter() - begin,
        logical_bytes=progress.logical_bytes,
        store_bytes=room(store),
        log_bytes=room(store / "log"),
        pack_bytes=room(store / "packs"),
        resident_bytes=memory.get("VmRSS", 0),
        anonymous_bytes=memory.get("RssAnon", 0),
        peak_resident_bytes=memory.get("VmHWM", 0),
    )


@contextlib.contextmanager
def _watched(begin: float, pid: int, store: Path, progress: Progress) -> Iterator[list[Moment]]:
    """Moments, one more every SAMPLE_SECONDS and a last one when the block ends."""
    moments: list[Moment] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            moments.append(_look(begin, pid, store, progress))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield moments
    finally:
        ended.set()
        thread.join()
        moments.append(_look(begin, pid, store, progress))


def _files(size_mib: int) -> Iterator[tuple[str, range]]:
    """Names of the files and the numbers of their pieces."""
    for first in range(0, size_mib, FILE_MIB):
        yield f"mixed-{first // FILE_MIB:05}.bin", range(first, min(first + FILE_MIB, size_mib))


def _write(folder: Path, mixture: Mixture, size_mib: int, progress: Progress) -> None:
    for name, pieces in _files(size_mib):
        descriptor = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            for number in pieces:
                piece = mixture.piece(number)
                begin = time.perf_counter()
                if os.write(descriptor, piece) != len(piece):
                    raise OSError("short write")
                progress.longest_write_seconds = max(
                    progress.longest_write_seconds, time.perf_counter() - begin
                )
                progress.logical_bytes += len(piece)
        finally:
            os.close(descriptor)


def _compare(folder: Path, mixture: Mixture, size_mib: int) -> None:
    for name, pieces in _files(size_mib):
        with (folder / name).open("rb", buffering=0) as file:
            for number in pieces:
                if file.read(MIB) != mixture.piece(number):
                    raise TargetFailed(f"not what was written: {name}, MiB {number % FILE_MIB}")


@contextlib.contextmanager
def _mounted(target: VfsTarget, home: Path, options: frozenset[str]) -> Iterator[Daemon]:
    daemon = target.start(home, options)
    assert daemon is not None
    try:
        yield daemon
    finally:
        daemon.stop()


def measure(
    target: VfsTarget,
    home: Path,
    size_mib: int,
    options: frozenset[str],
    say: Callable[[str], None],
    *,
    check: bool,
) -> tuple[Summary, list[Moment]]:
    mixture, progress = Mixture(SEED), Progress()
    store = home / "store"
    with _mounted(target, home, options) as daemon:
        flush = target.upkeep(daemon.mountpoint)["flush"]
        begin = time.perf_counter()
        with _watched(begin, daemon.pid, store, progress) as moments:
            _write(daemon.mountpoint, mixture, size_mib, progress)
            written = time.perf_counter() - begin
            say(f"{size_mib} MiB written in {written:.1f} s; packing what is left")
            done = subprocess.run(flush, capture_output=True, text=True, check=False)
            if done.returncode:
                raise TargetFailed(f"flush failed: {done.stderr.strip() or done.stdout.strip()}")
            packed = time.perf_counter() - begin
    closed_bytes = room(store)
    if check:
        say("comparing what can be read back")
        with _mounted(target, home, options) as daemon:
            _compare(daemon.mountpoint, mixture, size_mib)
    summary = summarize(
        moments,
        written_seconds=written,
        packed_seconds=packed,
        closed_bytes=closed_bytes,
        longest_write_seconds=progress.longest_write_seconds,
        compared=check,
    )
    return summary, moments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=SIZES_MIB, default="full", help="how much (default: full, 8 GiB)")
    parser.add_argument("--mib", type=int, help="exactly this much instead")
    parser.add_argument("-o", dest="options", default="", help="mount options, comma-separated")
    parser.add_argument("--no-check", action="store_true", help="do not read back what was written")
    add_place(parser, RESULTS / "sustained.json", DOCS / "sustained.png")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    def say(text: str) -> None:
        progress.print(text, markup=False, highlight=False)

    begin, load = time.monotonic(), load_before(progress)
    target = VfsTarget(arguments.vfs)
    for verb in ("mount", "flush"):
        if reason := target.ready(verb):
            raise SystemExit(f"cannot measure vfs ({reason})")
    size_mib = arguments.mib or SIZES_MIB[arguments.size]
    options = frozenset(arguments.options.split(",")) - {""}
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as folder:
        kind = filesystem_type(folder)
        try:
            summary, moments = measure(
                target, Path(folder), size_mib, options, say, check=not arguments.no_check
            )
        except (TargetFailed, OSError) as error:
            say(f"FAILED: {error}")
            return EXIT_FAILED
    seconds = time.monotonic() - begin
    sizes = {"mib": size_mib, "kinds": MIXED_KINDS, "file_mib": FILE_MIB, "options": sorted(options)}
    conditions = Conditions(sizes, {"vfs": target.version()}, kind, {}, load, seconds)
    print_sustained(output, summary)
    more = {"summary": asdict(summary), "moments": [asdict(moment) for moment in moments]}
    write_json(arguments.json, conditions, (), (), (), more)
    say(f"{seconds:.0f} s; JSON: {arguments.json}")
    draw(progress, arguments.plot, "bench.sustained_plot", summary, moments)
    return 0
