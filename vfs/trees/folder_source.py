"""A folder of the host as a stream of items, depth first.

Promises to follow no symbolic link, to leave access times alone where it may, to read holes as holes, and
not to touch the paths it is told to avoid, not even to look at them. What cannot be read is a `Problem`,
and the rest goes on. Never changes anything.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from vfs.errors import StoreError
from vfs.limits import MIB
from vfs.trees.items import OWN_STORE, SOCKETS, FileEnd, Hole, Item, Node, Problem, Skipped

READ_BYTES = MIB
MOST_OPEN = 64
"""Folders open at once, the innermost ones and the top: those between are opened again on the way back."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FolderSource:
    """All that is in a folder, and the folder itself as the top. Iterate once."""

    in_order = True
    """What is in a folder comes right behind it, so whoever leaves it has seen all of it."""
    total_bytes = 0

    def __init__(self, folder: Path, avoid: Collection[Path] = ()) -> None:
        self._folder = os.fsencode(folder)
        self._avoid = {os.fsencode(path) for path in avoid}
        self._links: dict[
            tuple[int, int], bytes
        ] = {}  # (device, inode) of a file with further names -> a path
        self.done_bytes = 0

    def __iter__(self) -> Iterator[Item]:
        try:
            descriptor = os.open(self._folder, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise StoreError(f"cannot read {os.fsdecode(self._folder)}: {error.strerror}") from error
        levels = [_Level(descriptor, b"", self._folder)]
        try:
            yield _node(b"", os.fstat(descriptor), self._folder, follow=True)
            yield from levels[0].list()
            while levels:
                name = next(levels[-1].names, None)
                if name is None:
                    yield from _leave(levels)
                else:
                    yield from self._entry(levels, name)
        finally:
            for level in levels:
                level.close()

    def _entry(self, levels: list["_Level"], name: bytes) -> Iterator[Item]:
        """One entry of the innermost folder; what is in it, where it is a folder, comes next."""
        level = levels[-1]
        descriptor = level.descriptor
        assert descriptor is not None, "only folders further out are closed"
        inner = level.path + b"/" + name if level.path else name
        where = level.place.rstrip(b"/") + b"/" + name
        if where in self._avoid:
            yield Skipped(inner, OWN_STORE)
            return
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            kind = stat.S_IFMT(found.st_mode)
            if kind == stat.S_IFDIR:
                opened = os.open(name, _FOLDER, dir_fd=descriptor)
                levels.append(_Level(opened, inner, where))
                if len(levels) > MOST_OPEN + 1:
                    levels[-MOST_OPEN - 1].close()
                yield _node(inner, found, b"/proc/self/fd/%d" % opened, follow=True)
                yield from levels[-1].list()
            elif kind == stat.S_IFREG:
                yield from self._file(descriptor, name, inner, found)
            else:
                yield self._special(descriptor, name, inner, found)
        except OSError as error:
            yield _problem(inner, error)

    def _special(self, descriptor: int, name: bytes, path: bytes, found: os.stat_result) -> Item:
        if stat.S_ISSOCK(found.st_mode):
            return Skipped(path, SOCKETS)
        if found.st_nlink > 1 and (earlier := self._earlier(found, path)) is not None:
            return Node(path, found.st_mode, link_to=earlier)
        target = os.readlink(name, dir_fd=descriptor) if stat.S_ISLNK(found.st_mode) else None
        return _node(path, found, b"/proc/self/fd/%d/%s" % (descriptor, name), target=target)

    def _earlier(self, found: os.stat_result, path: bytes) -> bytes | None:
        known = self._links.setdefault((found.st_dev, found.st_ino), path)
        return None if known == path else known

    def _file(self, descriptor: int, name: bytes, path: bytes, found: os.stat_result) -> Iterator[Item]:
        if found.st_nlink > 1 and (earlier := self._earlier(found, path)) is not None:
            yield Node(path, found.st_mode, link_to=earlier)
            return
        opened = _open_file(name, descriptor)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                yield Problem(path, "changed into something else while it was being read")
                return
            yield _node(path, found, opened)
            yield from self._content(opened, found)
        finally:
            os.close(opened)

    def _content(self, opened: int, found: os.stat_result) -> Iterator[Item]:
        size = found.st_size
        try:
            if found.st_blocks * 512 >= size:
                yield from self._data(opened, 0, size)
            else:
                at = 0
                while at < size:
                    start = _seek_data(opened, at)
                    start = size if start is None else min(start, size)
                    if start > at:
                        yield Hole(start - at)
                    if start < size:
                        at = min(os.lseek(opened, start, os.SEEK_HOLE), size)
                        yield from self._data(opened, start, at)
                    else:
                        at = size
        except OSError as error:
            yield FileEnd(error.strerror or str(error))
            return
        except _Shrunk:
            yield FileEnd("became shorter while it was being read")
            return
        yield FileEnd()

    def _data(self, opened: int, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            data = os.pread(opened, min(READ_BYTES, stop - start), start)
            if not data:
                raise _Shrunk
            start += len(data)
            self.done_bytes += len(data)
            yield data


class _Level:
    """A folder on the way in: `path` in the tree, `place` on the host, `names` that are still to come."""

    def __init__(self, descriptor: int, path: bytes, place: bytes) -> None:
        self.descriptor: int | None = descriptor
        self.path = path
        self.place = place
        self.names: Iterator[bytes] = iter(())
        self._identity = _identity(descriptor)

    def list(self) -> Iterator[Problem]:
        """Learn the names; a problem instead of them where that cannot be."""
        assert self.descriptor is not None, "it was just opened"
        try:
            self.names = iter(sorted(os.fsencode(name) for name in os.listdir(self.descriptor)))
        except OSError as error:
            yield _problem(self.path, error)

    def reopen(self, below: int) -> bool:
        """Come back from an open folder in it; False when that lies elsewhere by now."""
        try:
            opened = os.open(b"..", _FOLDER, dir_fd=below)
        except OSError:
            return False
        self.descriptor = opened
        if _identity(opened) != self._identity:
            self.close()
        return self.descriptor is not None

    def close(self) -> None:
        """Give the descriptor back; idempotent."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _leave(levels: list[_Level]) -> Iterator[Problem]:
    """Go on in the folder around the innermost one."""
    left = levels.pop()
    try:
        assert left.descriptor is not None, "it was the innermost"
        if not levels or levels[-1].descriptor is not None or levels[-1].reopen(left.descriptor):
            return
    finally:
        left.close()
    while levels[-1].descriptor is None:  # the top stays open
        yield Problem(levels.pop().path, "was moved while it was being read")


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


class _Shrunk(Exception):
    """A file ended before the size that it had."""


def _open_file(name: bytes, descriptor: int) -> int:
    try:
        return os.open(name, _FILE | os.O_NOATIME, dir_fd=descriptor)
    except PermissionError:
        return os.open(name, _FILE, dir_fd=descriptor)  # only its owner and root may leave the time alone


def _seek_data(opened: int, at: int) -> int | None:
    try:
        return os.lseek(opened, at, os.SEEK_DATA)
    except OSError:
        return None  # ENXIO: only a hole is left


def _problem(path: bytes, error: OSError) -> Problem:
    return Problem(path, error.strerror or str(error))


def _node(
    path: bytes,
    found: os.stat_result,
    handle: bytes | int,
    *,
    target: bytes | None = None,
    follow: bool = False,
) -> Node:
    return Node(
        path,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_mtime_ns,
        found.st_atime_ns,
        found.st_size,
        found.st_rdev,
        target,
        None,
        _xattrs(handle, follow=follow),
    )


def _xattrs(handle: bytes | int, *, follow: bool) -> dict[bytes, bytes]:
    by_path = isinstance(handle, bytes)
    follow = follow or not by_path
    try:
        names = os.listxattr(handle, follow_symlinks=follow)
        return {os.fsencode(name): os.getxattr(handle, name, follow_symlinks=follow) for name in names}
    except OSError:
        return {}  # the file system there has none, or we may not see them
