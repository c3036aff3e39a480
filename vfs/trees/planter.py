"""The owner's part of an import: entries get their names and attributes, batch by batch.

Promises to stay below the folder it was given: no symbolic link is followed, neither of the tree nor of
what was there before. Folders get their times when all that is in them is there. An entry that cannot be is
a problem in the report, and the next one comes.
"""

import stat
from collections.abc import Iterator
from typing import NamedTuple

from vfs.errors import (
    FileTooLarge,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoEntry,
    NotADirectory,
    NotPermitted,
    TooManyLinks,
)
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO
from vfs.namespace import ROOT
from vfs.paths import split
from vfs.planting import Look, storable
from vfs.trees.items import XATTRS, Node, Problem, Skipped
from vfs.trees.layout import Placed
from vfs.trees.report import Report

SLICE_EXTENTS = 2000
SLICE_ENTRIES = 50
"""Planted between two looks at what clients want: some milliseconds."""

FOLDERS_KEPT = 10_000
"""Paths of folders whose numbers are kept at hand."""

REFUSED = (
    *(NotADirectory, IsADirectory, NameTooLong, TooManyLinks, FileTooLarge),
    *(NotPermitted, InvalidArgument, NoEntry),
)


class Plan(NamedTuple):
    """One entry to be planted, or a part of a file: `more` parts come, or it is `void` after all."""

    node: Node
    extents: tuple[Placed, ...] = ()
    more: bool = False
    void: bool = False


class Changed(NamedTuple):
    """What changed behind the back of whoever knows the folder: the name in it, empty for itself.

    `is_file`: the number is that of a file of which only an attribute has changed.
    """

    ino: int
    name: bytes
    is_file: bool = False


class Planter:
    """Plants one tree into one folder. Belongs to the owner of the file system."""

    def __init__(self, fs: FileSystem, dest: bytes, report: Report, *, in_order: bool) -> None:
        fs.writable()
        # dependencies
        self._fs = fs
        self._report = report
        # constant
        self._dest = dest
        self._in_order = in_order
        # mutable
        self._top = self._found(dest)  # 0: there is no such folder yet
        self._folders: dict[bytes, int] = {}
        self._later: dict[int, tuple[bytes, Look]] = {}  # folders that get their attributes at their end
        self._unnamed: int | None = None  # the file that is coming in parts
        self._refused: bytes | None = None  # a file whose next parts are passed over
        self.changed: list[Changed] = []
        """Of folders that the kernel may know; the caller takes them away."""

    def _found(self, dest: bytes) -> int:
        inode: Inode | None
        words = dest.decode(errors="backslashreplace")
        if b".." in split(dest):
            raise InvalidArgument(
                f"{words} leads upwards; give a DEST that counts from the root of the store"
            )
        try:
            inode = self._fs.resolve(dest)
        except NoEntry:
            return 0
        except NotADirectory:
            inode = None
        if inode is None or not inode.is_directory:
            raise NotADirectory(
                f"{words} in the file system is no folder, or lies in none; give another DEST"
            )
        return inode.ino

    def _make_top(self) -> None:
        """The folder is made when there is something for it: not for a source that turns out to be none."""
        at = ROOT_INO
        for name in split(self._dest) if not self._top else ():
            found = self._fs.find(at, name)
            if found is None:
                found = self._fs.mkdir(at, name, 0o755, ROOT)
                self._changes(at, name)  # the kernel may know that there is nothing
            at = found.ino
        self._top = self._top or at

    def plant(self, plans: list[Plan]) -> Iterator[None]:
        """Plant a batch; stops now and then, for the caller to let others in."""
        self._make_top()
        work = 0
        for plan in plans:
            try:
                self._plant(plan)
            except REFUSED as error:
                self._let_go()
                self._folders.clear()  # one may have been removed beside us
                if plan.more:
                    self._refused = plan.node.path
                self._report.problem(Problem(plan.node.path, str(error)))
            work += SLICE_EXTENTS // SLICE_ENTRIES + len(plan.extents)
            if work >= SLICE_EXTENTS:
                work = 0
                yield

    def finish(self) -> Iterator[None]:
        """All has been planted: the folders get their attributes."""
        self._make_top()
        while self._later:
            for _ in range(min(SLICE_ENTRIES, len(self._later))):
                self._dress_last()
            yield

    def close(self) -> None:
        """There is no more; a file that is not whole is let go."""
        if self._fs.failed is None:
            self._let_go()

    # --- one entry ------------------------------------------------------------------------------

    def _plant(self, plan: Plan) -> None:
        node = plan.node
        figures = self._report.figures
        if plan.void or (self._refused is not None and self._refused == node.path):
            self._let_go()
            if not plan.more:
                self._refused = None
            return
        if self._in_order:
            self._leave_until(node.path)
        if stat.S_ISDIR(node.mode):
            self._folder(node)
            figures.directories += 1
            return
        parent, name = self._place(node.path)
        if node.link_to is not None:
            self._fs.plant_link(self._linked(node.link_to), parent, name)
            figures.links += 1
        elif plan.more or self._unnamed is not None:
            if not self._part(plan, parent, name):
                return
        else:
            self._fs.plant(parent, name, self._look(node), plan.extents)
        self._changes(parent, name)
        if node.has_content:
            figures.files += 1
        elif stat.S_ISLNK(node.mode):
            figures.symlinks += 1
        elif node.link_to is None:
            figures.specials += 1

    def _part(self, plan: Plan, parent: int, name: bytes) -> bool:
        """A part of a large file; True when it was the last one."""
        fs, node = self._fs, plan.node
        if self._unnamed is None:
            self._unnamed = fs.plant_unnamed(parent, self._look(node))
        ino = self._unnamed
        fs.extend_unnamed(ino, plan.extents)
        if plan.more:
            return False
        fs.name_unnamed(ino, parent, name, self._look(node))
        self._unnamed = None
        return True

    def _let_go(self) -> None:
        if self._unnamed is not None:
            unnamed, self._unnamed = self._unnamed, None
            self._fs.release(unnamed)

    def _look(self, node: Node) -> Look:
        xattrs = node.xattrs
        if xattrs:
            xattrs = storable(xattrs)
            if len(xattrs) < len(node.xattrs):
                self._report.skip(Skipped(node.path, XATTRS), len(node.xattrs) - len(xattrs))
        return Look(
            node.mode, node.uid, node.gid, node.mtime_ns, node.atime_ns, node.rdev, node.target, xattrs
        )

    # --- folders --------------------------------------------------------------------------------

    def _folder(self, node: Node) -> None:
        look = self._look(node)
        if node.path:
            parent, name = self._place(node.path)
            known = self._fs.find(parent, name) is not None
            ino = self._fs.plant_directory(parent, name, look).ino
            if not known:
                self._changes(parent, name)
            self._keep(node.path, ino)
        else:
            ino = self._top
        self._later[ino] = (node.path, look)

    def _leave_until(self, path: bytes) -> None:
        """Folders that the path is not in are over."""
        while self._later:
            folder, _ = next(reversed(self._later.values()))
            if not folder or path.startswith(folder + b"/"):
                return
            self._dress_last()

    def _dress_last(self) -> None:
        ino, (path, look) = self._later.popitem()
        try:
            self._fs.dress(ino, look)
            self._changes(ino, b"")
        except NoEntry:  # removed beside us
            self._report.problem(Problem(path, "the folder was removed meanwhile"))

    def _place(self, path: bytes) -> tuple[int, bytes]:
        """The folder that an entry goes into, and its name there."""
        above, _, name = path.rpartition(b"/")
        return self._number(above), name

    def _number(self, path: bytes) -> int:
        """The folder at a path of the tree; those that the source did not mention are made."""
        if not path:
            return self._top
        known = self._folders.get(path)
        if known is not None:
            return known
        at, ino = b"", self._top
        for name in path.split(b"/"):
            at = at + b"/" + name if at else name
            inode = self._fs.find(ino, name)
            if inode is None:
                inode = self._fs.mkdir(ino, name, 0o755, ROOT)
                self._changes(ino, name)
            elif not inode.is_directory:
                raise NotADirectory("what it lies in is no folder")
            ino = inode.ino
        self._keep(path, ino)
        return ino

    def _keep(self, path: bytes, ino: int) -> None:
        if len(self._folders) >= FOLDERS_KEPT:
            self._folders.clear()
        self._folders[path] = ino

    def _linked(self, path: bytes) -> int:
        parent, name = self._place(path)
        inode: Inode | None = self._fs.find(parent, name)
        if inode is None:
            raise NoEntry(f"a hard link to {path.decode(errors='backslashreplace')}, which is not there")
        return inode.ino

    def _changes(self, ino: int, name: bytes) -> None:
        inode = self._fs.table.in_memory(ino)
        if ino == 1 or (inode is not None and inode.lookups):
            self.changed.append(Changed(ino, name))
