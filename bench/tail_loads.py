"""What another process does while the tail is measured: `python -m bench.tail_loads NAME SIDE`.

Promises that each load does the same on a mount of vfs and on a folder of the host, but for what only vfs has
(packing, collecting, snapshots, rollback), where the host makes the same changes durable instead. Each load
begins with what the ones before it left. Never touches what lies beside the work folder.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.keepers import run
from bench.material import Mixture
from bench.processes import DROP_NAMES, can_drop_caches, die_with_parent, drop_caches
from bench.workloads_data import PAGE_BYTES

SEED = 5
FILE_MIB = 64
SMALL_BYTES = 1500
FOLDER_FILES = 100
SETTLE_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Sizes:
    mib: int
    """Written by another process."""
    files: int
    """Unpacked as a tree; twice as many changes for a checkpoint."""
    snapshots: int
    seconds: float
    """Of what has no end of its own, and of looking on after a load."""
    cold_mib: int


SIZES = {
    "full": Sizes(mib=2048, files=30_000, snapshots=6, seconds=5.0, cold_mib=128),
    "quick": Sizes(mib=512, files=8_000, snapshots=3, seconds=2.0, cold_mib=32),
    "tiny": Sizes(mib=4, files=120, snapshots=2, seconds=0.2, cold_mib=1),
}


@dataclass(frozen=True)
class Side:
    """Where a load works."""

    work: str
    """A folder at the root of a mount, or of the host."""
    program: str | None
    """The vfs command, on a mount of it."""
    sizes: Sizes

    def ask(self, *words: str) -> None:
        """`vfs VERB... MOUNT ARGUMENT...`, with "MOUNT" for its place; on the host the same changes become
        durable."""
        if self.program is None:
            run(["sync", "-f", self.work])
        else:
            mount = str(Path(self.work).parent)
            run([self.program, *(mount if word == "MOUNT" else word for word in words)])

    @property
    def tree(self) -> Path:
        return Path(self.work, "tree")

    def folders(self) -> Iterator[tuple[Path, range]]:
        for first in range(0, self.sizes.files, FOLDER_FILES):
            numbers = range(first, min(first + FOLDER_FILES, self.sizes.files))
            yield self.tree / f"{first // FOLDER_FILES:04}", numbers

    def paths(self) -> Iterator[str]:
        for folder, numbers in self.folders():
            yield from (f"{folder}/{number:06}.c" for number in numbers)

    def big(self) -> list[Path]:
        count = max(2, self.sizes.mib // FILE_MIB)
        return [Path(self.work, f"big-{number:03}") for number in range(count)]


def idle(side: Side) -> None:
    time.sleep(side.sizes.seconds)


def write(side: Side) -> None:
    """2 GiB of text, binary, incompressible data and zero runs."""
    mixture, files = Mixture(SEED), side.big()
    pieces = side.sizes.mib // len(files)
    for first, path in enumerate(files):
        with path.open("wb", buffering=0) as file:
            for number in range(pieces):
                file.write(mixture.piece(first * pieces + number))


def pack(side: Side) -> None:
    """All that was written is brought into packs."""
    side.ask("flush", "MOUNT")


def collect(side: Side) -> None:
    """Half of what was packed goes, so packs are written anew."""
    for path in side.big()[::2]:
        path.unlink()
    side.ask("gc", "MOUNT")


def fsync(side: Side) -> None:
    """4 KiB are appended and made durable, again and again."""
    end = time.monotonic() + side.sizes.seconds
    data = os.urandom(PAGE_BYTES)
    with Path(side.work, "log").open("ab", buffering=0) as file:
        while time.monotonic() < end:
            file.write(data)
            os.fsync(file.fileno())


def create(side: Side) -> None:
    """A tree of small files, as tar unpacks it."""
    for folder, numbers in side.folders():
        os.makedirs(folder, exist_ok=True)
        for number in numbers:
            path = f"{folder}/{number:06}.c"
            with open(path, "wb", buffering=0) as file:
                file.write(b"%06d" % number * (SMALL_BYTES // 6))
            os.utime(path, (1_700_000_000, 1_700_000_000))


def checkpoint(side: Side) -> None:
    """All files of the tree get another mode and another name and back; then all of that is brought in."""
    for path in side.paths():
        os.chmod(path, 0o640)
        os.rename(path, f"{path}x")
    for path in side.paths():
        os.rename(f"{path}x", path)
    side.ask("snapshot", "create", "MOUNT", "checkpoint")


def snapshots(side: Side) -> None:
    """Snapshots between which a third of the files change; then they go, and what only they had."""
    names = [f"tail-{number}" for number in range(side.sizes.snapshots)]
    for number, name in enumerate(names):
        for path in list(side.paths())[number % 3 :: 3]:
            os.chmod(path, 0o600 + number)
        side.ask("snapshot", "create", "MOUNT", name)
    for half in (names[::2], names[1::2]):
        side.ask("snapshot", "delete", "MOUNT", *half)
        time.sleep(side.sizes.seconds)  # it is pruned in the background


def rollback(side: Side) -> None:
    """A fifth of the files change and all is rolled back; the host makes the change durable."""
    side.ask("snapshot", "create", "MOUNT", "before")
    for path in list(side.paths())[::5]:
        with open(path, "ab", buffering=0) as file:
            file.write(b"changed")
    side.ask("rollback", "MOUNT", "before")


def find(side: Side) -> None:
    """The tree is walked, each file looked at; once as the kernel does not know it any more."""
    if can_drop_caches():
        drop_caches(DROP_NAMES)
    for place, _, names in os.walk(side.tree):
        for name in names:
            os.lstat(f"{place}/{name}")


def several(side: Side) -> None:
    """Writing, fsyncs, a walk and creation at once."""

    def write_more() -> None:
        mixture = Mixture(SEED + 1)
        with Path(side.work, "more").open("wb", buffering=0) as file:
            for number in range(side.sizes.mib // 4):
                file.write(mixture.piece(number))

    def create_more() -> None:
        for number in range(side.sizes.files // 6):
            Path(side.work, f"more-{number}").write_bytes(b"more")

    works: tuple[Callable[[], None], ...] = (
        write_more,
        create_more,
        lambda: fsync(side),
        lambda: find(side),
    )
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def remove(side: Side) -> None:
    """rm -rf of the tree."""
    shutil.rmtree(side.tree)


def remove_big(side: Side) -> None:
    """What was written first goes, a file at a time, half of it by cutting it to nothing."""
    for number, path in enumerate(side.big()):
        with suppress(FileNotFoundError):
            if number % 4 == 1:
                os.truncate(path, 0)
            path.unlink()
    side.ask("flush", "MOUNT")


Load = Callable[[Side], None]

LOADS: dict[str, Load] = {
    "idle": idle,
    "write": write,
    "pack": pack,
    "gc": collect,
    "fsync": fsync,
    "create": create,
    "checkpoint": checkpoint,
    "snapshots": snapshots,
    "rollback": rollback,
    "find": find,
    "several": several,
    "rm-rf": remove,
    "rm-big": remove_big,
}
"""In the order in which they build on each other."""


def command(name: str, side: Side) -> list[str]:
    """What runs a load in a process of its own."""
    return [sys.executable, "-m", "bench.tail_loads", name, json.dumps(asdict(side))]


def main(words: list[str]) -> None:
    die_with_parent(signal.SIGKILL)
    fields = json.loads(words[1])
    sizes = Sizes(**fields.pop("sizes"))
    LOADS[words[0]](Side(sizes=sizes, **fields))


if __name__ == "__main__":
    main(sys.argv[1:])
