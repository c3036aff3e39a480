"""Segments of files that nobody would see if a reader went, and what their data takes.

Promises that time and memory grow with what changed around that reader, not with the files that there are.
Only reads; what it adds up stands in a temporary table of the connection, not in memory.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from vfs.backing.readers import Gap, Query
from vfs.backing.transaction import Transaction
from vfs.backing.trees import LIVE

_NEXT_GENERATION = "SELECT min(gen) FROM {table} INDEXED BY {table}_gen WHERE gen>1 AND gen>?"
_CHANGED = (
    "SELECT ino, segment, map FROM extent INDEXED BY extent_gen"
    " WHERE gen>1 AND gen=? AND ino BETWEEN ? AND ? AND (ino, segment)>(?, ?)"
    " ORDER BY ino, segment LIMIT ?"
)
_OLDER = "SELECT gen, map FROM extent WHERE ino=? AND segment=? AND gen>? AND gen<? ORDER BY gen DESC LIMIT 1"
_SEEN_BELOW = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen<=? ORDER BY gen DESC LIMIT 1"
_REMOVED = (
    "SELECT ino FROM inode INDEXED BY inode_gen"
    " WHERE gen>1 AND gen=? AND ino BETWEEN ? AND ? AND ino>? AND mode=0 ORDER BY ino LIMIT ?"
)
_OF_REMOVED = (
    "SELECT segment, map, max(gen) FROM extent x WHERE ino=?1 AND gen>?2 AND gen<=?3"
    " AND NOT EXISTS"
    " (SELECT 1 FROM extent n WHERE n.ino=?1 AND n.segment=x.segment AND n.gen>?3 AND n.gen<=?4)"
    " GROUP BY segment"
)
_ALL_OF_BRANCH = (
    "SELECT ino, segment, gen, map FROM extent"
    " WHERE ino BETWEEN ? AND ? AND (ino, segment, gen)>(?, ?, ?) ORDER BY ino, segment, gen LIMIT ?"
)
PAGE_ROWS = 500

Doomed = tuple[bytes, list[bytes]]
"""The map that would go, and those of the same segment that stay before and after it."""


def generations(query: Query, table: str, after: int, upto: int) -> Iterator[int]:
    """The generations above `after`, up to `upto`, in which rows were written; those of others than the
    branch in question as well."""
    sql = _NEXT_GENERATION.format(table=table)
    while True:
        (found,) = next(query(sql, (after,)))
        if found is None or found > upto:
            return
        yield found
        after = found


def doomed_extents(query: Query, gap: Gap) -> Iterator[Doomed]:
    """The segments of a gap that only the reader saw which is or goes away."""
    if gap.high is None:
        yield from _of_ended_branch(query, gap)
        return
    for gen in generations(query, "extent", gap.gone, gap.high):
        for ino, segment, encoded in _pages(query, _CHANGED, (gen, gap.base, gap.top), 2):
            older = list(query(_OLDER, (ino, segment, gap.low, gen)))
            if older and older[0][0] <= gap.gone:  # else a row between the two was its end
                yield older[0][1], [encoded, *_below(query, gap, ino, segment)]
    for gen in generations(query, "inode", gap.gone, gap.high):
        for (ino,) in _pages(query, _REMOVED, (gen, gap.base, gap.top), 1):
            for segment, encoded, _ in list(query(_OF_REMOVED, (ino, gap.low, gap.gone, gap.high))):
                yield encoded, _below(query, gap, ino, segment)


def _of_ended_branch(query: Query, gap: Gap) -> Iterator[Doomed]:
    if not gap.low:
        for _, _, _, encoded in _pages(query, _ALL_OF_BRANCH, (gap.base, gap.top), 3):
            yield encoded, []
        return
    for gen in generations(query, "extent", gap.low, LIVE):
        for ino, segment, encoded in _pages(query, _CHANGED, (gen, gap.base, gap.top), 2):
            yield encoded, _below(query, gap, ino, segment)


def _below(query: Query, gap: Gap, ino: int, segment: int) -> list[bytes]:
    """The map that the reader before sees there."""
    if not gap.low:
        return []
    return [encoded for (encoded,) in query(_SEEN_BELOW, (ino, segment, gap.low))]


def _pages(query: Query, sql: str, arguments: tuple[int, ...], key: int) -> Iterator[Any]:
    """All rows of a statement that goes on behind the first `key` columns of the last row."""
    after: tuple[int, ...] = (-1,) * key
    while rows := list(query(sql, (*arguments, *after, PAGE_ROWS))):
        yield from rows
        after = rows[-1][:key]


class Counted:
    """Segments that were counted already."""

    _TABLE = (
        "CREATE TEMP TABLE IF NOT EXISTS counted("
        "ino INTEGER, segment INTEGER, gen INTEGER, PRIMARY KEY(ino, segment, gen)) WITHOUT ROWID"
    )

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        transaction.run_temporary(self._TABLE)
        transaction.run_temporary("DELETE FROM counted")

    def add(self, key: tuple[int, int, int]) -> bool:
        """Count (ino, segment, gen); False when it was counted before."""
        return self._transaction.execute("INSERT OR IGNORE INTO counted VALUES(?, ?, ?)", key) > 0


class BlobTally:
    """How many extents of some rows name each blob, compared with how many of all rows do."""

    _TABLE = "CREATE TEMP TABLE IF NOT EXISTS tally(blob INTEGER PRIMARY KEY, extents INTEGER NOT NULL)"
    _ADD = (
        "INSERT INTO tally VALUES(?, ?) ON CONFLICT(blob) DO UPDATE SET extents = extents + excluded.extents"
    )
    _STORED = (
        "SELECT total(b.length * 1.0 * k.stored / max(k.size, 1)) FROM tally t"
        " JOIN blob b ON b.id=t.blob AND b.refs<=t.extents JOIN block k ON k.id=b.block"
    )

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._waiting: Counter[int] = Counter()
        transaction.run_temporary(self._TABLE)

    def add(self, extents: Mapping[int, int]) -> None:
        """So many more extents name those blobs."""
        self._waiting.update(extents)
        if len(self._waiting) > 20 * PAGE_ROWS:
            self._put()

    def _put(self) -> None:
        self._transaction.run_temporary(self._ADD, self._waiting.items())
        self._waiting.clear()

    def take_stored_bytes(self) -> int:
        """What the blobs take in packs, compressed as they are, that no other rows name; then begin anew."""
        self._put()
        found: float = next(self._transaction.query(self._STORED))[0]
        self._transaction.run_temporary("DELETE FROM tally")
        return round(found)
