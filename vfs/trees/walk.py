"""The owner's part of an export: a tree of the file system as batches of plans, for workers to read.

Promises each file as it is at one moment where it fits into a batch, and that no chunk or pack that a batch
names goes before the batch is `done`. Never reads data, and changes nothing, not even an access time.
"""

import stat
from collections.abc import Generator, Iterator
from typing import NamedTuple

from vfs.contents import ReadPlan
from vfs.errors import IndexDamaged, NoEntry, NotADirectory
from vfs.filesystem import FileSystem
from vfs.inode.extents import Extent, Fill
from vfs.inode.inode import Inode
from vfs.limits import MIB
from vfs.trees.items import SOCKETS, Node, Problem, Skipped
from vfs.trees.report import Report

BATCH_BYTES = 64 * MIB
BATCH_ENTRIES = 2000
SLICE_ENTRIES = 50
ROWS = 64


class Part(NamedTuple):
    """An entry, or the continuation of a file: its extents without holes, from `offset` on.

    With a `problem` the file ends here, and must not come to be.
    """

    node: Node | None
    offset: int = 0
    extents: tuple[Extent, ...] = ()
    last: bool = True
    problem: str = ""
    """Why the file cannot be had as a whole."""


class Batch:
    """Parts in order, and what keeps alive what they name."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.parts: list[Part] = []
        self.size = 0

    @property
    def full(self) -> bool:
        """Time for the next one."""
        return self.size >= BATCH_BYTES or len(self.parts) >= BATCH_ENTRIES


def _found(fs: FileSystem, source: bytes) -> int:
    try:
        return fs.resolve(source).ino
    except (NoEntry, NotADirectory) as error:
        name = source.decode(errors="backslashreplace")
        raise type(error)(f"there is no {name} in the file system; give the path of what is there") from None


class Walk:
    """One walk over the tree below a path. Belongs to the owner of the file system."""

    def __init__(self, fs: FileSystem, source: bytes, report: Report) -> None:
        # dependencies
        self._fs = fs
        self._report = report
        # constant
        self._top = _found(fs, source)
        self._name = source.rstrip(b"/").rpartition(b"/")[2] or b"file"
        # mutable
        self._batch = Batch(fs.epochs.enter())
        self._out: list[Batch] = [self._batch]  # those that are not done
        self._steps: Generator[Batch | None] | None = None  # the walk, as far as it is
        self._links: dict[int, bytes] = {}  # inode with further names -> the path it was given out under

    def batches(self) -> Iterator[Batch | None]:
        """Batches, and None now and then, for the caller to let others in."""
        self._steps = self._walk()
        return self._steps

    def _walk(self) -> Generator[Batch | None]:
        top = self._fs.get(self._top)
        if not top.is_directory:
            yield from self._one(top, self._name)
        else:
            self._batch.parts.append(Part(self._node(top, b"")))
            yield from self._inside(self._top)
        yield self._batch

    def done(self, batch: Batch) -> None:
        """Nobody reads the batch any more."""
        self._out.remove(batch)
        self._fs.end_read(ReadPlan([], 0, batch.epoch))

    def close(self) -> None:
        """Nobody reads anything any more."""
        if self._steps is not None:
            self._steps.close()  # the file that it is in is held open, and is the owner's to let go
        for batch in list(self._out):
            self.done(batch)

    def _inside(self, top: int) -> Iterator[Batch | None]:
        fs = self._fs
        folders: list[tuple[int, bytes, int]] = [(top, b"", 2)]  # inode, path, cookie of the last entry
        since = 0
        while folders:
            ino, path, cookie = folders.pop()
            try:
                rows = fs.readdir(ino, cookie, ROWS)  # from the third entry on: no access is noted
                folder = fs.get(ino)
            except (NoEntry, NotADirectory):
                self._report.problem(Problem(path, "the folder was removed meanwhile"))
                continue
            except IndexDamaged as error:
                self._report.problem(Problem(path, str(error)))
                continue
            for name, child, at, kind in rows:
                inner = path + b"/" + name if path else name
                try:
                    inode = fs.named(folder, (child, at, kind))
                    if inode.is_directory:
                        self._batch.parts.append(Part(self._node(inode, inner)))
                        folders += [(ino, path, at), (child, inner, 2)]
                        break
                    yield from self._one(inode, inner)
                except IndexDamaged as error:
                    self._report.problem(Problem(inner, str(error)))
                since += 1
                if since % SLICE_ENTRIES == 0:
                    yield None
                    # A name may have gone while others were in: its folder is asked anew.
                    folders.append((ino, path, at))
                    break
            else:
                if rows:
                    folders.append((ino, path, rows[-1][2]))
            if self._batch.full:
                yield self._next()

    def _next(self) -> Batch:
        full = self._batch
        self._batch = Batch(self._fs.epochs.enter())
        self._out.append(self._batch)
        return full

    # --- one entry --------------------------------------------------------------------------------

    def _one(self, inode: Inode, path: bytes) -> Iterator[Batch | None]:
        """Anything but a folder."""
        if stat.S_ISSOCK(inode.mode):
            self._report.skip(Skipped(path, SOCKETS))
            return
        if inode.nlink > 1:
            earlier = self._links.setdefault(inode.ino, path)
            if earlier != path:
                self._batch.parts.append(Part(Node(path, inode.mode, link_to=earlier)))
                return
        if not inode.is_file:
            self._batch.parts.append(Part(self._node(inode, path)))
            return
        yield from self._file(inode, path)

    def _file(self, inode: Inode, path: bytes) -> Iterator[Batch | None]:
        fs, ino, size = self._fs, inode.ino, inode.size
        spans = ((0, size),) if inode.allocated >= size else tuple(self._spans(ino, size))
        node: Node | None = self._node(inode, path)._replace(spans=spans)
        problem = ""
        inode.opens += 1  # an unlinked file stays as long as we read it
        try:
            for start, length in spans:
                while length:
                    if self._batch.size >= BATCH_BYTES:
                        yield self._next()
                    now = min(length, BATCH_BYTES - self._batch.size)
                    extents = fs.table.file(inode).plan(start, now)
                    found = sum(extent.length for extent in extents)
                    if found < now:  # it has become shorter since it was opened: what it said stands
                        extents.append(Fill(now - found, 0))
                    self._batch.parts.append(Part(node, start, tuple(extents), last=False))
                    self._batch.size += now
                    node, start, length = None, start + now, length - now
        except IndexDamaged as error:
            problem = str(error)
        finally:
            fs.release(ino)
        self._batch.parts.append(Part(node, problem=problem))
        if fs.limiter.over:
            fs.relieve()

    def _spans(self, ino: int, size: int) -> Iterator[tuple[int, int]]:
        at = 0
        while at < size and (start := self._fs.seek_data(ino, at)) is not None:
            stop = self._fs.seek_hole(ino, start)
            at = size if stop is None else min(stop, size)
            if start < at:
                yield start, at - start

    def _node(self, inode: Inode, path: bytes) -> Node:
        return Node(
            path,
            inode.mode,
            inode.uid,
            inode.gid,
            inode.mtime_ns,
            inode.atime_ns,
            inode.size if inode.is_file else 0,
            inode.rdev,
            inode.target,
            None,
            dict(self._fs.table.xattrs(inode)),
        )
