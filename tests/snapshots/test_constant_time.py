"""What snapshots and clones cost does not grow with the number of files. SNAPSHOT_FILES=n counts higher.

Times of a machine that does other things as well: the best of several, and all of it again if need be.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO

FEW, MANY = 100, int(os.environ.get("SNAPSHOT_FILES", "20000"))
MOST_TIMES = 1.5
TRIES = 5
NOISE_SECONDS = 0.0005
"""What a clock of this machine cannot tell apart."""


def store_of(path: Path, files: int) -> FileSystem:
    """A store with so many files in folders of 500, in its index."""
    vfs.mkfs(path)
    fs = vfs.open(path)
    for number in range(files):
        if number % 500 == 0:
            fs.mkdir(ROOT_INO, b"folder%d" % number, 0o755)
        fs.mknod(fs.lookup(ROOT_INO, b"folder%d" % (number // 500 * 500)).ino, b"file%d" % number, 0o644)
    fs.checkpoint()
    return fs


class Work:
    """Each step once more, with names that are free."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs
        self.number = 0
        self.clone_number = 0

    def change(self) -> None:
        for number in range(10):
            self.fs.write_bytes(f"folder0/file{number}", b"%d" % self.number)

    def create(self) -> None:
        self.number += 1
        self.fs.create_snapshot(f"snapshot{self.number}")

    def clone(self) -> None:
        self.clone_number = self.fs.clone(f"snapshot{self.number}", ROOT_INO, b"clone").ino

    def undo(self) -> None:
        """Dropping looks at all inodes that are in memory, so its time grows with those."""
        self.fs.drop_clone(self.clone_number)


def seconds(step: Callable[[], None]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def times(work: Work) -> dict[str, float]:
    """Seconds of each step, the best of some."""
    found: dict[str, float] = {}
    for _ in range(7):
        work.change()
        for name in ("create", "clone"):
            found[name] = min(seconds(getattr(work, name)), found.get(name, 9e9))
        work.undo()
    return found


@pytest.mark.serial
@pytest.mark.timeout(600)
def test_the_time_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    with store_of(tmp_path / "few", FEW) as few, store_of(tmp_path / "many", MANY) as many:
        small, large = Work(few), Work(many)
        found = []
        for _ in range(TRIES):
            one, other = times(small), times(large)
            found.append({name: (f"{one[name] * 1e3:.2f} ms", f"{other[name] * 1e3:.2f} ms") for name in one})
            if all(other[name] <= MOST_TIMES * one[name] + NOISE_SECONDS for name in one):
                print(f"with {FEW} and {MANY} files: {found[-1]}")
                return
        raise AssertionError(f"with {FEW} and {MANY} files: {found}")
