"""What a diff is between: a folder of a snapshot, of what is now, or of a clone, by the words of the user.

Promises that a word means one folder of one tree, and that what lies below that folder is found by going up
from it, so that nothing has to be walked through. Never follows a symbolic link, never writes.

    NAME          a snapshot            /          what is now
    NAME:sub/dir  a folder of it        /sub/dir   a folder of that, or a clone
"""

import stat
from collections.abc import Iterable
from typing import Final

from vfs.backing.difference_rows import DifferenceRows
from vfs.backing.transaction import InodeRow
from vfs.backing.trees import Tree
from vfs.errors import NoEntry, NotADirectory, SnapshotError
from vfs.limits import ROOT_INO
from vfs.numbers import tree_of
from vfs.paths import split
from vfs.printing import printable

MODE: Final = 1
"""Where the mode stands in an InodeRow."""

PARENT: Final = 12
"""Where the directory stands that an inode lies in."""

LINKS: Final = 4
"""Where the number of names stands."""

ROWS_AT_ONCE = 1000
"""Inodes asked for in one query."""

ROWS_KEPT = 50_000
"""Rows of inodes at hand, some 20 MB: each is looked at several times."""


def is_now(word: str) -> bool:
    """Whether a word stands for something that can change."""
    return word.startswith("/")


def default_other(word: str) -> str:
    """What a snapshot, or a folder of one, is compared with if nothing is named: the same place now."""
    if is_now(word):
        raise SnapshotError(f"say what {word} is to be compared with: a snapshot, or /folder")
    return "/" + word.partition(":")[2].strip("/")


def is_about_now(old: str, new: str | None) -> bool:
    """Whether one of the two, of which the other may be left out, can change."""
    return is_now(old) or new is None or is_now(new)


def find_folder(rows: DifferenceRows, word: str) -> int:
    """The number of the folder that a word stands for. SnapshotError, NoEntry, NotADirectory."""
    if is_now(word):
        number, path = ROOT_INO, word
    else:
        name, _, path = word.partition(":")
        tree = rows.trees.frozen(name)
        if tree is None:
            raise rows.trees.absent(name)
        number = tree.root_ino
    for part in split(path):
        entry = rows.entry(number, part)
        if entry is None:
            raise NoEntry(f"there is no {printable(part)} in {word}; name a folder that is there")
        number = entry[0]
        row = rows.inode(number)
        if row is None or not is_directory(row):
            raise NotADirectory(f"{printable(part)} in {word} is no folder; name the folder that it is in")
    return number


def is_directory(row: InodeRow) -> bool:
    """Whether it is the row of a folder."""
    return stat.S_ISDIR(row[MODE])


class Side:
    """One of the two states: the folder with number `root`, and all that lies below it."""

    def __init__(self, rows: DifferenceRows, root: int) -> None:
        self.rows = rows
        self.root = root
        self.tree = tree_of(root)
        self._below: dict[int, bool] = {root: True}
        self._rows: dict[int, InodeRow | None] = {}  # INVARIANT: at most ROWS_KEPT

    def inode(self, number: int) -> InodeRow | None:
        """The row of an inode that has a name."""
        if number in self._rows:
            return self._rows[number]
        row = self.rows.inode(number)
        if row is not None and not row[LINKS]:
            row = None
        if len(self._rows) >= ROWS_KEPT:
            self._rows.clear()
        self._rows[number] = row
        return row

    def fetch(self, numbers: Iterable[int]) -> None:
        """Have the rows of these inodes, which are of one tree, at hand: at most ROWS_AT_ONCE."""
        missing = [number for number in numbers if number not in self._rows]
        if len(missing) > 1:
            if len(self._rows) >= ROWS_KEPT:
                self._rows.clear()
            found = self.rows.inodes(tree_of(missing[0]), missing)
            self._rows.update((number, row if row and row[LINKS] else None) for number, row in found.items())

    def lies_below(self, directory: int) -> bool:
        """Whether a directory is the root, or lies below it."""
        passed: list[int] = []
        at = directory
        while at not in self._below:
            row = self.inode(at)
            if row is None or not is_directory(row) or row[PARENT] == at or at in passed:
                self._below[at] = False
                break
            passed.append(at)
            at = row[PARENT]
        answer = self._below[at]
        self._below.update((number, answer) for number in passed)
        return answer

    def nested(self) -> list[Tree]:
        """The other trees of the same moment that lie below the root."""
        trees = self.rows.trees
        own = trees.get(self.tree)
        assert own is not None, "its root was found"
        others = trees.live() if own.live else trees.of_snapshot(own.snapshot)
        return [tree for tree in others if tree.id != self.tree and self.lies_below(tree.root_ino)]
