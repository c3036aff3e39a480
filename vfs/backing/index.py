"""The index: the namespace and where every byte lives, as of one LSN, in SQLite.

Promises that what `commit` has returned from survives a power cut, that a reader sees one commit or
the next and nothing between, and that every page read back is verified (checksum VFS).
Never interprets a mode, a name or an extent map: it keeps rows.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import get_ident
from time import monotonic
from typing import Any

import apsw

from vfs.backing.file_names import INDEX_NAME
from vfs.backing.inflight import CALLS, LONG, disk_call
from vfs.backing.room import unit_bytes
from vfs.backing.schema import TABLES, TEMPORARY, UPGRADES, VERSION
from vfs.backing.schema_check import check_schema
from vfs.backing.shapes import check_rows
from vfs.backing.shrinking import fold_log, give_pages_back, is_loose, write_anew
from vfs.backing.sqlite_files import PAGE_BYTES, reason_of, wants_room
from vfs.backing.storage import Storage
from vfs.backing.transaction import Transaction
from vfs.backing.tree_rows import TreeRows
from vfs.backing.tree_tables import load_trees
from vfs.backing.trees import Trees
from vfs.errors import IndexDamaged, IndexUnwritten, NoSpace, StoreUnreadable, VfsError

SEVERAL = 10_000
"""More of the store's numbers and sequences than there can be."""

LEAST_LOG_PAGES, MOST_LOG_PAGES = 100, 1000
DAMAGE = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.IOError,
    apsw.FormatError,
    apsw.SchemaChangeError,
    apsw.SQLError,  # a table, or a function that the schema names, is not there
    apsw.TooBigError,
    apsw.MismatchError,
    UnicodeDecodeError,  # text that is none
)

NAMESPACE_TABLES = ("inode", "entry", "extent", "xattr")
"""Those whose rows have generations."""


class Index(TreeRows):
    """One store's index: a connection that reads for the owner and one that a worker commits through.

    Reading methods belong to the owner of the store; `commit` may run in a worker thread beside
    them, one at a time. They raise `IndexDamaged` when SQLite or a page checksum says so, and `NoSpace` when
    SQLite needs room to read.
    """

    def __init__(self, storage: Storage, *, read_only: bool) -> None:
        self._storage = storage
        self.read_only = read_only
        self.trees = Trees()
        self.shown: str | None = None
        """The snapshot that is shown in the place of all that is live."""
        self._reader = self._connect()
        self._writer: apsw.Connection | None = None
        self._writing = threading.Lock()
        self._cursor = self._reader.cursor()

    @property
    def shared(self) -> bool:
        """Whether there can be more than one connection (not on a simulated disk)."""
        return self._storage.shared_index

    # --- life ------------------------------------------------------------------------------

    @classmethod
    def create(cls, storage: Storage) -> "Index":
        """Make the tables of an empty index. The caller makes the folder entry durable."""
        connection = storage.index_connection(INDEX_NAME, read_only=False)
        try:
            connection.reserve_bytes(None, 8)  # room for the checksum that the VFS puts on every page
            connection.pragma("page_size", PAGE_BYTES)
            connection.pragma("auto_vacuum", "INCREMENTAL")  # so that gc can give pages back in small steps
            _prepare(connection, storage)
            with connection:
                connection.execute(TABLES)
                connection.execute("INSERT INTO meta VALUES('schema', ?), ('lsn', 0)", (VERSION,))
        finally:
            connection.close()
        return cls(storage, read_only=False)

    @classmethod
    def open(cls, storage: Storage, *, read_only: bool) -> "Index":
        """Open an existing index.

        Raises `IndexDamaged` when it is missing or is no index, `NoSpace` when what a crash left half done
        cannot be undone for want of room.
        """
        if not storage.exists(INDEX_NAME):
            raise IndexDamaged(f"{INDEX_NAME} is missing")
        try:
            index = cls(storage, read_only=read_only)
        except apsw.Error as error:
            raise _opening_failed(error, storage) from error
        except OSError as error:
            raise StoreUnreadable(storage.path, f"its index: {error.strerror or error}") from error
        try:
            index._bring_up_to_date()
        except BaseException:
            index.close()
            raise
        return index

    def _bring_up_to_date(self) -> None:
        """Upgrade the tables of an older version, in memory alone where nothing may be written."""
        try:
            found = check_schema(self._reader)
            if found < VERSION and self.read_only:
                self._reader.execute(TEMPORARY[found])
            elif found < VERSION:
                with self.transaction() as transaction:
                    transaction.upgrade(UPGRADES[found])
            meta = self.meta()
            self.trees = load_trees(self._rows, meta)
            if found == VERSION or not self.read_only:
                self._check_generations()
        except (apsw.Error, UnicodeDecodeError) as error:
            raise _unread(error) from error
        if "lsn" not in meta:
            raise IndexDamaged("it does not say how much of the log it holds")

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
            try:
                _prepare(connection, self._storage)
            except BaseException:
                connection.close()
                raise
        return connection

    # --- reading ---------------------------------------------------------------------------

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        thread = get_ident()
        CALLS[thread] = ("read of", INDEX_NAME, monotonic())
        try:
            return self._cursor.execute(sql, arguments).fetchall()
        except (*DAMAGE, apsw.FullError) as error:  # whoever reads first undoes a commit that was cut off
            raise _unread(error) from error
        finally:
            CALLS.pop(thread, None)

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        # To its end: a statement left open keeps its view of the index, and as long as there is one when a
        # commit comes, SQLite goes on at the end of its own log instead of beginning it anew.
        rows = self._all(sql, arguments)
        return rows[0] if rows else None

    def _rows(self, sql: str, arguments: tuple[Any, ...] = ()) -> Iterator[Any]:
        return iter(self._all(sql, arguments))

    def meta(self) -> dict[str, int]:
        """The store's own numbers: `schema`, `lsn`, and the totals as of that LSN."""
        return dict(
            check_rows("the store's numbers", self._all(f"SELECT key, value FROM meta LIMIT {SEVERAL}"))
        )

    def sequences(self) -> dict[str, int]:
        """For each sequence the first number that was never handed out nor reserved."""
        return dict(check_rows("a sequence", self._all(f"SELECT name, next FROM sequence LIMIT {SEVERAL}")))

    def load_trees(self) -> None:
        """Take the trees from the rows, once somebody has put them there."""
        self.trees = load_trees(self._rows, self.meta())

    def _check_generations(self) -> None:
        """IndexDamaged where a row is newer than the clock: what is written now would lie hidden below it."""
        for table in NAMESPACE_TABLES:
            (newest,) = self._one(f"SELECT max(gen) FROM {table} WHERE gen>1", ())  # the end of an index
            if newest is not None and not (type(newest) is int and newest <= self.trees.generation):
                raise IndexDamaged(
                    f"a row of {table} is of generation {newest!r:.40}, now is {self.trees.generation}"
                )

    def show_only(self, snapshot: str) -> None:
        """Show a snapshot in the place of what is live; SnapshotError when there is none of that name."""
        if snapshot not in self.trees.snapshots:
            raise self.trees.absent(snapshot)
        self.trees.restrict(snapshot)
        self.shown = snapshot

    def referenced_chunks(self) -> dict[int, int]:
        """chunk number -> bytes of it that extent maps point to."""
        return dict(check_rows("a chunk", self._all("SELECT number, referenced FROM chunk")))

    def has_pruning_jobs(self) -> bool:
        """Whether there may be rows that nobody sees any more."""
        return bool(self._all("SELECT 1 FROM pruning LIMIT 1"))

    # --- writing ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """One durable transaction, for one worker thread at a time.

        Raises `NoSpace` when the disk is full (nothing changed, may be tried again) and
        `IndexUnwritten` for every other failure of SQLite. Waits for one in another thread.
        """
        with self._writing, disk_call(LONG, INDEX_NAME):
            yield from self._transaction()

    def _transaction(self) -> Iterator["Transaction"]:
        try:
            connection = self._writing_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection, self.trees.generation, self.trees.chains())
                with disk_call("commit of", INDEX_NAME):
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            if wants_room(error):
                # What SQLite's own log grew by stays its own until it is emptied, and deletes need that room.
                with suppress(apsw.Error):
                    fold_log(self._writing_connection())
            raise _unwritten(error) from error

    def is_loose(self) -> bool:
        """Whether `shrink` would make the index a good deal smaller; any thread."""
        with self._writing:
            return is_loose(self._writing_connection())

    def shrink(self) -> None:
        """Give unused room back to the disk and empty SQLite's own log; any thread.

        An index that has become loose is written anew as a whole, else unused pages go in short transactions.
        Commits wait for that, readers do not. NoSpace or IndexUnwritten leave it as it was.
        """
        try:
            with self._writing:
                more = not write_anew(self._writing_connection(), self._storage.space().free_bytes)
            while more:
                with self._writing:
                    more = give_pages_back(self._writing_connection())
            with self._writing:
                fold_log(self._writing_connection())
        except apsw.Error as error:
            raise _unwritten(error) from error

    def reading_connection(self) -> apsw.Connection:
        """A connection of one's own to read in another thread; where that cannot be, the owner's."""
        return self._connect() if self.shared else self._reader

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
        connection = None if shared else self._reader
        try:
            if connection is None:
                connection = self._storage.index_connection(INDEX_NAME, read_only=not writable)
            connection.execute("BEGIN")
            try:
                # The view begins with this reading.
                found = connection.execute("SELECT value FROM meta WHERE key='schema'").fetchall()
                version = found[0][0] if found and isinstance(found[0][0], int) else VERSION
                if shared and version in UPGRADES:
                    connection.execute((UPGRADES if writable else TEMPORARY)[version])
                yield Transaction(connection, self.trees.generation, self.trees.chains())
            finally:
                if connection.in_transaction:  # an I/O error has rolled it back already
                    connection.execute("ROLLBACK")
        except (*DAMAGE, apsw.FullError) as error:
            raise _unread(error) from error
        except (apsw.Error, OSError) as error:
            raise StoreUnreadable(self._storage.path, f"its index: {error}") from error
        finally:
            if shared and connection is not None:
                connection.close()


def _opening_failed(error: apsw.Error, storage: Storage) -> VfsError:
    """What SQLite says of an index that it could not open; damage only where it is."""
    if isinstance(error, apsw.CantOpenError):  # its own log or shared memory cannot be made, say
        return StoreUnreadable(storage.path, f"its index: {error}")
    return _unread(error)


def _unread(error: Exception) -> VfsError:
    """What SQLite says of what it could not read, which takes room after a crash."""
    return NoSpace() if wants_room(error) else IndexDamaged(reason_of(error))


def _unwritten(error: Exception) -> VfsError:
    """What SQLite says of what it could not write."""
    return NoSpace() if wants_room(error) else IndexUnwritten(str(error))


def _prepare(connection: apsw.Connection, storage: Storage) -> None:
    shared = storage.shared_index
    # WAL lets the owner read while a worker commits; FULL makes a returned COMMIT durable, which the
    # removal of log chunks after it relies on.
    if not shared:
        connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "WAL" if shared else "TRUNCATE")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -8192)
    # SQLite's own log grows so far before it is begun anew: much of what is kept free on a small disk.
    pages = unit_bytes(storage.space().total_bytes) // 16 // PAGE_BYTES
    connection.wal_autocheckpoint(max(LEAST_LOG_PAGES, min(MOST_LOG_PAGES, pages)))
    connection.set_busy_timeout(10_000)
