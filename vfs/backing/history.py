"""Rows of all branches and generations of an old index, beside the tables of a new one.

Promises that what the main tree shows is laid out flat in the tables themselves (its newest rows, each once,
without tombstones), and that what only snapshots and clones show lies aside until it is put back, under other
branch numbers: nothing of one ever shows in the other. Never decides what is kept.

The main tree of the new index is alone on branch 0, whole. What was branch 0 becomes a new one, that forks
from it at generation 0, when it had no rows yet.
"""

from collections.abc import Container, Mapping, Sequence

from vfs.backing.mending import Mending
from vfs.backing.records import Row
from vfs.backing.salvage import Hole
from vfs.backing.transaction import EMPTY_MAP
from vfs.backing.trees import Chain
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

KEYS = {
    "inode": ("ino",),
    "entry": ("parent", "name"),
    "extent": ("ino", "segment"),
    "xattr": ("ino",),
}
"""What a row of each table is about, the number with its branch first. The attributes of an inode are one."""

_LAST = (1 << 63) - 1

_OTHERS = {
    "inode": (
        "mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target"
    ),
    "entry": "ino, cookie, kind",
    "extent": "allocated, map, chunk",
    "xattr": "value",
}
_NAMED = {"entry": "name, ", "extent": "segment, ", "xattr": "name, "}
_TOMBSTONES = {
    "inode": "mode=0",
    "entry": "kind=0 AND ino=0",
    "extent": f"map=x'{EMPTY_MAP.hex()}'",
    "xattr": "name=x''",
}


UNKNOWN_MAP = b"\xc1"
"""Stands for a map that cannot be decoded: no msgpack begins like that."""

MOST_HOLES = 200
"""Of one table, that are told apart."""


def _number_of(row: Row | None, instead: int) -> int:
    """The number that a row begins with."""
    return row[0] if row and isinstance(row[0], int) else instead


class History:
    """The rows that lie aside, in tables called `old_inode` and so on."""

    def __init__(self, mending: Mending) -> None:
        self._mending = mending

    def begin(self) -> None:
        """Make the tables for them."""
        for table in KEYS:
            ((sql,),) = self._mending.query("SELECT sql FROM sqlite_schema WHERE name=?", (table,))
            self._mending.change(sql.replace(f"TABLE {table}(", f"TABLE old_{table}(", 1))

    def end(self) -> None:
        """Drop these tables."""
        for table in (*KEYS, "hole"):
            self._mending.change(f"DROP TABLE old_{table}")

    def note_holes(self, chain: Chain, holes: Mapping[str, Sequence[Hole]]) -> bool:
        """Remember where newer rows than those that show may be lost: what shows there is not what was.

        True when there is such a place.
        """
        self._mending.change(
            "CREATE TABLE old_hole(kind TEXT, level INTEGER, low INTEGER, high INTEGER, key)"
        )
        for table, found in holes.items():
            for hole in found if len(found) <= MOST_HOLES else [Hole(None, None)]:
                for level, (base, _) in enumerate(chain):
                    self._note_hole(table, hole, level, base, last=level == len(chain) - 1)
        return bool(self._mending.one("SELECT count(*) FROM old_hole"))

    def _note_hole(self, table: str, hole: Hole, level: int, base: int, *, last: bool) -> None:
        first = _number_of(hole.before, base)
        end = _number_of(hole.after, base | LOCAL_MASK)
        low, high = max(first, base), min(end, base | LOCAL_MASK)
        insert = "INSERT INTO old_hole VALUES(?, ?, ?, ?, ?)"
        if low <= high and not last:  # whatever shows of these from a level below
            self._mending.change(insert, (table, level + 1, low & LOCAL_MASK, high & LOCAL_MASK, None))
        if hole.before is not None and base <= first <= base | LOCAL_MASK:
            # The key before the hole may go on in it, with its newest rows.
            key = hole.before[1] if len(KEYS[table]) > 1 else b""
            self._mending.change(insert, (table, -1 - level, first & LOCAL_MASK, first & LOCAL_MASK, key))

    def lay_flat(self, chain: Chain, generation: int) -> None:
        """Put what a tree of this chain sees into the tables of the new index, as of that generation.

        What may be older than it should be, as `note_holes` knows, is left out; of a file it is a map that
        cannot be decoded.
        """
        for table, keys in KEYS.items():
            number = keys[0]
            same = " AND ".join(f"n.{key}=o.{key}" for key in keys)
            named = _NAMED.get(table, "")
            there = f" AND o.{number} & {LOCAL_MASK} NOT IN (SELECT {number} FROM {table})"
            others = _OTHERS[table]
            key = f"o.{keys[1]}" if len(keys) > 1 else "x''"
            doubtful = (
                f"EXISTS (SELECT 1 FROM old_hole h WHERE h.kind='{table}'"
                f" AND o.{number} & {LOCAL_MASK} BETWEEN h.low AND h.high"
                f" AND (h.level BETWEEN 1 AND ?4 OR (h.level=-1-?4 AND h.key={key})))"
            )
            if table == "extent":
                others = others.replace(
                    "map", f"CASE WHEN {doubtful} THEN x'{UNKNOWN_MAP.hex()}' ELSE map END"
                )
            for level, (base, limit) in enumerate(chain):
                self._mending.change(
                    f"INSERT OR IGNORE INTO {table}({number}, {named}gen, {_OTHERS[table]})"
                    f" SELECT o.{number} & {LOCAL_MASK}, {named}{generation}, {others}"
                    f" FROM old_{table} o WHERE o.{number} BETWEEN ?1 AND ?2 AND o.gen="
                    f"(SELECT max(n.gen) FROM old_{table} n WHERE {same} AND n.gen<=?3)"
                    + (there if table == "xattr" else "")
                    + (f" AND NOT {doubtful}" if table != "extent" else ""),
                    (base, base | LOCAL_MASK, limit, level),
                )
        gone = "(SELECT ino FROM inode WHERE mode=0)"
        self._mending.change(f"DELETE FROM entry WHERE parent IN {gone}")
        for table in ("extent", "xattr"):  # with their inode what shows below is gone
            self._mending.change(f"DELETE FROM {table} WHERE ino IN {gone}")
        for table, is_tombstone in _TOMBSTONES.items():
            self._mending.change(f"DELETE FROM {table} WHERE {is_tombstone}")

    def has_roots_of_clones(self, branch: int, limit: int) -> bool:
        """Whether there was a clone on that branch: its root lies in another tree."""
        first = branch << TREE_SHIFT
        return bool(
            self._mending.one(
                "SELECT count(*) FROM old_inode WHERE ino BETWEEN ?1 AND ?2 AND gen<=?3"
                f" AND parent>{LOCAL_MASK}",
                (first, first | LOCAL_MASK, limit),
            )
        )

    def mixed_attributes(self) -> list[tuple[int, int]]:
        """(branch, generation) of sets of attributes that say that there are none, and have some."""
        return list(
            self._mending.query(
                f"SELECT ino >> {TREE_SHIFT}, min(gen) FROM (SELECT ino, gen FROM old_xattr GROUP BY ino, gen"
                f" HAVING sum(name=x'')>0 AND count(*)>1) GROUP BY ino >> {TREE_SHIFT}"
            )
        )

    def keep_branches(self, known: Container[int]) -> None:
        """Forget the rows of all other branches: nobody sees them."""
        for table, keys in KEYS.items():
            number = keys[0]
            sql = f"SELECT min({number}) FROM old_{table} WHERE {number}>=?"
            at = 0
            while (found := next(self._mending.query(sql, (at,)))[0]) is not None:
                branch = found >> TREE_SHIFT
                if branch not in known:
                    self.forget(branch, 0)
                at = min(branch + 1 << TREE_SHIFT, _LAST)
                if branch == _LAST >> TREE_SHIFT:
                    break

    def forget(self, branch: int, gen: int) -> None:
        """Forget what was written in a branch from that generation on: nobody sees it."""
        for table, keys in KEYS.items():
            self._mending.change(
                f"DELETE FROM old_{table} WHERE {keys[0]} BETWEEN ?1 AND ?2 AND gen>=?3",
                (branch << TREE_SHIFT, branch << TREE_SHIFT | LOCAL_MASK, gen),
            )

    def move_first_branch(self, branch: int) -> None:
        """Give the rows of branch 0 another one."""
        for table, keys in KEYS.items():
            number = keys[0]
            self._mending.change(
                f"UPDATE old_{table} SET {number}={number} | {branch << TREE_SHIFT} WHERE {number}<=?",
                (LOCAL_MASK,),
            )

    def put_back(self) -> bool:
        """Bring the rows into the tables of the index; False when some contradict each other."""
        whole = True
        for table in KEYS:
            count = self._mending.one(f"SELECT count(*) FROM old_{table}")
            whole &= count == self._mending.change(f"INSERT OR IGNORE INTO {table} SELECT * FROM old_{table}")
            self._mending.change(f"DELETE FROM old_{table}")
        return whole

    def take_aside(self) -> None:
        """Take all rows but those of branch 0 out of the tables of the index."""
        for table, keys in KEYS.items():
            beyond = f"FROM {table} WHERE {keys[0]}>{LOCAL_MASK}"
            self._mending.change(f"INSERT INTO old_{table} SELECT * {beyond}")
            self._mending.change(f"DELETE {beyond}")

    def clear(self) -> None:
        """Forget all of it: the main tree is all that there is."""
        for table, keys in KEYS.items():
            self._mending.change(f"DELETE FROM old_{table}")
            self._mending.change(f"DELETE FROM {table} WHERE {keys[0]}>{LOCAL_MASK}")
