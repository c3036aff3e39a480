"""What memory lets go of once the index has a capture, a little at a time.

Promises that between two steps memory is as right as before and after: each directory lets go of its names at
once. Never looks at the index, and never lets go of what it does not have: whatever changes between two steps
is in the tracker by then.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from vfs.inode.inode import Inode
from vfs.inode.tracker import Capture, Tracker

WHOLE_DIRECTORY_ENTRIES = 10_000
"""A directory with more entries keeps only what the index does not have yet, once that is committed."""

FREED_AT_ONCE = 10
"""Rows that are freed as quickly as one name is forgotten."""


class Crowd(Protocol):
    """The inodes in memory."""

    tracker: Tracker

    @property
    def crowded(self) -> bool: ...

    def sweep(self, most: int | None = None) -> bool: ...

    def begin_sweep(self) -> None: ...

    def shrink_directory(self, inode: Inode, held: set[bytes]) -> None: ...


class AfterCommit:
    """The steps behind one commit.

    INVARIANT: no capture begins before the last of them.
    """

    def __init__(self, table: Crowd, capture: Capture) -> None:
        self._table = table
        self._capture = capture
        self._work = self._all()

    def step(self, most: int) -> bool:
        """Let go of about so many things more; True when there is nothing left to be done."""
        return sum(1 for _ in islice(self._work, most)) < most

    def finish(self) -> None:
        """Do all of it."""
        for _ in self._work:
            pass

    def _all(self) -> Iterator[None]:
        yield from self._names()
        yield from self._rows()
        if self._table.crowded:
            self._table.begin_sweep()
            while self._table.sweep(1):
                yield

    def _names(self) -> Iterator[None]:
        taken = self._capture.taken_entries
        directories: dict[int, tuple[Inode, list[bytes]]] = {}
        while taken:
            (ino, name), inode = taken.popitem()
            directories.setdefault(ino, (inode, []))[1].append(name)
            yield
        while directories:
            ino, (inode, names) = directories.popitem()
            self._forget(inode, names)
            for _ in names:
                yield

    def _forget(self, inode: Inode, names: list[bytes]) -> None:
        directory, tracker = inode.directory, self._table.tracker
        if directory is None or inode.dropped:
            return
        if not directory.complete:
            for name in names:
                if (inode.ino, name) not in tracker.entries:
                    directory.forget(name)
        elif len(directory.names) > WHOLE_DIRECTORY_ENTRIES:
            self._table.shrink_directory(inode, tracker.held_names({inode.ino})[inode.ino])

    def _rows(self) -> Iterator[None]:
        # Freeing a hundred thousand rows takes as long as making them: so not all with the last reference.
        capture = self._capture
        entries, inodes = (capture.entries, capture.dropped_entries), (capture.inodes, capture.dropped)
        for rows in (*entries, *inodes, capture.xattrs):
            while rows:
                del rows[-FREED_AT_ONCE:]
                yield
        while capture.segments:
            capture.segments.popitem()
            yield
        while capture.taken_inodes:
            capture.taken_inodes.popitem()
            yield
