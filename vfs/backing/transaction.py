"""The rows that one transaction of the index reads, writes and removes: the namespace's.

Never commits: `Index.transaction` does. Never interprets a mode, a name or an extent map.
"""

from collections.abc import Callable, Iterator
from typing import Any

from vfs.backing.packed import PackedTransaction

InodeRow = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, bytes | None]
"""ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target."""

INODE_COLUMNS = (
    "ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target"
)
SELECT_SEGMENT = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen<=? ORDER BY gen DESC LIMIT 1"


class Transaction(PackedTransaction):
    """The rows that one transaction reads, writes and removes."""

    def put_inodes(self, rows: Iterator[InodeRow]) -> None:
        """Insert or replace inode rows."""
        marks = ", ".join("?" * 15)
        generation = self._generation
        self._many(
            f"INSERT OR REPLACE INTO inode({INODE_COLUMNS}, gen) VALUES({marks}, {generation})",
            rows,
        )

    def drop_inodes(self, numbers: list[int]) -> None:
        """Remove inodes with their attributes; their extents are removed segment by segment."""
        self._many("DELETE FROM inode WHERE ino=? AND gen=?", ((n, self._generation) for n in numbers))
        self._many("DELETE FROM xattr WHERE ino=? AND gen=?", ((n, self._generation) for n in numbers))

    def put_entries(self, rows: Iterator[tuple[int, bytes, int, int, int]]) -> None:
        """Insert or replace (parent, name, ino, cookie, kind)."""
        self._many(
            "INSERT OR REPLACE INTO entry(parent, name, ino, cookie, kind, gen)"
            f" VALUES(?, ?, ?, ?, ?, {self._generation})",
            rows,
        )

    def drop_entries(self, keys: Iterator[tuple[int, bytes]]) -> None:
        """Remove (parent, name)."""
        self._many(f"DELETE FROM entry WHERE parent=? AND name=? AND gen={self._generation}", keys)

    def segment(self, ino: int, number: int) -> bytes | None:
        """The map that a segment has in this transaction."""
        row = self._run(SELECT_SEGMENT, (ino, number, self._generation)).fetchone()
        return None if row is None else row[0]

    def segments_from(self, ino: int, number: int) -> list[tuple[int, bytes]]:
        """(segment, map) of a file from `number` on."""
        sql = "SELECT segment, map FROM extent WHERE ino=? AND segment>=? AND gen=?"
        rows: list[Any] = self._run(sql, (ino, number, self._generation)).fetchall()
        return rows

    def put_segments(self, rows: list[tuple[int, int, int, bytes, int | None]]) -> None:
        """Insert or replace (ino, segment, allocated, map, lowest chunk that the map references)."""
        self._many(
            "INSERT OR REPLACE INTO extent(ino, segment, allocated, map, chunk, gen)"
            f" VALUES(?, ?, ?, ?, ?, {self._generation})",
            rows,
        )

    def drop_segments_from(self, ino: int, number: int) -> None:
        """Remove a file's segments from `number` on."""
        self._run("DELETE FROM extent WHERE ino=? AND segment>=? AND gen=?", (ino, number, self._generation))

    def drop_segment(self, ino: int, number: int) -> None:
        """Remove one segment."""
        self._run("DELETE FROM extent WHERE ino=? AND segment=? AND gen=?", (ino, number, self._generation))

    def put_xattrs(self, ino: int, attributes: dict[bytes, bytes]) -> None:
        """Make these the inode's extended attributes, all others gone."""
        self._run("DELETE FROM xattr WHERE ino=? AND gen=?", (ino, self._generation))
        self._many(
            f"INSERT INTO xattr(ino, name, value, gen) VALUES({ino}, ?, ?, {self._generation})",
            attributes.items(),
        )

    def put_sequences(self, sequences: dict[str, int]) -> None:
        """Insert or replace the sequences' next numbers."""
        self._many("INSERT OR REPLACE INTO sequence VALUES(?, ?)", sequences.items())

    def integrity_problems(self, progress: Callable[[], None]) -> list[str]:
        """What SQLite's own integrity check finds, empty when all is well."""
        progress()
        found = [text for (text,) in self._run("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def upgrade(self, statements: str) -> None:
        """Change the tables themselves."""
        self._run(statements)
