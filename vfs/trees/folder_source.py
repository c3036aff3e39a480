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
MOST_DEEP = 500
"""Folders open at once: one for each level."""

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
        try:
            yield _node(b"", os.fstat(descriptor), self._folder, follow=True)
            yield from self._inside(descriptor, b"", self._folder, 0)
        finally:
            os.close(descriptor)

    def _inside(self, descriptor: int, path: bytes, place: bytes, depth: int) -> Iterator[Item]:
        """What is in an open folder; `path` of it in the tree, `place` of it on the host."""
        try:
            names = sorted(os.fsencode(name) for name in os.listdir(descriptor))
        except OSError as error:
            yield _problem(path, error)
            return
        for name in names:
            inner = path + b"/" + name if path else name
            where = place.rstrip(b"/") + b"/" + name
            if where in self._avoid:
                yield Skipped(inner, OWN_STORE)
                continue
            try:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                kind = stat.S_IFMT(found.st_mode)
                if kind == stat.S_IFDIR:
                    if depth >= MOST_DEEP:
                        yield Problem(inner, f"more than {MOST_DEEP} folders deep")
                        continue
                    opened = os.open(name, _FOLDER, dir_fd=descriptor)
                    try:
                        yield _node(inner, found, b"/proc/self/fd/%d" % opened, follow=True)
                        yield from self._inside(opened, inner, where, depth + 1)
                    finally:
                        os.close(opened)
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
