"""One flipped bit in a log, a pack or the index, and a while of life with it.

After it every read is right or an error, what the bit cannot touch reads right, opening works or is refused
with an error that names the place, and fsck says so. Everything happens on a copy of the disk: the life that
asked for it goes on as if the bit had been flipped back.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from tests.crash.disks import ScratchDisk, problems
from tests.crash.operations import opened
from tests.simulated.disk import SimulatedStorage
from tests.simulation.verdicts import OF_THE_DISK, Failure
from tests.simulation.worlds import World
from vfs.checks.report import Report
from vfs.errors import IndexDamaged, LogDamaged, StoreFailed
from vfs.filesystem import FileSystem
from vfs.inode.extents import BlobRange, ChunkRange
from vfs.numbers import local_of
from vfs.repair.repair import Repair

REFUSALS = (LogDamaged, IndexDamaged)
REPAIRED = "repaired"
NEW = "/written beside damage"
NEW_BYTES = b"written while a bit was wrong " * 300


class Damage:
    """A disk of which one bit is wrong, and the two states of which one must show.

    `before` is right only where the wrong bit is in the last frame of the log, which nothing after it vouches
    for.
    """

    def __init__(
        self,
        disk: SimulatedStorage,
        area: str,
        where: int,
        last: World,
        before: World,
        options: dict[str, Any],
    ) -> None:
        self.disk = disk.kill()
        self._sound = disk.kill()
        self.area = area
        self._last = last
        self._before = before
        self._options = options
        self.name, self.offset, self.bit = self._pick(where)
        self._hits: list[str] = []  # what could not be read when the store was opened with it
        self._frame = self._find_frame() if area == "log" else 0

    def _pick(self, where: int) -> tuple[str, int, int]:
        """A byte of any file of the area, all of them equally likely."""
        names = [self.area] if self.area == "index.db" else self.disk.list(self.area)
        files = [name if "." in name else f"{self.area}/{name}" for name in names]
        sizes = [len(self.disk.content(name)) for name in files]
        if not sum(sizes):
            return "", 0, 0
        where, bit = divmod(where, 8)
        at = where % sum(sizes)
        for name, size in zip(files, sizes, strict=True):
            if at < size:
                return name, at, bit
            at -= size
        raise AssertionError("the place lies in one of them")

    def __str__(self) -> str:
        return f"bit {self.bit} of byte {self.offset} of {self.name}"

    # --- which files it may hit -------------------------------------------------------------

    def _find_frame(self) -> int:
        """Where the frame begins that has the byte and data of a file, asked before the bit is flipped."""
        fs = opened(self.disk.kill(), **self._options)
        frames = [
            extent.frame
            for path, ino in self._last.paths().items()
            if self._last.node(ino).content is not None
            for extent in _extents(fs, path)
            if self._is_in_chunk(extent) and extent.frame <= self.offset
        ]
        fs.store.close()
        return max(frames, default=0)

    def _is_in_chunk(self, extent: Any) -> bool:
        return isinstance(extent, ChunkRange) and self.name == f"log/chunk-{extent.chunk:08}"

    def _is_in_block(self, fs: FileSystem, extent: Any) -> bool:
        if not isinstance(extent, BlobRange):
            return False
        (place,) = fs.store.rows.places(extent.blob, 1)
        start = place.block.offset
        is_here = self.name.endswith(place.pack_name)
        return is_here and start <= self.offset < start + place.block.stored

    def _may_hit(self, fs: FileSystem, path: str) -> bool:
        """Whether a file uses the frame or the block with that byte: equal data may have come to use it."""
        if self.area == "index.db":
            return True
        extents = list(_extents(fs, path))
        if self.area == "packs":
            return any(self._is_in_block(fs, extent) for extent in extents)
        return any(self._is_in_chunk(extent) and extent.frame == self._frame for extent in extents)

    # --- what must be true ------------------------------------------------------------------

    def check(self) -> None:
        """Open the store with the wrong bit, look at everything, work with it, and open it again."""
        if not self.name:
            return
        self.disk.flip(self.name, self.offset, self.bit)
        told = problems(self.disk)
        try:
            fs = opened(self.disk, **self._options)
        except REFUSALS as refusal:
            self._check_refusal(str(refusal), told)
            return
        try:
            shown = self._state(fs)
            self._hits = self._look(fs, shown, "opened")
            if self._hits and not told:
                raise Failure("damage", f"{self}: {self._hits} cannot be read, and fsck finds nothing")
            wrote = self._work(fs)
            self._look(fs, shown, "after more work")
            self._look_at_new(fs, wrote)
        finally:
            fs.store.close()
        with suppress(*REFUSALS):
            fs = opened(self.disk, **self._options)
            self._look(fs, shown, "opened once more")
            self._look_at_new(fs, wrote)
            fs.store.close()

    def _check_refusal(self, refusal: str, told: list[str]) -> None:
        if not told:
            raise Failure("damage", f"{self}: {refusal}, and fsck finds nothing")
        if not re.search(r"chunk \d+ at offset \d+|index", refusal):
            raise Failure("damage", f"{self}: no place is named: {refusal}")

    def _state(self, fs: FileSystem) -> World:
        """Which of the two states shows."""
        with suppress(*OF_THE_DISK):
            if self.area == "log" and fs.get(1).mtime_ns == self._before.node(1).mtime:
                return self._before
        return self._last

    def _look(self, fs: FileSystem, tree: World, where: str) -> list[str]:
        """Compare all that can be read; returns the paths of what cannot."""
        hits: list[str] = []
        for path, ino in tree.paths().items():
            node = tree.node(ino)
            try:
                inode = fs.resolve(path, follow=False)
                found: tuple[Any, ...] = (local_of(inode.ino), inode.target, fs.table.xattrs(inode))
                if node.names is not None and path != "/":
                    found = (*found, sorted(map(bytes.decode, fs.listdir(path))))
                content = bytes(fs.read(inode.ino, 0, 1 << 20)) if node.content is not None else None
            except OF_THE_DISK:
                hits.append(path)
                continue
            expected: tuple[Any, ...] = (local_of(ino), node.target, dict(node.xattrs))
            if node.names is not None and path != "/":
                expected = (*expected, sorted(node.names))
            if found != expected or content != node.content:
                raise Failure("damage", f"{self}: {path} is wrong, {where}")
        beyond = [path for path in hits if not self._may_hit(fs, path)]
        if beyond and where != REPAIRED:
            raise Failure("damage", f"{self}: {beyond} should be readable, {where}")
        return hits

    def _work(self, fs: FileSystem) -> bool:
        """New data is taken, packed and collected, as far as damage lets it; whether it was taken."""
        wrote = False
        steps: list[Callable[[], Any]] = [
            lambda: fs.write_bytes(NEW, NEW_BYTES),
            fs.checkpoint,
            fs.flush,
            fs.collect,
        ]
        for number, step in enumerate(steps):
            try:
                step()
            except (*OF_THE_DISK, StoreFailed):
                continue
            wrote = wrote or number == 0
        return wrote

    def repaired(self) -> SimulatedStorage | None:
        """The disk after a repair of the store with the wrong bit; None when nothing was wrong with it.

        Where the store could be opened before, nothing but what could not be read is lost.
        """
        if not self.name:
            return None
        disk = ScratchDisk(self.offset, root=self._sound.root)
        disk.flip(self.name, self.offset, self.bit)
        could_be_opened = self._can_be_opened(disk)
        report = _repair(disk)
        if report is None:
            return None
        if not report.clean:
            raise Failure("repair", f"{self}: fsck says {[problem.message for problem in report.problems]}")
        if _repair(disk) is not None:
            raise Failure("repair", f"{self}: a second repair finds something to do")
        repaired = disk.kill()
        fs = opened(repaired.kill(), **self._options)
        if could_be_opened and self.area != "index.db":
            lost = set(self._look(fs, self._state(fs), REPAIRED)) - set(self._hits)
            if lost:
                raise Failure("repair", f"{self}: {sorted(lost)} could be read before")
        fs.store.close()
        return repaired

    def _can_be_opened(self, disk: SimulatedStorage) -> bool:
        try:
            opened(disk.kill(), **self._options).store.close()
        except REFUSALS:
            return False
        return True

    def _look_at_new(self, fs: FileSystem, wrote: bool) -> None:
        if wrote:
            with suppress(*OF_THE_DISK):
                if fs.read_bytes(NEW) != NEW_BYTES:
                    raise Failure("damage", f"{self}: what was written beside it is wrong")


def _repair(disk: SimulatedStorage) -> Report | None:
    """What fsck says after a repair; None when none is needed."""
    repair = Repair(disk, ScratchDisk)
    try:
        repair.look()
        return repair.act() if repair.needed else None
    finally:
        repair.close()


def _extents(fs: FileSystem, path: str) -> Iterator[Any]:
    inode = fs.resolve(path, follow=False)
    yield from fs.table.file(inode).plan(0, inode.size)
