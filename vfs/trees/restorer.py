"""The owner's part of a restore: files and folders of a snapshot take the place of what has their names now.

Promises that each path comes back in one moment and as a whole, in the order given, and that folders above it
which are gone are made as they were. No content is moved, and no symbolic link is followed, neither then nor
now. Writes nothing to the snapshot.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from vfs.errors import InvalidArgument, NoEntry, NotADirectory, NotEmpty, SnapshotError, VfsError
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO
from vfs.paths import split
from vfs.planting import Look
from vfs.printing import printable
from vfs.trees.copier import Copied, Copier
from vfs.trees.planter import Changed


class _Above(NamedTuple):
    """A folder that was made since the path led through it."""

    parent: int
    name: bytes
    made: int
    look: Look


class Restorer:
    """Restores paths of one snapshot. Belongs to the owner of the file system; used like a `Copier`."""

    def __init__(self, fs: FileSystem, snapshot: str, paths: Sequence[bytes]) -> None:
        """SnapshotError when there is no such snapshot, NoEntry when it has not all of the paths."""
        # dependencies
        self._fs = fs
        # constant
        self._snapshot = snapshot
        self._root = fs.snapshot_root(snapshot).ino
        self._since = monotonic()
        # mutable
        self._pending = [parts for path in paths if (parts := self._looked_up(path))]
        self._copier: Copier | None = None
        self._above: list[_Above] = []
        self.restored: list[bytes] = []
        """Paths that are done."""
        self.copied = Copied()
        self.changed: list[Changed] = []
        """Names and folders that the kernel may know; the caller takes them away."""

    def steps(self) -> Iterator[None]:
        """Do it; stops now and then, for the caller to let others in. What was restored before an error
        stays, and is told with it."""
        try:
            while self._pending:
                yield from self._restore(self._pending[0])
                self.restored.append(b"/" + b"/".join(self._pending.pop(0)))
        except VfsError as error:
            text = str(error)
            if self._fs.table.is_gone(self._root):
                text = f"snapshot {self._snapshot!r} was deleted meanwhile"
            elif not self.restored:
                raise
            raise SnapshotError(f"{text}{self._so_far()}") from error

    def undo(self) -> Iterator[None]:
        """Take away what is not whole of the path that was worked on, and the folders made for it."""
        if self._copier is not None:
            for _ in self._copier.undo():
                self._take_over(self._copier)
                yield
            self._take_over(self._copier)
        while self._above and self._fs.failed is None:
            above = self._above.pop()
            with suppress(NoEntry, NotEmpty):
                if self._fs.lookup(above.parent, above.name).ino == above.made:
                    self._fs.rmdir(above.parent, above.name)
                    self.changed.append(Changed(above.parent, above.name))

    def text(self) -> str:
        """How far it is, in a few words."""
        now = Copied() if self._copier is None else self._copier.copied
        return (self.copied + now).text()

    def fields(self) -> dict[str, Any]:
        """What --json shows."""
        seconds = round(monotonic() - self._since, 3)
        paths = [printable(path) for path in self.restored]
        return {"paths": paths, **self.copied.fields(), "seconds": seconds}

    # --- one path -------------------------------------------------------------------------------

    def _restore(self, parts: list[bytes]) -> Iterator[None]:
        fs = self._fs
        source, parent = fs.get(self._root), fs.get(ROOT_INO)
        for name in parts[:-1]:
            source = fs.lookup(source.ino, name)
            parent = self._folder(source, parent, name)
        source = fs.lookup(source.ino, parts[-1])
        self._copier = Copier(fs, source.ino, parent.ino, parts[-1], replace=True)
        for _ in self._copier.steps():
            self._take_over(self._copier)
            yield
        self._take_over(self._copier)
        for above in reversed(self._above):
            fs.dress(above.made, above.look)
        self.copied, self._copier, self._above = self.copied + self._copier.copied, None, []

    def _folder(self, source: Inode, parent: Inode, name: bytes) -> Inode:
        """The folder of that name, made like `source` where there is none."""
        fs = self._fs
        found = fs.find(parent.ino, name)
        if found is not None:
            if not found.is_directory:
                raise NotADirectory(f"{printable(name)} is no folder now; restore that")
            return found
        look = fs.look_of(source)
        made = fs.plant_directory(parent.ino, name, look)
        self._above.append(_Above(parent.ino, name, made.ino, look))
        self.changed.append(Changed(parent.ino, name))
        return made

    def _looked_up(self, path: bytes) -> list[bytes]:
        parts = split(path)
        if not parts or b".." in parts:
            raise InvalidArgument(
                f"{printable(path)} cannot be restored alone; give what is in it, or see: vfs rollback"
            )
        inode = self._fs.get(self._root)
        for name in parts:
            found = self._fs.find(inode.ino, name) if inode.is_directory else None
            if found is None:
                where = self._snapshot
                raise NoEntry(f"there is no {printable(path)} in snapshot {where!r}; see .snapshots/{where}")
            inode = found
        return parts

    def _take_over(self, copier: Copier) -> None:
        self.changed += copier.changed
        copier.changed.clear()

    def _so_far(self) -> str:
        if not self.restored:
            return ""
        return f" (restored before that: {', '.join(printable(path) for path in self.restored)})"
