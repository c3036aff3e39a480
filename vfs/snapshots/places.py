"""Clones by path, and what cannot be in words: for those who are told one line and no errno.

Promises that an error names the path that was given and says what would be right. Never changes anything
when it fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from vfs.errors import (
    FULL_DISK,
    READ_ONLY,
    Exists,
    NameTooLong,
    NoEntry,
    NoSpace,
    NotADirectory,
    OperationError,
    ReadOnly,
    SnapshotError,
    StoreFailed,
)
from vfs.journal import Journal
from vfs.paths import Paths, split
from vfs.printing import printable
from vfs.snapshots.snapshotting import Snapshotting


class Place(NamedTuple):
    """Where a clone is or was: the folder that it lies in, its name there, and its path from the root."""

    parent: int
    name: bytes
    path: str


@contextmanager
def in_words(fs: Journal) -> Iterator[None]:
    """Answers that a program would get as an errno become a line that says what to do."""
    try:
        yield
    except StoreFailed:
        raise
    except NoSpace as error:
        raise SnapshotError(FULL_DISK) from error
    except ReadOnly as error:
        if fs.log.failed is not None:
            raise StoreFailed(fs.log.failed.reason) from error
        if fs.read_only:
            raise SnapshotError(READ_ONLY) from error
        raise SnapshotError(
            "what lies in a snapshot never changes; clone it, and change the clone"
        ) from error


def make_clone(fs: Snapshotting, source: str, path: bytes, *, top: bytes = b"/") -> Place:
    """Clone a snapshot, NAME or NAME:sub/dir, to a path from the root whose folder exists.

    `top` is where the root shows, for symbolic links on the way that are absolute.
    """
    place = _place(fs, path, top)
    snapshot, _, folder = source.partition(":")
    try:
        with in_words(fs):
            fs.clone(source, place.parent, place.name)
    except Exists as error:
        raise SnapshotError(f"{place.path} exists already; give a new name") from error
    except NameTooLong as error:
        raise SnapshotError(f"the name of {place.path} is too long; give a shorter one") from error
    except (NoEntry, NotADirectory) as error:
        raise SnapshotError(
            f"there is no folder {folder!r} in snapshot {snapshot!r}; see .snapshots/{snapshot}"
        ) from error
    return place


def remove_clone(fs: Snapshotting, path: bytes, *, top: bytes = b"/") -> Place:
    """Remove the clone at a path from the root with all that is in it."""
    place = _place(fs, path, top)
    inode = fs.find(place.parent, place.name)
    if inode is None:
        raise SnapshotError(f"there is no {place.path}; give the path of a clone")
    if not fs.is_clone(inode.ino):
        raise SnapshotError(f"{place.path} is no clone; remove it as any file or folder, with rm -r")
    with in_words(fs):
        fs.drop_clone(inode.ino)
    return place


def _place(fs: Paths, path: bytes, top: bytes) -> Place:
    parts = split(path)
    shown = printable(b"/" + b"/".join(parts))
    if not parts or parts[-1] == b"..":
        raise SnapshotError(f"{shown} is no place for a clone; give the path of a new folder")
    above = printable(b"/" + b"/".join(parts[:-1]))
    try:
        folder = fs.resolve(b"/".join(parts[:-1]), top=top)
    except NotADirectory as error:
        raise SnapshotError(f"{above} is no folder; give a path in one") from error
    except NoEntry as error:
        raise SnapshotError(f"there is no folder {above}; make it first") from error
    except OperationError as error:
        raise SnapshotError(f"{above} cannot be followed: {error}") from error
    if not folder.is_directory:
        raise SnapshotError(f"{above} is no folder; give a path in one")
    return Place(folder.ino, parts[-1], shown)
