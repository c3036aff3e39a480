"""Copies inside one file system, by path: where they come from, where they go, and making them at once.

Promises the words that people get: each error says what is wrong with which path and what to do. Changes
nothing by itself.
"""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vfs.errors import Exists, InvalidArgument, NoEntry, NotADirectory
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.paths import StrPath
from vfs.printing import printable
from vfs.trees.copier import Copied, Copier
from vfs.trees.restorer import Restorer

OnProgress = Callable[[int, int, str], None]


class Places(NamedTuple):
    """What is copied, and the name that the copy gets in which folder. `path` is that for people."""

    source: int
    parent: int
    name: bytes
    path: str


class _Paths:
    """Paths inside the file system, whose root shows at `top`."""

    def __init__(self, fs: FileSystem, top: bytes) -> None:
        self._fs = fs
        self._top = top

    def shown(self, path: bytes) -> str:
        """As the user knows it."""
        return printable(os.path.join(self._top, path.lstrip(b"/")))

    def find(self, path: bytes, *, follow: bool) -> Inode | None:
        """What is there; None when nothing is."""
        try:
            return self._fs.resolve(path, follow=follow, top=self._top)
        except (NoEntry, NotADirectory):
            return None


def find_places(fs: FileSystem, source: bytes, dest: bytes, *, replace: bool, top: bytes = b"/") -> Places:
    """Where a copy of `source` to `dest` goes: into a folder that is there, else it is `dest`.

    Symbolic links are followed, but for the last part of `source`. Raises NoEntry when there is no such
    source, or no folder for the copy; Exists when the place is taken, unless by no folder and with `replace`.
    """
    paths = _Paths(fs, top)
    inode = paths.find(source, follow=source.endswith(b"/"))
    if inode is None:
        raise NoEntry(f"there is no {paths.shown(source)}; give the path of what is there")
    at = paths.find(dest, follow=True)
    if at is not None and at.is_directory:
        dest = os.path.join(dest, _last(source, paths))
    elif dest.endswith(b"/") and not inode.is_directory:
        raise NotADirectory(f"{paths.shown(dest)} is no folder; make it, or leave out the / at its end")
    name = _last(dest, paths)
    above = dest.rstrip(b"/")[: -len(name)]
    parent = paths.find(above, follow=True)
    if parent is None or not parent.is_directory:
        raise NoEntry(f"there is no folder {paths.shown(above)}; make it, or give another DST")
    old = fs.find(parent.ino, name)
    if old is not None and old.is_directory:
        raise Exists(f"there is a folder {paths.shown(dest)} already; remove it, or give another DST")
    if old is not None and not replace:
        raise Exists(f"{paths.shown(dest)} is there already; replace it with --force, or give another DST")
    return Places(inode.ino, parent.ino, name, paths.shown(dest))


def _last(path: bytes, paths: _Paths) -> bytes:
    name = path.rstrip(b"/").rpartition(b"/")[2]
    if name in (b"", b".", b".."):
        raise InvalidArgument(f"{paths.shown(path)} has no name of its own there; give it by its name")
    return name


def copy_tree(
    fs: FileSystem,
    source: StrPath,
    dest: StrPath,
    on_progress: OnProgress | None = None,
    *,
    replace: bool = False,
) -> Copied:
    """Copy what is at `source` to `dest`, or into that if it is a folder, without moving any content.

    Both are paths in `fs`. With `replace` what has the name already goes, unless it is a folder. After an
    error, or an interruption, there is no copy.
    """
    places = find_places(fs, os.fsencode(source), os.fsencode(dest), replace=replace)
    copier = Copier(fs, places.source, places.parent, places.name, replace=replace)
    run(fs, copier, on_progress)
    return copier.copied


def restore_tree(
    fs: FileSystem, snapshot: str, paths: Sequence[StrPath], on_progress: OnProgress | None = None
) -> Copied:
    """Have the paths be what they are in the snapshot, in place of what they are now."""
    restorer = Restorer(fs, snapshot, [os.fsencode(path) for path in paths])
    run(fs, restorer, on_progress)
    return restorer.copied


def run(fs: FileSystem, copier: Copier | Restorer, on_progress: OnProgress | None = None) -> None:
    """Take all steps of a copy, or undo them; then it is durable."""
    automatic, fs.autopilot = fs.autopilot, False
    try:
        try:
            for _ in copier.steps():
                copier.changed.clear()  # nobody else knows this file system
                if on_progress is not None:
                    on_progress(0, 0, copier.text())
                if automatic:
                    fs.steer()
        except BaseException:
            for _ in copier.undo():
                pass
            raise
        fs.sync()
    finally:
        fs.autopilot = automatic
