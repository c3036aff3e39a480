"""The longest steps of who owns a store: `python -m bench.steps [FILES [BIG]]`.

Works on a store of so many files (30,000) and with a folder of so many more (40,000) as a daemon does, and
prints for each kind of step the most processor that one took, in milliseconds: what a request may have to
wait for. Processor time says that also on a busy machine. Never mounts anything.
"""

import gc
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vfs
from vfs.filesystem import FileSystem

FOLDER_FILES = 100
MODE = stat.S_IFREG | 0o644
HUGE_PIECES = 2000
HUGE_STEP_BYTES = 16 << 20


class Steps:
    """Steps on one store, and how long the longest of each kind took."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs
        self.longest: dict[str, float] = {}

    def take(self, kind: str, step: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begin = time.thread_time()
        result = step(*arguments, **options)
        self.longest[kind] = max(self.longest.get(kind, 0.0), time.thread_time() - begin)
        return result

    def checkpoint(self) -> None:
        """As the daemon takes it; what runs in threads there is not counted."""
        fs = self.fs
        self.take("begin of a checkpoint", fs.begin_checkpoint)
        while not self.take("slice of gathering", fs.gather_checkpoint):
            pass
        fs.sync()
        fs.commit_checkpoint()
        self.take("end of a checkpoint", fs.end_checkpoint)
        while not self.take("slice of letting go", fs.tidy):
            pass

    def files(self, count: int) -> None:
        """Make, change, roll back and forget a tree."""
        fs = self.fs
        folders = [fs.make_directory(f"{number}").ino for number in range(-(-count // FOLDER_FILES))]
        numbers = []
        for number in range(count):
            made = self.take("mknod", fs.mknod, folders[number // FOLDER_FILES], b"%d" % number, MODE)
            numbers.append(made.ino)
            self.take("write", fs.write, made.ino, 0, b"content " * 200)
        self.checkpoint()
        for number in numbers:
            self.take("chmod", fs.set_attributes, number, mode=MODE & ~0o044)
        self.checkpoint()
        fs.create_snapshot("before")
        for number in numbers[::5]:
            fs.write(number, 0, b"changed")
        self.checkpoint()
        self.take(f"rollback, {len(numbers[::5]):,} changed files", fs.rollback, "before")
        self.take("deletion of a snapshot", fs.delete_snapshots, ["before"])

    def folder(self, count: int) -> None:
        """Fill and empty one folder."""
        fs = self.fs
        folder = fs.make_directory("big").ino
        for number in range(count):
            self.take("mknod", fs.mknod, folder, b"%d" % number, MODE)
        self.checkpoint()
        for number in range(count):
            self.take("unlink", fs.unlink, folder, b"%d" % number)
        self.checkpoint()

    def huge(self) -> None:
        """Cut and remove a file in many segments."""
        fs = self.fs
        huge = fs.mknod(1, b"huge", MODE).ino
        for number in range(HUGE_PIECES):
            self.take("write", fs.write, huge, number * HUGE_STEP_BYTES, b"content " * 700)
        self.checkpoint()
        self.take("truncate of a huge file", fs.truncate, huge, 0)
        self.take("unlink", fs.unlink, 1, b"huge")
        self.checkpoint()


def main(files: int = 30_000, big: int = 40_000) -> None:
    with tempfile.TemporaryDirectory(prefix="vfs-bench-") as folder:
        vfs.mkfs(Path(folder, "store"))
        with vfs.open(Path(folder, "store")) as fs:
            fs.autopilot = False
            gc.disable()  # `vfs/mount/cycles.py` keeps its looks short
            steps = Steps(fs)
            steps.files(files)
            steps.folder(big)
            steps.huge()
            gc.enable()
    print("| step | longest, ms of processor |\n| --- | --- |")
    for kind, seconds in steps.longest.items():
        print(f"| {kind} | {seconds * 1e3:.1f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
