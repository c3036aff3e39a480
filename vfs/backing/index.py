"""The index: the namespace and where every byte lives, as of one LSN, in SQLite.

Promises that what `commit` has returned from survives a power cut, that a reader sees one commit or
the next and nothing between, and that every page read back is verified (checksum VFS).
Never interprets a mode, a name or an extent map: it keeps rows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import apsw

from vfs.backing.schema import TABLES, VERSION
from vfs.backing.storage import Storage
from vfs.errors import IndexDamaged, IndexUnwritten, NoSpace, StoreUnreadable

INDEX_NAME = "index.db"
HEAD_GENERATION = 1
"""The only generation of a store without snapshots."""

InodeRow = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, bytes | None]
"""ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target."""

EntryRow = tuple[bytes, int, int, int]
"""name, ino, cookie, kind."""

_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.FormatError, apsw.SchemaChangeError)

_INODE_COLUMNS = (
    "ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target"
)
_SELECT_INODE = f"SELECT {_INODE_COLUMNS} FROM inode WHERE ino=? AND gen<=? ORDER BY gen DESC LIMIT 1"
_SELECT_ENTRY = (
    "SELECT ino, cookie, kind FROM entry WHERE parent=? AND name=? AND gen<=? ORDER BY gen DESC LIMIT 1"
)
_SELECT_ENTRIES = (
    "SELECT name, ino, cookie, kind FROM entry WHERE parent=? AND cookie>? AND gen<=? ORDER BY cookie LIMIT ?"
)
_SELECT_LISTED = (
    "SELECT " + ", ".join(f"i.{column}" for column in _INODE_COLUMNS.split(", ")) + " FROM entry e"
    " JOIN inode i ON i.ino=e.ino WHERE e.parent=? AND e.cookie BETWEEN ? AND ? AND e.gen<=? AND i.gen<=?"
)
_SELECT_SEGMENT = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen<=? ORDER BY gen DESC LIMIT 1"
_SELECT_ALLOCATED = "SELECT total(allocated) FROM extent WHERE ino=? AND segment>=? AND gen<=?"
_SELECT_NUMBERS = (
    "SELECT segment FROM extent WHERE ino=? AND segment BETWEEN ? AND ? AND gen<=? ORDER BY segment"
)
_SELECT_XATTRS = "SELECT name, value FROM xattr WHERE ino=? AND gen<=? ORDER BY name"
_SELECT_ORPHANS = "SELECT ino FROM inode WHERE nlink=0 AND gen<=?"


class Progress(Protocol):
    """Told how far a long reading of the index has come."""

    def __call__(self, done: int) -> None: ...


class Index:
    """One store's index: a connection that reads for the owner and one that a worker commits through.

    Reading methods belong to the owner of the store; `commit` may run in a worker thread beside
    them, one at a time. They raise `IndexDamaged` when SQLite or a page checksum says so.
    """

    def __init__(self, storage: Storage, *, read_only: bool) -> None:
        self._storage = storage
        self.read_only = read_only
        self.generation = HEAD_GENERATION
        self._reader = self._connect()
        self._writer: apsw.Connection | None = None
        self._cursor = self._reader.cursor()

    # --- life ------------------------------------------------------------------------------

    @classmethod
    def create(cls, storage: Storage) -> "Index":
        """Make the tables of an empty index. The caller makes the folder entry durable."""
        connection = storage.index_connection(INDEX_NAME, read_only=False)
        try:
            connection.reserve_bytes(None, 8)  # room for the checksum that the VFS puts on every page
            connection.pragma("page_size", 4096)
            _prepare(connection, storage.shared_index)
            with connection:
                connection.execute(TABLES)
                connection.execute("INSERT INTO meta VALUES('schema', ?), ('lsn', 0)", (VERSION,))
        finally:
            connection.close()
        return cls(storage, read_only=False)

    @classmethod
    def open(cls, storage: Storage, *, read_only: bool) -> "Index":
        """Open an existing index; raises `IndexDamaged` when it is missing or is no index."""
        if not storage.exists(INDEX_NAME):
            raise IndexDamaged(f"{INDEX_NAME} is missing")
        index: Index | None = None
        try:
            index = cls(storage, read_only=read_only)
            found = index.meta().get("schema")
        except apsw.Error as error:
            raise IndexDamaged(str(error)) from error
        if found != VERSION:
            index.close()
            raise IndexDamaged(f"schema version {found} instead of {VERSION}")
        return index

    def close(self) -> None:
        """Close both connections; the last one folds SQLite's own log into `index.db`."""
        self._cursor.close()
        if self._writer is not None and self._writer is not self._reader:
            self._writer.close()
        self._writer = None
        self._reader.close()

    def _connect(self) -> apsw.Connection:
        connection = self._storage.index_connection(INDEX_NAME, read_only=self.read_only)
        if not self.read_only:
            _prepare(connection, self._storage.shared_index)
        return connection

    # --- reading ---------------------------------------------------------------------------

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._cursor.execute(sql, arguments).fetchall()
        except _DAMAGE as error:
            raise IndexDamaged(str(error)) from error

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        # To its end: a statement left open keeps its view of the index, and as long as there is one when a
        # commit comes, SQLite goes on at the end of its own log instead of beginning it anew.
        rows = self._all(sql, arguments)
        return rows[0] if rows else None

    def meta(self) -> dict[str, int]:
        """The store's own numbers: `schema`, `lsn`, and the totals as of that LSN."""
        return dict(self._all("SELECT key, value FROM meta"))

    def sequences(self) -> dict[str, int]:
        """For each sequence the first number that was never handed out nor reserved."""
        return dict(self._all("SELECT name, next FROM sequence"))

    def inode(self, ino: int) -> InodeRow | None:
        """The row of one inode."""
        row: InodeRow | None = self._one(_SELECT_INODE, (ino, self.generation))
        return row

    def entry(self, parent: int, name: bytes) -> tuple[int, int, int] | None:
        """(ino, cookie, kind) of one name in a directory."""
        row: tuple[int, int, int] | None = self._one(_SELECT_ENTRY, (parent, name, self.generation))
        return row

    def entries_after(self, parent: int, cookie: int, limit: int) -> list[EntryRow]:
        """At most `limit` entries of a directory with larger cookies, in the order of cookies."""
        return self._all(_SELECT_ENTRIES, (parent, cookie, self.generation, limit))

    def inodes_listed(self, parent: int, first_cookie: int, last_cookie: int) -> list[InodeRow]:
        """The inodes of a directory's entries with cookies first..last, in one query."""
        generation = self.generation
        return self._all(_SELECT_LISTED, (parent, first_cookie, last_cookie, generation, generation))

    def load_segment(self, ino: int, number: int) -> bytes | None:
        """The encoded extent map of one segment of a file, None where it is a hole."""
        row = self._one(_SELECT_SEGMENT, (ino, number, self.generation))
        return None if row is None else row[0]

    def allocated_from(self, ino: int, number: int) -> int:
        """Sum of allocated bytes in a file's segments from `number` on."""
        return int(self._one(_SELECT_ALLOCATED, (ino, number, self.generation))[0])

    def segment_numbers(self, ino: int, first: int, last: int) -> list[int]:
        """The segments within first..last (inclusive) that have a row."""
        last = min(last, 2**62)
        return [number for (number,) in self._all(_SELECT_NUMBERS, (ino, first, last, self.generation))]

    def xattrs(self, ino: int) -> dict[bytes, bytes]:
        """All extended attributes of an inode."""
        return dict(self._all(_SELECT_XATTRS, (ino, self.generation)))

    def orphans(self) -> list[int]:
        """Inodes without a name: they were unlinked while open, or their end was cut off."""
        return [ino for (ino,) in self._all(_SELECT_ORPHANS, (self.generation,))]

    def referenced_chunks(self) -> dict[int, int]:
        """chunk number -> bytes of it that extent maps point to."""
        return dict(self._all("SELECT number, referenced FROM chunk"))

    # --- writing ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """One durable transaction, for one worker thread at a time.

        Raises `NoSpace` when the disk is full (nothing changed, may be tried again) and
        `IndexUnwritten` for every other failure of SQLite.
        """
        try:
            connection = self._writing_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection, self.generation)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.FullError as error:
            raise NoSpace(str(error)) from error
        except apsw.Error as error:
            raise IndexUnwritten(str(error)) from error

    def _writing_connection(self) -> apsw.Connection:
        if self._writer is None:
            self._writer = self._connect() if self._storage.shared_index else self._reader
        return self._writer

    @contextmanager
    def checking(self, *, writable: bool) -> Iterator["Transaction"]:
        """A view of one commit for fsck, on a connection of its own, in any thread.

        Writes made through a writable one are seen by it alone and are rolled back at the end.
        """
        shared = self._storage.shared_index
        connection = self._reader
        if shared:
            connection = self._storage.index_connection(INDEX_NAME, read_only=not writable)
        try:
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT 1 FROM meta").fetchall()  # the view begins with the first reading
                yield Transaction(connection, self.generation)
            finally:
                if connection.in_transaction:  # an I/O error has rolled it back already
                    connection.execute("ROLLBACK")
        except _DAMAGE as error:
            raise IndexDamaged(str(error)) from error
        except apsw.Error as error:
            raise StoreUnreadable(self._storage.path, f"its index: {error}") from error
        finally:
            if shared:
                connection.close()


class Transaction:
    """The rows that one transaction reads, writes and removes."""

    def __init__(self, connection: apsw.Connection, generation: int) -> None:
        self._run = connection.execute
        self._many = connection.executemany
        self._generation = generation

    def query(self, sql: str, arguments: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Rows of any reading statement (fsck and the checkpoint's accounting)."""
        return iter(self._run(sql, arguments))

    def put_inodes(self, rows: Iterator[InodeRow]) -> None:
        """Insert or replace inode rows."""
        marks = ", ".join("?" * 15)
        generation = self._generation
        self._many(
            f"INSERT OR REPLACE INTO inode({_INODE_COLUMNS}, gen) VALUES({marks}, {generation})",
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
        row = self._run(_SELECT_SEGMENT, (ino, number, self._generation)).fetchone()
        return None if row is None else row[0]

    def segments_from(self, ino: int, number: int) -> list[tuple[int, bytes]]:
        """(segment, map) of a file from `number` on."""
        sql = "SELECT segment, map FROM extent WHERE ino=? AND segment>=? AND gen=?"
        rows: list[Any] = self._run(sql, (ino, number, self._generation)).fetchall()
        return rows

    def put_segments(self, rows: list[tuple[int, int, int, bytes]]) -> None:
        """Insert or replace (ino, segment, allocated, map)."""
        self._many(
            "INSERT OR REPLACE INTO extent(ino, segment, allocated, map, gen)"
            f" VALUES(?, ?, ?, ?, {self._generation})",
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

    def add_references(self, changes: dict[int, int]) -> None:
        """Add to the referenced bytes of chunks; a chunk that falls to nothing loses its row."""
        self._many(
            "INSERT INTO chunk VALUES(?, ?)"
            " ON CONFLICT(number) DO UPDATE SET referenced = referenced + excluded.referenced",
            changes.items(),
        )
        self._run("DELETE FROM chunk WHERE referenced=0")

    def put_sequences(self, sequences: dict[str, int]) -> None:
        """Insert or replace the sequences' next numbers."""
        self._many("INSERT OR REPLACE INTO sequence VALUES(?, ?)", sequences.items())

    def put_meta(self, values: dict[str, int]) -> None:
        """Insert or replace the store's own numbers."""
        self._many("INSERT OR REPLACE INTO meta VALUES(?, ?)", values.items())

    def integrity_problems(self, progress: Callable[[], None]) -> list[str]:
        """What SQLite's own integrity check finds, empty when all is well."""
        progress()
        found = [text for (text,) in self._run("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found


def _prepare(connection: apsw.Connection, shared: bool) -> None:
    # WAL lets the owner read while a worker commits; FULL makes a returned COMMIT durable, which the
    # removal of log chunks after it relies on.
    if not shared:
        connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "WAL" if shared else "TRUNCATE")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -8192)
    connection.set_busy_timeout(10_000)
