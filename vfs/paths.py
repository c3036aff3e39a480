"""Whole paths, for those who use a store as a library: the file operations of `os`, by path.

Promises to follow symbolic links as the kernel would, without ever leaving the store. Never used by the
kernel adapter, which speaks inode numbers.
"""

import os

from vfs.attributes import Attributes
from vfs.contents import Contents
from vfs.errors import IndexDamaged, InvalidArgument, NoEntry, NotADirectory
from vfs.inode.inode import Inode
from vfs.limits import MIB, ROOT_INO
from vfs.namespace import ROOT, Caller, Namespace
from vfs.printing import printable

StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

LINKS_FOLLOWED = 40
"""Symbolic links followed in one path before it is taken for a loop, as in Linux."""

ENTRIES_SEARCHED = 50_000
"""Of a directory: what takes some 10 ms to look through for an inode's name."""

PARENTS_NAMED = 256
"""A path is not looked for any higher than this."""


class Paths(Namespace, Contents, Attributes):
    """Operations on paths. Relative and absolute paths both start at the root of the store."""

    def resolve(self, path: StrPath, *, follow: bool = True, top: bytes = b"/") -> Inode:
        """The inode that a path leads to; the last symbolic link is followed only with `follow`.

        `top` is where the root of the store shows, for symbolic links that lead to absolute paths: NoEntry
        for one that does not lead below it.
        """
        at = self.get(ROOT_INO)
        parts = split(path)[::-1]
        links = 0
        while parts:
            name = parts.pop()
            inode = self.lookup(at.ino, name)
            if inode.target is not None and (follow or parts):
                links += 1
                if links > LINKS_FOLLOWED:
                    raise InvalidArgument("too many symbolic links")
                target = inode.target
                if target.startswith(b"/"):
                    at = self.get(ROOT_INO)
                    target = _below(top, target)
                parts += split(target)[::-1]
            else:
                at = inode
        return at

    def path_of(self, ino: int) -> bytes | None:
        """A path that leads to an inode, for messages; None when there is none, or it would take long."""
        parts: list[bytes] = []
        try:
            while ino != ROOT_INO and len(parts) < PARENTS_NAMED:
                parent = self.table.get(self.table.get(ino).parent)
                if not parent.is_directory or parent.size > ENTRIES_SEARCHED:
                    return None
                name = self.table.directory(parent).name_of(ino)
                if name is None:
                    return None
                parts.append(name)
                ino = parent.ino
        except (NoEntry, IndexDamaged):
            return None
        return b"".join(b"/" + part for part in reversed(parts)) if ino == ROOT_INO else None

    def _parent(self, path: StrPath) -> tuple[int, bytes]:
        parts = split(path)
        if not parts:
            raise InvalidArgument("the root has no name")
        return self.resolve(b"/".join(parts[:-1])).ino, parts[-1]

    def exists(self, path: StrPath) -> bool:
        """True when the path leads somewhere."""
        try:
            self.resolve(path)
        except (NoEntry, NotADirectory):
            return False
        return True

    def listdir(self, path: StrPath = b"/") -> list[bytes]:
        """The names in a directory, without `.` and `..`."""
        ino = self.resolve(path).ino
        names: list[bytes] = []
        cookie = 2
        while rows := self.readdir(ino, cookie, 1000):
            names += [row[0] for row in rows]
            cookie = rows[-1][2]
        return names

    def read_bytes(self, path: StrPath) -> bytes:
        """The whole content of a file."""
        inode = self.resolve(path)
        return b"".join(bytes(self.read(inode.ino, at, MIB)) for at in range(0, inode.size, MIB))

    def write_bytes(self, path: StrPath, data: bytes, *, mode: int = 0o644, caller: Caller = ROOT) -> Inode:
        """Make `data` the content of a file, which is created where it is missing."""
        parent, name = self._parent(path)
        try:
            inode = self.resolve(path)
            self.truncate(inode.ino, 0)
        except NoEntry:
            inode = self.mknod(parent, name, mode, caller=caller)
        self.write(inode.ino, 0, data)
        return inode

    def make_directory(
        self, path: StrPath, *, mode: int = 0o755, parents: bool = False, caller: Caller = ROOT
    ) -> Inode:
        """A directory; with `parents` also those above it, and no error when it is there."""
        if not parents:
            return self.mkdir(*self._parent(path), mode, caller)
        at = self.get(ROOT_INO)
        for name in split(path):
            try:
                at = self.lookup(at.ino, name)
            except NoEntry:
                at = self.mkdir(at.ino, name, mode, caller)
        return at

    def remove(self, path: StrPath) -> None:
        """Remove a file, a link or an empty directory."""
        parent, name = self._parent(path)
        if self.lookup(parent, name).is_directory:
            self.rmdir(parent, name)
        else:
            self.unlink(parent, name)

    def move(self, old: StrPath, new: StrPath, flags: int = 0) -> None:
        """Rename."""
        self.rename(*self._parent(old), *self._parent(new), flags)


def _below(top: bytes, target: bytes) -> bytes:
    inner = target + b"/"
    if not inner.startswith(top.rstrip(b"/") + b"/"):
        raise NoEntry(f"a symbolic link leads out of the file system, to {printable(target)}")
    return inner[len(top.rstrip(b"/")) :]


def split(path: StrPath) -> list[bytes]:
    """The names that a path consists of."""
    return [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
