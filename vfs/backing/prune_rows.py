"""Removing rows that no reader sees any more, a slice at a time.

A gap says between which readers of a branch there is none any more (`readers.py`). Where there is a reader
above it, it sees the newest row of each key: what is older, down to the reader below, goes; whoever still has
one of these keys in a generation of the gap shows where that is. A tombstone goes when nothing shows below
it. Where there is no reader above, everything goes that is younger than the reader below.

Promises that a slice is bounded, that no row goes which somebody sees, and that all maps that go are handed
over, so that their references can be taken out in the same transaction. Never commits.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from vfs.backing.doomed_extents import generations
from vfs.backing.packed import PackedTransaction
from vfs.backing.readers import Gap, Job, Query, Readers
from vfs.backing.shapes import check_rows
from vfs.backing.transaction import EMPTY_MAP
from vfs.backing.trees import LIVE
from vfs.errors import IndexDamaged
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

TakeOut = Callable[[bytes, list[bytes]], object]
"""Told of each map that goes, and of those of the same segment that are known to stay."""

PAGE_ROWS = 100
MAPS_AT_ONCE = 500
"""Segments of a removed file that go before it is looked whether the slice is long enough."""

TABLES = ("entry", "extent", "xattr", "inode")
KEYS = {"entry": "parent, name", "extent": "ino, segment", "xattr": "ino", "inode": "ino"}
TELLS = {"entry": "kind", "extent": "map", "xattr": "name", "inode": "mode"}
"""What of a row says whether it is a tombstone."""
OWNER = {"entry": "parent", "extent": "ino", "xattr": "ino", "inode": "ino"}

_FIRST: dict[str, tuple[Any, ...]] = {"entry": (b"",), "extent": (-1,), "xattr": (), "inode": ()}
"""Before all keys of an owner."""

_OF_GENERATION = {
    table: f"SELECT {keys}, {TELLS[table]} FROM {table} INDEXED BY {table}_gen"
    f" WHERE gen>1 AND gen=? AND ({keys})>({', '.join('?' * (keys.count(',') + 1))})"
    f" ORDER BY {keys}{', name' if table == 'xattr' else ''} LIMIT ?"
    for table, keys in KEYS.items()
}
_IN_BRANCH = {
    table: f"SELECT {keys}, gen, {TELLS[table]} FROM {table} WHERE {OWNER[table]} BETWEEN ? AND ? LIMIT ?"
    for table, keys in KEYS.items()
}
_ONE = {table: " AND ".join(f"{column}=?" for column in keys.split(", ")) for table, keys in KEYS.items()}
_DELETE = {table: f"DELETE FROM {table} WHERE {one} AND gen=?" for table, one in _ONE.items()}
_DELETE_BETWEEN = {
    table: f"DELETE FROM {table} WHERE {one} AND gen>? AND gen<?" for table, one in _ONE.items()
}
_OLDER_MAPS = "SELECT gen, map FROM extent WHERE ino=? AND segment=? AND gen>? AND gen<?"
_MAPS_OF_INODE = "SELECT segment, gen, map FROM extent WHERE ino=? AND gen>? AND gen<=? LIMIT ?"
_SHOWN = {
    table: f"SELECT {TELLS[table]} FROM {table} WHERE {one} AND gen<=?"
    f" ORDER BY gen DESC{', name' if table == 'xattr' else ''} LIMIT 1"
    for table, one in _ONE.items()
}


class Cursor(NamedTuple):
    """How far a gap has been worked off: the next table, and in it the last generation and key."""

    table: int = 0
    gen: int = 0
    """0: none was begun."""
    after: tuple[Any, ...] = ()


class RowRemover:
    """Removes rows, and hands their maps over."""

    def __init__(self, transaction: PackedTransaction, take_out: TakeOut) -> None:
        self._execute = transaction.execute
        self._take_out = take_out
        self.rows = 0
        """That are gone."""

    def remove(
        self, table: str, key: tuple[Any, ...], gen: int, tells: Any, kept: tuple[Any, ...] = ()
    ) -> None:
        """One row, or a set of attributes; `kept`: maps of the same segment that stay."""
        if table == "extent":
            if not all(type(encoded) is bytes for encoded in (tells, *kept)):
                raise IndexDamaged("the map of a segment is not made of bytes")
            self._take_out(tells, list(kept))
        self.rows += self._execute(_DELETE[table], (*key, gen))

    def remove_between(self, table: str, key: tuple[Any, ...], low: int, high: int) -> None:
        """All rows of a key above `low` and below `high`, of a table that has no maps."""
        self.rows += self._execute(_DELETE_BETWEEN[table], (*key, low, high))


class PruneRows:
    """One slice of a gap, inside a transaction."""

    def __init__(self, query: Query, readers: Readers, gap: Gap, remover: RowRemover) -> None:
        self._query = query
        self._gap = gap
        self._below = [(gap.branch, gap.low), *readers.levels(gap.branch)]
        self._remover = remover
        self.looked = 0
        """Rows that were looked at."""

    def work(self, cursor: Cursor, enough: Callable[[int], bool]) -> Cursor | None:
        """Go on until `enough`, which is told how much was done, or all of it is: then None."""
        while cursor.table < len(TABLES):
            if self._gap.high is None and not self._gap.low:
                done = self._take_branch(TABLES[cursor.table])
            else:
                cursor, done = self._take_generation(cursor)
            if done:
                cursor = Cursor(cursor.table + 1)
            if enough(self._remover.rows + self.looked):
                break
        return cursor if cursor.table < len(TABLES) else None

    # --- what nobody sees at all ------------------------------------------------------------

    def _take_branch(self, table: str) -> bool:
        rows = list(self._query(_IN_BRANCH[table], (self._gap.base, self._gap.top, PAGE_ROWS)))
        for *key, gen, tells in rows:
            self._remover.remove(table, tuple(key), gen, tells)
        return len(rows) < PAGE_ROWS

    # --- what was written in the gap --------------------------------------------------------

    def _take_generation(self, cursor: Cursor) -> tuple[Cursor, bool]:
        """A page of the rows of one generation; True when there is no further one."""
        gap, table = self._gap, TABLES[cursor.table]
        gen, after = cursor.gen, cursor.after
        if not after:
            first = gap.low if gap.high is None else gap.gone
            upto = LIVE if gap.high is None else gap.high
            found = next(generations(self._query, table, max(gen, first), upto), None)
            if found is None:
                return cursor, True
            gen, after = found, _start(table, gap)
        rows = list(self._query(_OF_GENERATION[table], (gen, *after, PAGE_ROWS)))
        self.looked += 1
        ended = len(rows) < PAGE_ROWS
        for row in rows:
            key, tells = tuple(row[:-1]), row[-1]
            if type(key[0]) is not int:
                raise IndexDamaged(f"a row of {table} belongs to nothing")
            if key[0] > gap.top:
                ended = True
                break
            self.looked += 1
            if gap.high is None:
                self._remover.remove(table, key, gen, tells)
            elif table == "xattr" and key == after:
                continue  # of a set the first row is enough
            elif not self._take_older(table, key, gen, tells):
                return Cursor(cursor.table, gen, after), False
            after = key
        return Cursor(cursor.table, gen, () if ended else after), False

    def _take_older(self, table: str, key: tuple[Any, ...], gen: int, tells: Any) -> bool:
        """Remove what this row has taken the place of, and itself if it hides nothing; False: not all yet."""
        gap = self._gap
        if table == "extent":
            for before, encoded in list(self._query(_OLDER_MAPS, (*key, gap.low, gen))):
                self._remover.remove(table, key, before, encoded, (tells,))
        else:
            self._remover.remove_between(table, key, gap.low, gen)
        if not is_tombstone(table, tells):
            return True
        if table == "inode" and not self._take_content(key[0], gen):
            return False
        if not hides(self._query, table, (key[0] & LOCAL_MASK, *key[1:]), self._below):
            self._remover.remove(table, key, gen, tells)
        return True

    def _take_content(self, ino: int, gen: int) -> bool:
        """An inode is gone: so is all that was its own since the reader below."""
        low = self._gap.low
        maps = list(self._query(_MAPS_OF_INODE, (ino, low, gen, MAPS_AT_ONCE)))
        for segment, before, encoded in maps:
            self._remover.remove("extent", (ino, segment), before, encoded)
        self._remover.remove_between("xattr", (ino,), low, gen + 1)
        return len(maps) < MAPS_AT_ONCE


def hides(query: Query, table: str, key: tuple[Any, ...], below: Iterable[tuple[int, int]]) -> bool:
    """Whether a tombstone hides anything.

    `key`: with a local number; `below`: (branch, limit), nearest first.
    """
    for branch, limit in below:
        row = (branch << TREE_SHIFT | key[0], *key[1:])
        found = next(query(_SHOWN[table], (*row, limit)), None)
        if found is not None:
            return not is_tombstone(table, found[0])
    return False


def is_tombstone(table: str, tells: Any) -> bool:
    if table == "extent":
        return bool(tells == EMPTY_MAP)
    if table == "xattr":
        return bool(tells == b"")
    return bool(tells == 0)


def _start(table: str, gap: Gap) -> tuple[Any, ...]:
    """Before all keys of a branch in a table; local number 0 is nobody's."""
    return (gap.base, *_FIRST[table])


# --- what is to be done -------------------------------------------------------------------------


def pruning_jobs(transaction: PackedTransaction) -> list[Job]:
    """The rows of `pruning`, the oldest first."""
    rows = list(transaction.query("SELECT id, branch, gen FROM pruning ORDER BY id"))
    return [Job(*row) for row in check_rows("a pruning", rows)]


def drop_jobs(transaction: PackedTransaction, jobs: list[Job]) -> None:
    """They are done, or another one does what they are for."""
    for job in jobs:
        transaction.execute("DELETE FROM pruning WHERE id=?", (job.id,))


def end_branch(transaction: PackedTransaction, readers: Readers, branch: int) -> Job | None:
    """A branch has neither rows nor readers: it goes, and the one that it forks from has one reader less.

    Returns the job that comes of it.
    """
    fork = readers.end(branch)
    if fork is None or fork.parent is None:
        return None
    transaction.execute("DELETE FROM branch WHERE id=?", (branch,))
    transaction.execute("INSERT INTO pruning(branch, gen) VALUES(?, ?)", (fork.parent, fork.gen))
    return Job(next(transaction.query("SELECT last_insert_rowid()"))[0], fork.parent, fork.gen)
