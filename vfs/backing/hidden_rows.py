"""Rows of a branch that all those hide who fork from it: they have rows of their own in their place.

Such a row has a reader, a branch that forks, and is seen by no tree. It comes about when a tree that began as
a snapshot (after a rollback, or a clone) changes what it began with, and the snapshot goes. It is told by
nobody, so it is looked for: for each row of the branch that hides, whether anybody still needs the one below.

Promises that no row goes which any tree sees, and that a slice is bounded. Time grows with the rows of the
branch that hides, not with those of the one that is hidden. Never commits.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from vfs.backing.prune_rows import (
    KEYS,
    MAPS_AT_ONCE,
    OWNER,
    PAGE_ROWS,
    TABLES,
    TELLS,
    hides,
    is_tombstone,
)
from vfs.backing.readers import Query, Readers
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

_PAGE = {
    table: f"SELECT {keys}, {TELLS[table]}, gen FROM {table}"
    f" WHERE ({keys}, gen)>({', '.join('?' * (keys.count(',') + 2))}) AND {OWNER[table]}<=?"
    f" ORDER BY {keys}, gen LIMIT ?"
    for table, keys in KEYS.items()
}
_ONE = {table: " AND ".join(f"{column}=?" for column in keys.split(", ")) for table, keys in KEYS.items()}
_FIRST = {table: f"SELECT min(gen) FROM {table} WHERE {one}" for table, one in _ONE.items()}
_NEXT = {table: f"SELECT min(gen) FROM {table} WHERE {one} AND gen>?" for table, one in _ONE.items()}
_NEWEST = {
    table: f"SELECT gen, {TELLS[table]} FROM {table} WHERE {one} AND gen<=? ORDER BY gen DESC LIMIT 1"
    for table, one in _ONE.items()
}
_FOLLOWING = {
    table: f"SELECT gen, {TELLS[table]} FROM {table} WHERE {one} AND gen>? ORDER BY gen LIMIT 1"
    for table, one in _ONE.items()
}
_CONTENT = tuple(f"SELECT 1 FROM {table} WHERE ino=? LIMIT 1" for table in ("extent", "xattr"))
_REMOVED_AT = "SELECT min(gen) FROM inode WHERE ino=? AND mode=0"
_SEGMENTS = (
    "SELECT DISTINCT segment FROM extent WHERE ino=? AND segment>? AND gen<=? ORDER BY segment LIMIT ?"
)

Key = tuple[Any, ...]
"""Local number, and what else is the key of a row but its generation."""


class HidingCursor(NamedTuple):
    """How far the rows of a hiding branch were looked at: the table, and the last row there."""

    table: int = 0
    after: tuple[Any, ...] = ()


class Remover(Protocol):
    """Told of rows that are to go."""

    rows: int
    """How many they were."""

    def remove(self, table: str, key: tuple[Any, ...], gen: int, tells: Any) -> None:
        """One row, or a set of attributes."""


class Noted:
    """Notes the segments that would go, and lets them stay."""

    def __init__(self) -> None:
        self.rows = 0
        self.maps: list[tuple[int, int, int, bytes]] = []
        """(ino, segment, gen, map)."""

    def remove(self, table: str, key: tuple[Any, ...], gen: int, tells: Any) -> None:
        """See `Remover`."""
        if table == "extent":
            self.maps.append((*key, gen, tells))


class HiddenRows:
    """One slice of looking at what one branch hides, inside a transaction."""

    def __init__(self, query: Query, readers: Readers, branch: int, remover: Remover) -> None:
        self._query = query
        self._readers = readers
        self._branch = branch
        self._base = branch << TREE_SHIFT
        self._remover = remover
        self._least = min(readers.of(branch), default=0)
        """All readers of the branch see its rows of this generation, or newer ones."""
        self._levels = readers.levels(branch)
        self.looked = 0

    def work(self, cursor: HidingCursor, enough: Callable[[int], bool]) -> HidingCursor | None:
        """Go on until `enough`, which is told how much was done, or all is looked at: then None."""
        while cursor.table < len(TABLES):
            cursor = self._page(cursor)
            if enough(self._remover.rows + self.looked):
                break
        return cursor if cursor.table < len(TABLES) else None

    def _page(self, cursor: HidingCursor) -> HidingCursor:
        table = TABLES[cursor.table]
        first = {"entry": (b"",), "extent": (-1,)}.get(table, ())
        after = cursor.after or (self._base, *first, -1)
        rows = list(self._query(_PAGE[table], (*after, self._base | LOCAL_MASK, PAGE_ROWS)))
        self.looked += 1
        before: tuple[Any, ...] = after[:-1]
        for *key, tells, gen in rows:
            self.looked += 1
            local: Key = (key[0] & LOCAL_MASK, *key[1:])
            if gen <= self._least and tuple(key) != before:  # of a key the oldest row is enough
                if table == "inode" and is_tombstone(table, tells):
                    self._hide_content(key[0] & LOCAL_MASK)
                self._hide(table, local)
            if is_tombstone(table, tells):
                self._remove_vain(table, local, self._branch, gen, tells)
            before = tuple(key)
        if len(rows) < PAGE_ROWS:
            return HidingCursor(cursor.table + 1)
        return HidingCursor(cursor.table, (*rows[-1][:-2], rows[-1][-1]))

    # --- what is hidden ---------------------------------------------------------------------

    def _hide(self, table: str, key: Key) -> None:
        """This branch has the key: those that it forks from keep it only for others."""
        for branch, limit in self._levels:
            row = (branch << TREE_SHIFT | key[0], *key[1:])
            found = next(self._query(_NEWEST[table], (*row, limit)), None)
            if found is not None:
                gen, tells = found
                if self._is_needed(table, key, branch, gen):
                    return
                # As long as anything of what it had is looked for, an inode stays where that is.
                if table != "inode" or not self._has_content(row[0]):
                    self._remove(table, key, branch, gen, tells)
            if self._needs(table, key, branch):
                return

    def _has_content(self, row: int) -> bool:
        return any(list(self._query(sql, (row,))) for sql in _CONTENT)

    def _remove(self, table: str, key: Key, branch: int, gen: int, tells: Any) -> None:
        """One row, and the tombstones that were there to hide it."""
        self._remover.remove(table, (branch << TREE_SHIFT | key[0], *key[1:]), gen, tells)
        self._uncover(table, key, branch, gen)

    def _uncover(self, table: str, key: Key, branch: int, gen: int) -> None:
        """A branch has no longer a row of that generation: look at the next one, and at the first one of
        branches that saw it."""
        row = (branch << TREE_SHIFT | key[0], *key[1:])
        for following, mark in list(self._query(_FOLLOWING[table], (*row, gen))):
            if is_tombstone(table, mark):
                self._remove_vain(table, key, branch, following, mark)
        for limit, fork in self._readers.each(branch):
            if fork is not None and limit >= gen:
                self._uncover(table, key, fork, 0)

    def _remove_vain(self, table: str, key: Key, branch: int, gen: int, tells: Any) -> None:
        """Remove a tombstone that hides nothing."""
        below = ((branch, gen - 1), *self._readers.levels(branch))
        if not hides(self._query, table, key, below):
            self._remover.remove(table, (branch << TREE_SHIFT | key[0], *key[1:]), gen, tells)

    def _hide_content(self, local: int) -> None:
        """An inode is gone here: so are its segments and attributes below."""
        self._hide("xattr", (local,))
        for branch, limit in self._levels:
            after = -1
            while rows := list(
                self._query(_SEGMENTS, (branch << TREE_SHIFT | local, after, limit, MAPS_AT_ONCE))
            ):
                for (segment,) in rows:
                    self._hide("extent", (local, segment))
                after = rows[-1][0]

    def _is_needed(self, table: str, key: Key, branch: int, gen: int) -> bool:
        """Whether a tree sees that row."""
        row = (branch << TREE_SHIFT | key[0], *key[1:])
        ends = [next(self._query(_NEXT[table], (*row, gen)))[0]]
        if table in ("extent", "xattr"):
            ends.append(next(self._query(_REMOVED_AT, row[:1]))[0])
        following = min((end for end in ends if end is not None), default=None)
        return any(
            fork is None or self._needs(table, key, fork)
            for limit, fork in self._readers.each(branch)
            if gen <= limit and (following is None or limit < following)
        )

    def _needs(self, table: str, key: Key, branch: int) -> bool:
        """Whether a tree that sees the branch looks for that key in those that the branch forks from."""
        own = self._own_since(table, key, branch)
        return any(
            fork is None or self._needs(table, key, fork)
            for limit, fork in self._readers.each(branch)
            if own is None or limit < own
        )

    def _own_since(self, table: str, key: Key, branch: int) -> int | None:
        """The first generation in which a branch says itself what a key is."""
        row = (branch << TREE_SHIFT | key[0], *key[1:])
        found = [next(self._query(_FIRST[table], row))[0]]
        if table in ("extent", "xattr"):
            found.append(next(self._query(_REMOVED_AT, row[:1]))[0])
        return min((gen for gen in found if gen is not None), default=None)


def hidden_extents(query: Query, readers: Readers, branch: int) -> Iterator[tuple[int, int, int, bytes]]:
    """(ino, segment, gen, map) of the segments that a branch hides from all of those readers. Only looks."""
    noted = Noted()
    work = HiddenRows(query, readers, branch, noted)
    cursor: HidingCursor | None = HidingCursor()
    while cursor is not None:
        cursor = work.work(cursor, lambda done: True)
        yield from noted.maps
        noted.maps.clear()
