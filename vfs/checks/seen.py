"""What one tree sees, as TEMP tables that stand in the place of those of the index while they are there.

Promises that `inode`, `entry`, `extent` and `xattr` then mean what that tree shows, one row a key and no
tombstones, so that a check is the same query for every tree. Only this connection sees them, they are on disk
where they are large, and the index itself is read as `main.inode` and so on. Never writes the index.

Numbers in them are local ones; what leads into another tree stands there as the row has it. An extent has
`end` in the place of its map: where in the file its bytes end.
"""

from collections.abc import Iterable

from vfs.backing.transaction import Transaction
from vfs.backing.trees import Level, Tree
from vfs.numbers import LOCAL_MASK

# With types, as without them SQLite makes no index of its own for a join.
_TABLES = (
    (
        "CREATE TEMP TABLE inode(ino INTEGER PRIMARY KEY, mode INTEGER, nlink INTEGER, size INTEGER,"
        " allocated INTEGER, parent INTEGER, cookie INTEGER, target BLOB)"
    ),
    (
        "CREATE TEMP TABLE entry(parent INTEGER, name BLOB, ino INTEGER, cookie INTEGER, kind INTEGER,"
        " PRIMARY KEY(parent, name)) WITHOUT ROWID"
    ),
    (
        "CREATE TEMP TABLE extent(ino INTEGER, segment INTEGER, allocated INTEGER, end INTEGER,"
        " PRIMARY KEY(ino, segment)) WITHOUT ROWID"
    ),
    "CREATE TEMP TABLE xattr(ino INTEGER, name BLOB, PRIMARY KEY(ino, name)) WITHOUT ROWID",
)
_NAMES = ("inode", "entry", "extent", "xattr")
_ENDS = (
    "CREATE TEMP TABLE segment_end(ino INTEGER, segment INTEGER, gen INTEGER, end INTEGER,"
    " PRIMARY KEY(ino, segment, gen)) WITHOUT ROWID"
)

# Of the rows of a group, the columns beside max() are those of the row that has it (SQLite's "bare columns").
_FILL = (
    (
        "INSERT OR IGNORE INTO temp.inode"
        " SELECT ino & {mask}, mode, nlink, size, allocated, parent, cookie, target"
        " FROM (SELECT *, max(gen) FROM main.inode WHERE ino BETWEEN {base} AND {top} AND gen<={limit}"
        " GROUP BY ino)"
    ),
    (
        "INSERT OR IGNORE INTO temp.entry SELECT parent & {mask}, name, ino, cookie, kind"
        " FROM (SELECT *, max(gen) FROM main.entry WHERE parent BETWEEN {base} AND {top} AND gen<={limit}"
        " GROUP BY parent, name)"
    ),
    (
        "INSERT OR IGNORE INTO temp.extent SELECT x.ino & {mask}, x.segment, x.allocated, coalesce(s.end, 0)"
        " FROM (SELECT ino, segment, allocated, max(gen) AS gen FROM main.extent"
        " WHERE ino BETWEEN {base} AND {top} AND gen<={limit} GROUP BY ino, segment) x"
        " LEFT JOIN temp.segment_end s ON s.ino=x.ino AND s.segment=x.segment AND s.gen=x.gen"
    ),
    (
        "INSERT INTO temp.xattr SELECT x.ino & {mask}, x.name FROM main.xattr x"
        " WHERE x.ino BETWEEN {base} AND {top} AND x.gen<={limit} AND x.gen="
        "(SELECT max(n.gen) FROM main.xattr n WHERE n.ino=x.ino AND n.gen<={limit})"
        " AND NOT EXISTS (SELECT 1 FROM temp.xattr a WHERE a.ino=x.ino & {mask})"
    ),
)

_SETTLE = (
    "DELETE FROM temp.extent WHERE ino IN (SELECT ino FROM temp.inode WHERE mode=0)",
    "DELETE FROM temp.xattr WHERE ino IN (SELECT ino FROM temp.inode WHERE mode=0)",
    "DELETE FROM temp.entry WHERE kind=0",
    "DELETE FROM temp.inode WHERE mode=0",
)


class SeenTables:
    """The tables, between `begin` and `end`; they show one tree after the other.

    Where an error comes between the two, the tables go with the transaction in which they were made.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._run = transaction.run_temporary
        self._run(_ENDS)

    def add_ends(self, rows: Iterable[tuple[int, int, int, int]]) -> None:
        """Before all else: (inode, segment, generation, end) of all rows of segments."""
        self._run("INSERT INTO temp.segment_end VALUES(?, ?, ?, ?)", rows)

    def begin(self) -> None:
        """Make the tables, empty."""
        for table in _TABLES:
            self._run(table)

    def show(self, tree: Tree) -> None:
        """Have what that tree sees."""
        for name in _NAMES:
            self._run(f"DELETE FROM temp.{name}")
        for level in tree.chain:
            self._add(level)
        for statement in _SETTLE:
            self._run(statement)

    def _add(self, level: Level) -> None:
        place = {"base": level.base, "top": level.base | LOCAL_MASK, "limit": level.limit, "mask": LOCAL_MASK}
        for statement in _FILL:
            self._run(statement.format(**place))

    def end(self) -> None:
        """From now on the names mean the index again."""
        for name in (*_NAMES, "segment_end"):
            self._run(f"DROP TABLE temp.{name}")
