"""Rows of the namespace put in order: what a repair looks for in a new index, and how it changes it.

Promises that rows which contradict nothing stay as they are. Never decides what is told to the user: each
method that changes rows says which. Never touches a store that is in use: the index is a draft.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from vfs.backing.schema import COOKIE_INDEX
from vfs.backing.transaction import INODE_COLUMNS, InodeRow, Transaction
from vfs.numbers import LOCAL_MASK

FILE, DIRECTORY, SYMLINK = 8, 4, 10
"""Kinds: the file type of a mode, shifted right by 12."""

KINDS = (1, 2, 4, 6, 8, 10, 12)
MOST_COOKIE = 1 << 62

_NAMELESS = "NOT EXISTS (SELECT 1 FROM entry e WHERE e.ino=i.ino)"
_SUBDIRECTORIES = f"(SELECT count(*) FROM entry e WHERE e.parent=i.ino AND e.kind={DIRECTORY})"
_ENTRIES = "(SELECT count(*) FROM entry e WHERE e.parent=i.ino)"
_NAMES = "(SELECT count(*) FROM entry n WHERE n.ino=i.ino)"


class Mending(Transaction):
    """A transaction of a draft's index that knows how rows of the namespace should be."""

    @classmethod
    def of(cls, transaction: Transaction) -> "Mending":
        """Go on with a transaction that was begun."""
        return cls(transaction._connection, transaction._generation, transaction._chains)

    def change(self, sql: str, arguments: tuple[Any, ...] = ()) -> int:
        """Run one changing statement; returns how many rows it changed."""
        self._run(sql, arguments)
        return self._connection.changes()

    # --- loading ------------------------------------------------------------------------------

    def begin_loading(self) -> None:
        """Take rows in as they are, double cookies too."""
        self._run("DROP INDEX entry_cookie")

    def end_loading(self) -> Iterator[tuple[int, bytes]]:
        """Give new cookies where they are double or absurd; yields (parent, name) of these entries."""
        doubtful = self._run(
            "SELECT parent, name FROM (SELECT parent, name, cookie,"
            " row_number() OVER (PARTITION BY parent, cookie ORDER BY name) AS n FROM entry)"
            f" WHERE n>1 OR cookie<3 OR cookie>{MOST_COOKIE} ORDER BY parent, name"
        ).fetchall()
        for parent, name in doubtful:
            self._run(
                "UPDATE entry SET cookie=max(2, coalesce((SELECT cookie - 1 FROM inode WHERE ino=?1), 0),"
                f" (SELECT max(cookie) FROM entry WHERE parent=?1 AND cookie<={MOST_COOKIE}))+1"
                " WHERE parent=?1 AND name=?2",
                (parent, name),
            )
            yield parent, name  # type: ignore[misc]
        self._run(COOKIE_INDEX)
        self._run("CREATE INDEX mending_names ON entry(ino, kind)")  # else each question is a walk

    def end_mending(self) -> None:
        """Leave the tables as every index has them."""
        self._run("DROP INDEX mending_names")

    def load(self, table: str, rows: Iterable[tuple[Any, ...]], columns: int) -> int:
        """Insert rows, the first where two have the same key; returns how many were left out."""
        before = self._connection.total_changes()
        given = 0

        def counted() -> Iterator[tuple[Any, ...]]:
            nonlocal given
            for row in rows:
                given += 1
                yield row

        marks = ", ".join("?" * columns)
        self._many(f"INSERT OR IGNORE INTO {table} VALUES({marks})", counted())
        return given - (self._connection.total_changes() - before)

    def raise_cookies(self) -> int:
        """Make the next cookie of each directory larger than those of its entries."""
        return self.change(
            "UPDATE inode AS i SET cookie=(SELECT max(cookie)+1 FROM entry e WHERE e.parent=i.ino)"
            f" WHERE mode>>12={DIRECTORY} AND cookie<="
            "(SELECT max(cookie) FROM entry e WHERE e.parent=i.ino)"
        )

    def put_job(self, branch: int, gen: int) -> None:
        """Have rows looked for that nobody sees any more: a reader of the branch has gone."""
        self._run("INSERT INTO pruning(branch, gen) VALUES(?, ?)", (branch, gen))

    # --- inodes -------------------------------------------------------------------------------

    def one(self, sql: str, arguments: tuple[Any, ...] = ()) -> int:
        """The number that a query answers; nothing counts as 0."""
        return int(next(self.query(sql, arguments), (0,))[0] or 0)

    def inode_row(self, ino: int) -> InodeRow | None:
        """The row of one inode."""
        from_table = (
            "SELECT ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth,"
            " parent, cookie, target FROM inode WHERE ino=?"
        )
        return next(self.query(from_table, (ino,)), None)

    def without_type(self) -> list[tuple[int, int, int]]:
        """(ino, mode, kind that an entry or its segments give it) of inodes whose type does not exist."""
        kinds = ", ".join(map(str, KINDS))
        return list(
            self.query(
                "SELECT i.ino, i.mode, coalesce("
                f"(SELECT e.kind FROM entry e WHERE e.ino=i.ino AND e.kind IN ({kinds}) LIMIT 1),"
                f" (SELECT {DIRECTORY} FROM entry e WHERE e.parent=i.ino LIMIT 1), {FILE})"
                f" FROM inode i WHERE i.mode>>12 NOT IN ({kinds}) OR i.mode>>12 IS NULL"
            )
        )

    def set_mode(self, ino: int, mode: int) -> None:
        """Change an inode's mode."""
        self._run("UPDATE inode SET mode=? WHERE ino=?", (mode, ino))

    def lost_directories(self) -> list[int]:
        """Numbers of directories that entries lie in, or that entries call directories, without a row."""
        return [
            ino
            for (ino,) in self.query(
                "SELECT DISTINCT parent FROM entry WHERE parent NOT IN (SELECT ino FROM inode)"
                f" UNION SELECT ino FROM entry WHERE kind={DIRECTORY} AND ino NOT IN (SELECT ino FROM inode)"
                "  AND ino IN (SELECT parent FROM entry)"
            )
        ]

    def lost_files(self) -> list[tuple[int, int]]:
        """(ino, highest segment) of files whose extents are there, and their row is not."""
        return list(
            self.query(
                "SELECT ino, max(segment) FROM extent WHERE ino NOT IN (SELECT ino FROM inode) GROUP BY ino"
            )
        )

    def map_of(self, ino: int, number: int) -> bytes:
        """The map of a segment that exists."""
        return bytes(next(self.query("SELECT map FROM extent WHERE ino=? AND segment=?", (ino, number)))[0])

    def short_files(self) -> Iterator[tuple[int, int]]:
        """(ino, size) of files whose segments have less allocated than they say themselves."""
        return self.query(
            "SELECT i.ino, i.size FROM inode i LEFT JOIN extent x ON x.ino=i.ino"
            f" WHERE i.mode>>12={FILE} AND i.size>0 AND i.allocated>0"
            " GROUP BY i.ino HAVING i.allocated > coalesce(sum(x.allocated), 0)"
        )

    def segment_numbers(self, ino: int) -> list[int]:
        """The segments of a file."""
        return [number for (number,) in self.query("SELECT segment FROM extent WHERE ino=?", (ino,))]

    def drop_inode(self, ino: int) -> None:
        """Forget an inode with all that hangs on it, its names too."""
        for table in ("inode", "extent", "xattr", "entry"):  # an entry by the inode that it means
            self._run(f"DELETE FROM {table} WHERE ino=?", (ino,))

    def put_row(self, row: InodeRow) -> None:
        """Insert the row of an inode whatever its number is."""
        marks = ", ".join("?" * 15)
        self._run(
            f"INSERT OR REPLACE INTO inode({INODE_COLUMNS}, gen) VALUES({marks}, {self._generation})", row
        )

    def forget_inode(self, ino: int) -> None:
        """Forget the row of an inode, and nothing else."""
        self._run("DELETE FROM inode WHERE ino=?", (ino,))

    def broken_symlinks(self) -> list[int]:
        """Symbolic links that have lost their target."""
        sql = f"SELECT ino FROM inode WHERE mode>>12={SYMLINK} AND (target IS NULL OR length(target)=0)"
        return [ino for (ino,) in self.query(sql)]

    def drop_strays(self) -> dict[str, int]:
        """Forget segments of what is no file, and attributes of nobody."""
        files = f"SELECT ino FROM inode WHERE mode>>12={FILE}"
        return {
            "segments that belong to no file": self.change(f"DELETE FROM extent WHERE ino NOT IN ({files})"),
            "attributes that belong to no inode": self.change(
                "DELETE FROM xattr WHERE ino NOT IN (SELECT ino FROM inode)"
            ),
        }

    def segments_with(self, encoded: bytes) -> list[tuple[int, int]]:
        """(ino, segment) of all segments with that very map."""
        return list(self.query("SELECT ino, segment FROM extent WHERE map=?", (encoded,)))

    def maps(self) -> Iterator[tuple[int, bytes]]:
        """(ino, map) of every segment of the main tree."""
        return self.query(f"SELECT ino, map FROM extent WHERE ino<={LOCAL_MASK}")

    def take_names(self, ino: int) -> None:
        """Take all names of an inode away, in a way that makes it one that is looked for."""
        self._run("DELETE FROM entry WHERE ino=?", (ino,))
        self._run("UPDATE inode SET nlink=1 WHERE ino=?", (ino,))

    def named_files(self, highest: int) -> list[int]:
        """Regular files with a name and a number up to `highest`."""
        sql = f"SELECT ino FROM inode i WHERE ino<=? AND mode>>12={FILE} AND {_NAMES}>0"
        return [ino for (ino,) in self.query(sql, (highest,))]

    # --- entries ------------------------------------------------------------------------------

    def drop_entry(self, parent: int, name: bytes) -> None:
        """Forget an entry."""
        self._run("DELETE FROM entry WHERE parent=? AND name=?", (parent, name))

    def dangling_entries(self) -> list[tuple[int, bytes, int]]:
        """(parent, name, ino) of entries that name no inode, or the root, or lie in what is no directory."""
        return list(
            self.query(
                "SELECT e.parent, e.name, e.ino FROM entry e LEFT JOIN inode i ON i.ino=e.ino"
                " LEFT JOIN inode p ON p.ino=e.parent"
                f" WHERE i.ino IS NULL OR e.ino=1 OR p.ino IS NULL OR p.mode>>12<>{DIRECTORY}"
                " ORDER BY e.parent, e.name"
            )
        )

    def bad_names(self) -> list[tuple[int, bytes]]:
        """(parent, name) of entries whose names are not allowed."""
        return list(
            self.query(
                "SELECT parent, name FROM entry WHERE length(name)=0 OR length(name)>255"
                " OR name IN (x'2e', x'2e2e') OR instr(name, x'2f') OR instr(name, x'00')"
                " ORDER BY parent, name"
            )
        )

    def has_name(self, parent: int, name: bytes) -> bool:
        """Whether a directory has an entry of that name."""
        return bool(self.one("SELECT count(*) FROM entry WHERE parent=? AND name=?", (parent, name)))

    def entry_at(self, parent: int, name: bytes) -> int | None:
        """The inode that a name in a directory means."""
        found = next(self.query("SELECT ino FROM entry WHERE parent=? AND name=?", (parent, name)), None)
        return None if found is None else int(found[0])

    def rename_entry(self, parent: int, name: bytes, new_name: bytes) -> None:
        """Give an entry another name, which must be free."""
        self._run("UPDATE entry SET name=? WHERE parent=? AND name=?", (new_name, parent, name))

    def set_kinds(self) -> int:
        """Make the kind of each entry that of its inode."""
        return self.change(
            "UPDATE entry SET kind=(SELECT i.mode>>12 FROM inode i WHERE i.ino=entry.ino)"
            " WHERE kind<>(SELECT i.mode>>12 FROM inode i WHERE i.ino=entry.ino)"
        )

    def extra_names(self) -> list[tuple[int, bytes, int]]:
        """(parent, name, ino) of directories' names beyond the first, which is the one in its parent."""
        return list(
            self.query(
                "SELECT parent, name, ino FROM (SELECT e.parent, e.name, e.ino, row_number() OVER"
                " (PARTITION BY e.ino ORDER BY e.parent<>i.parent, e.parent, e.name) AS n"
                f" FROM entry e JOIN inode i ON i.ino=e.ino WHERE i.mode>>12={DIRECTORY}) WHERE n>1"
            )
        )

    def unreached(self) -> dict[int, int]:
        """Directories that cannot be reached from the root, each with the directory that its name lies in, 0
        where it has none; those are left out that have neither a name, nor links, nor entries."""
        return dict(
            self.query(
                "WITH RECURSIVE reached(ino) AS (SELECT 1 UNION SELECT e.ino FROM entry e"
                f" JOIN reached r ON e.parent=r.ino WHERE e.kind={DIRECTORY})"
                " SELECT i.ino, coalesce((SELECT e.parent FROM entry e WHERE e.ino=i.ino), 0) FROM inode i"
                f" WHERE i.mode>>12={DIRECTORY} AND i.ino NOT IN (SELECT ino FROM reached)"
                f" AND (i.nlink>0 OR {_ENTRIES}>0 OR {_NAMES}>0)"
            )
        )

    def nameless(self) -> list[int]:
        """Inodes other than directories that have links, and no name."""
        sql = f"SELECT i.ino FROM inode i WHERE i.mode>>12<>{DIRECTORY} AND i.nlink>0 AND {_NAMELESS}"
        return [ino for (ino,) in self.query(sql)]

    # --- packed data --------------------------------------------------------------------------

    def pack_names(self) -> list[str]:
        """The packs that the index has."""
        return [name for (name,) in self.query("SELECT name FROM pack ORDER BY id")]

    def is_unreferenced(self, blob: int, block: int) -> bool:
        """Whether the index has that blob in that block, and no map names it."""
        return bool(self.one("SELECT count(*) FROM blob WHERE id=? AND block=? AND refs=0", (blob, block)))

    # --- counts -------------------------------------------------------------------------------

    def count_entries(self, ino: int) -> None:
        """Bring the size and the links of one directory in line."""
        self.change(f"UPDATE inode AS i SET size={_ENTRIES}, nlink=2+{_SUBDIRECTORIES} WHERE ino=?", (ino,))

    def recount(self) -> dict[str, int]:
        """Bring what is counted in line; returns how many inodes each kind of change has changed."""
        return {
            "numbers of links": self.change(
                f"UPDATE inode AS i SET nlink={_NAMES} WHERE mode>>12<>{DIRECTORY} AND nlink<>{_NAMES}"
            )
            + self.change(
                f"UPDATE inode AS i SET nlink=2+{_SUBDIRECTORIES} WHERE mode>>12={DIRECTORY}"
                f" AND (i.ino=1 OR {_NAMES}>0) AND nlink<>2+{_SUBDIRECTORIES}"
            ),
            "numbers of entries": self.change(
                f"UPDATE inode AS i SET size={_ENTRIES} WHERE mode>>12={DIRECTORY} AND size<>{_ENTRIES}"
            ),
            "parents of directories": self.change(
                "UPDATE inode AS i SET parent=(SELECT e.parent FROM entry e WHERE e.ino=i.ino)"
                f" WHERE mode>>12={DIRECTORY} AND i.ino<>1 AND {_NAMES}>0"
                " AND parent<>(SELECT e.parent FROM entry e WHERE e.ino=i.ino)"
            ),
            "next cookies of directories": self.raise_cookies(),
            "lengths of links": self.change(
                f"UPDATE inode SET size=length(target) WHERE mode>>12={SYMLINK} AND size<>length(target)"
            ),
            "allocated bytes": self.change(
                "UPDATE inode AS i SET allocated="
                "(SELECT coalesce(sum(x.allocated), 0) FROM extent x WHERE x.ino=i.ino)"
                " WHERE allocated<>(SELECT coalesce(sum(x.allocated), 0) FROM extent x WHERE x.ino=i.ino)"
            ),
        }

    def totals(self) -> tuple[int, int, int]:
        """Files, directories, and the sum of the sizes of files, of what has a name in the main tree."""
        there = f"nlink>0 AND ino<={LOCAL_MASK}"
        files = f"FROM inode WHERE mode>>12={FILE} AND {there}"
        high, low = (self.one(f"SELECT sum({part}) {files}") for part in ("size>>32", "size & 0xffffffff"))
        return (
            self.one(f"SELECT count(*) FROM inode WHERE mode>>12<>{DIRECTORY} AND {there}"),
            self.one(f"SELECT count(*) FROM inode WHERE mode>>12={DIRECTORY} AND {there}"),
            (high << 32) + low,
        )

    def highest_ino(self) -> int:
        """The highest inode number that any row names, of whatever tree."""
        return max(
            self.one(f"SELECT max({column} & {LOCAL_MASK}) FROM {table}")
            for table, column in (
                ("inode", "ino"),
                ("entry", "ino"),
                ("entry", "parent"),
                ("extent", "ino"),
                ("xattr", "ino"),
            )
        )
