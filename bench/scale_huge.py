"""Files of up to 100 GB with holes and up to 20 GB of packed data: opening, reading anywhere, appending.

Promises that every file is looked at through a mount that has not seen it yet. Packed data compresses (a
kilobyte of noise, 64 times over, then the next), so that it fits on a disk; no two pieces of 64 KiB are the
same, so it is as many blobs as any other of its size. It never judges a file by its content.
"""

import mmap
import os
import random
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from bench.keepers import run
from bench.memory import most_memory
from bench.processes import cpu_seconds
from bench.scale_curves import Findings
from bench.scale_mount import Mounting
from bench.scale_part import Part
from bench.scale_sizes import GIB, MIB, ScaleSizes
from bench.targets import TargetFailed

PART = "huge files"
SAME = 1.5
READ = 4096
ISLAND_EVERY = MIB
"""Of a sparse file: so often there are 4 KiB of data."""

NOISE = 1024
REPEATED = 64


def packed_pieces(size_bytes: int) -> Iterator[bytes]:
    """Data of that size, a MiB at a time; the same each time."""
    chance = random.Random(size_bytes)
    for _ in range(size_bytes // MIB):
        yield b"".join(chance.randbytes(NOISE) * REPEATED for _ in range(MIB // NOISE // REPEATED))


class HugePart(Part):
    """Makes the files in one store, and looks at them."""

    def __init__(
        self,
        program: str,
        mounting: Mounting,
        sizes: ScaleSizes,
        findings: Findings,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(mounting, sizes, findings, say)
        self._program = program

    def run(self, home: Path) -> None:
        """All of it."""
        kinds = {"sparse": self._sizes.sparse_bytes, "packed": self._sizes.packed_bytes}
        with self._mounting.mounted(home) as daemon:
            for size in kinds["sparse"]:
                _make_sparse(daemon.mountpoint / f"sparse-{size}", size)
            # What is still in the log would be packed while others are looked at.
            run([self._program, "flush", str(daemon.mountpoint)])
        self._say("sparse files are made")
        self._import(home / "store", kinds["packed"])
        for kind, sizes in kinds.items():
            for size in sizes:
                self._look(home, kind, size)
            self._judge(kind)

    def _import(self, store: Path, sizes: tuple[int, ...]) -> None:
        importing = subprocess.Popen(
            [self._program, "import", str(store), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert importing.stdin is not None
        assert importing.stderr is not None
        begin = time.perf_counter()
        try:
            for size in sizes:
                header = tarfile.TarInfo(f"packed-{size}")
                header.size = size
                importing.stdin.write(header.tobuf(tarfile.GNU_FORMAT))
                for piece in packed_pieces(size):
                    importing.stdin.write(piece)
            importing.stdin.write(bytes(2 * tarfile.BLOCKSIZE))
            importing.stdin.close()
            said = importing.stderr.read().decode(errors="replace").strip()
            if importing.wait():
                raise TargetFailed(f"import failed: {said}")
        finally:
            importing.kill()
            importing.wait()
            importing.stderr.close()
        seconds = time.perf_counter() - begin
        self._say(f"{sum(sizes) / GIB:,.2f} GiB packed in {seconds:.0f} s")

    def _look(self, home: Path, kind: str, size: int) -> None:
        chance = random.Random(size)
        with self._mounting.mounted(home) as daemon, most_memory(daemon.pid) as most:
            path = daemon.mountpoint / f"{kind}-{size}"
            os.stat(path)
            before = most.own_bytes
            self._timed(kind, size, "opening", daemon.pid, lambda: os.close(os.open(path, os.O_RDONLY)))
            descriptor = os.open(path, os.O_RDONLY)
            step = ISLAND_EVERY if kind == "sparse" else READ
            # Each place once: what was read before would come from the kernel's cache, most of a small file.
            places = iter(chance.sample(range(size // step), self._sizes.looks))

            def read() -> None:
                data = os.pread(descriptor, READ, next(places) * step)
                assert len(data) == READ
                assert any(data)

            self._timed(kind, size, "reading 4 KiB anywhere", daemon.pid, read)
            os.close(descriptor)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_DIRECT)
            with mmap.mmap(-1, READ) as block:  # page-aligned, as O_DIRECT wants it
                block.write(chance.randbytes(READ))
                self._timed(kind, size, "appending 4 KiB", daemon.pid, lambda: os.write(descriptor, block))
            os.close(descriptor)
        grown = self._findings.curve(PART, "memory that this adds (own)", kind, "MiB", "GiB")
        grown.points[size / GIB] = [(most.own_bytes - before) / MIB]
        self._say(f"{kind} file of {size / GIB:.2f} GiB looked at")

    def _timed(self, kind: str, size: int, what: str, pid: int, work: Callable[[], object]) -> None:
        used = cpu_seconds(pid)
        taken = []
        for _ in range(self._sizes.looks):
            begin = time.perf_counter()
            work()
            taken.append((time.perf_counter() - begin) * 1e6)
        # A few short requests may not have been put to the daemon's account yet.
        used = max(cpu_seconds(pid) - used, 1e-6) / self._sizes.looks * 1e6
        for panel, value in ((what, median(taken)), (f"{what}, the daemon's CPU", used)):
            self._findings.curve(PART, panel, kind, "µs", "GiB").points[size / GIB] = [value]

    def _judge(self, kind: str) -> None:
        for what in ("opening", "reading 4 KiB anywhere", "appending 4 KiB"):
            curve = self._findings.curve(PART, f"{what}, the daemon's CPU", kind, "µs", "GiB")
            largest, least = max(curve.points), min(curve.points)
            sentence = (
                f"the daemon's CPU for {what}, {kind} file of {largest:,.2f} GiB to one of {least:,.2f}"
            )
            self._findings.at_most(PART, sentence, curve.last / curve.first, SAME, "x")


def _make_sparse(path: Path, size: int) -> None:
    chance = random.Random(size)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        os.ftruncate(descriptor, size)
        for offset in range(0, size, ISLAND_EVERY):
            os.pwrite(descriptor, chance.randbytes(READ), offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
