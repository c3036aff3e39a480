"""Paths of inodes, and of the files that a row of a map is a part of, in whichever tree shows it.

Promises that what is live is named before what only a snapshot has, which is `/.snapshots/NAME/path`, and
that the entries of the index are gone through once for any number of files. Never reads data.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from vfs.backing.tree_rows import PARENT_COLUMN, TreeRows
from vfs.backing.tree_tables import load_trees
from vfs.backing.trees import Tree
from vfs.checks.view import Query, RowKey
from vfs.errors import IndexDamaged
from vfs.limits import ROOT_INO
from vfs.numbers import LOCAL_MASK, MAIN_TREE, SNAPSHOTS_INO, TREE_SHIFT, number_of
from vfs.printing import printable
from vfs.snapshots.directory import SNAPSHOTS_NAME

MOST_PARENTS = 4096
"""A path is not looked for any higher than this: directories that contain each other have no end."""


class SeenRows(TreeRows):
    """The rows of files as trees see them, read with somebody's query."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self.trees = load_trees(query, dict(query("SELECT key, value FROM meta")))

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        return list(self._query(sql, arguments))

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        return next(iter(self._all(sql, arguments)), None)

    def row_of_segment(self, ino: int, number: int) -> tuple[int, int] | None:
        """(row number, generation) of the row that a tree shows of a segment."""
        for base, limit in self.trees.chain(ino):
            key = base | ino & LOCAL_MASK
            found = self._one(
                "SELECT max(gen) FROM extent WHERE ino=? AND segment=? AND gen<=?", (key, number, limit)
            )
            if found[0] is not None:
                return key, found[0]
        return None

    def newest_first(self) -> list[Tree]:
        """All trees: the main one, clones, snapshots from the newest on."""
        return sorted(self.trees, key=lambda tree: (not tree.live, -tree.snapshot, tree.source))


class Names:
    """Names for the rows and the inodes of one commit."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._rows = SeenRows(query)
        self._order = [tree.id for tree in self._rows.newest_first()]
        self._steps: dict[int, tuple[bytes, int] | None] = {}  # directory -> its name, and where it lies

    def files_of(self, rows: Iterable[RowKey]) -> dict[RowKey, int]:
        """The number of the first file that shows each of these rows of maps; rows that nobody sees are left
        out: they are about to go."""
        if self._rows.trees.plain and self._rows.trees.generation == 1:
            return {row: row[0] for row in rows}
        found = {}
        for row in rows:
            number = self._file_of(row)
            if number is not None:
                found[row] = number
        return found

    def _file_of(self, row: RowKey) -> int | None:
        ino, segment, gen = row
        through = set(self._rows.trees.through(ino >> TREE_SHIFT))
        for tree in self._order:
            if tree not in through:
                continue
            number = number_of(tree, ino & LOCAL_MASK)
            with suppress(IndexDamaged):
                if self._rows.row_of_segment(number, segment) == (ino, gen) and self._rows.inode(number):
                    return number
        return None

    def paths(self, numbers: Iterable[int]) -> dict[int, str]:
        """For each of these inodes a path that it has, or `inode N` where there is none."""
        places = dict.fromkeys(numbers, (0, b""))
        if not places:
            return {}
        by_local: dict[int, list[int]] = {}
        for number in places:
            by_local.setdefault(number & LOCAL_MASK, []).append(number)
        for parent, name, ino in self._query("SELECT parent, name, ino FROM entry"):
            for number in by_local.get(ino & LOCAL_MASK, ()):
                if places[number][1]:
                    continue
                directory = self._directory_with(number, parent, name)
                if directory is not None:
                    places[number] = (directory, name)
        names = {}
        for number, (directory, name) in places.items():
            path = self._path(directory) if name else None
            names[number] = f"inode {number}" if path is None else printable(path + b"/" + name)
        return names

    def _directory_with(self, number: int, row: int, name: bytes) -> int | None:
        """The directory of a row, as the tree of an inode shows it, if the name leads to that inode there."""
        tree = number >> TREE_SHIFT
        if tree not in self._rows.trees.through(row >> TREE_SHIFT):
            return None
        directory = number_of(tree, row & LOCAL_MASK)
        with suppress(IndexDamaged):
            found = self._rows.entry(directory, name)
            if found is not None and found[0] == number:
                return directory
        return None

    def _path(self, directory: int) -> bytes | None:
        """The path of a directory without a slash at its end, None when it cannot be reached."""
        parts: list[bytes] = []
        at = directory
        while at != ROOT_INO:
            step = self._step(at) if len(parts) < MOST_PARENTS else None
            if step is None:
                return None
            name, at = step
            parts.append(name)
        return b"".join(b"/" + part for part in reversed(parts))

    def _step(self, directory: int) -> tuple[bytes, int] | None:
        """The name of a directory, and the one that it lies in."""
        if directory not in self._steps:
            self._steps[directory] = self._look_up(directory)
        return self._steps[directory]

    def _look_up(self, directory: int) -> tuple[bytes, int] | None:
        with suppress(IndexDamaged):
            row = self._rows.inode(directory)
            if row is None:
                return None
            parent = row[PARENT_COLUMN]
            if parent == SNAPSHOTS_INO:
                return self._snapshot_of(directory >> TREE_SHIFT), ROOT_INO
            names = self._rows.names_of(parent, directory)
            if names:
                return names[0], parent
        return None

    def _snapshot_of(self, tree: int) -> bytes:
        trees = self._rows.trees
        snapshot = next(
            name
            for name, snapshot in trees.snapshots.items()
            if trees.frozen_of(snapshot.id, MAIN_TREE) == trees.get(tree)
        )
        return SNAPSHOTS_NAME + b"/" + snapshot.encode()
