"""Opening an SQLite database that nobody vouches for, inside a folder that is held open.

Promises that SQLite touches no file outside of that folder, whatever lies in it, and that a database may hold
data but nothing that runs: no trigger, view or extension of its own. Never looks into a table.

What SQLite's own advice for untrusted databases asks for (https://www.sqlite.org/security.html) stands in
`harden`. Files beside the database are looked at before: SQLite opens its own log and shared memory by their
names, and a rollback journal may name another file as its superior.
"""

import errno
import os
import stat
import threading

import apsw
import apsw.sqlite_extra

CHECKSUM_BYTES = 8
"""What cksumvfs needs at the end of each page of the index."""

PAGE_BYTES = 4096
"""Of the index, as it is made."""

BESIDE = ("-wal", "-shm")
"""Files that SQLite makes and opens by itself beside a database in WAL mode."""

ROLLBACK = "-journal"
"""Of the other journal modes, which no store uses."""

LIMITS = {
    apsw.SQLITE_LIMIT_LENGTH: 64 * 1024 * 1024,  # a row: twice the largest map of extents
    apsw.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    apsw.SQLITE_LIMIT_COLUMN: 100,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 100,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 10,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}

SWITCHES = {
    apsw.SQLITE_DBCONFIG_DEFENSIVE: 1,  # no SQL can write into the file but as rows
    apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,  # what the schema names runs nothing with side effects
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW: 0,  # those of this connection (TEMP) stay allowed
    apsw.SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0,
    apsw.SQLITE_DBCONFIG_DQS_DDL: 0,
    apsw.SQLITE_DBCONFIG_DQS_DML: 0,
}

_checksums_loaded = threading.Lock()


def open_database(folder: int, name: str, *, read_only: bool) -> apsw.Connection:
    """Open the database `name`, which exists, in the folder with that descriptor. OSError or apsw.Error.

    Looked at first, because SQLite would follow a symbolic link. Looked at, not opened: closing any
    descriptor of a file ends all locks that this process has on it, and the locks of other connections keep
    foreign programs from removing SQLite's own log.
    """
    load_checksums()
    is_shared = _check_files(folder, name, read_only)
    # SQLite takes zeros for what is missing of its last page, and asks for no checksum then. A crash may
    # leave that only while SQLite's own log has the page.
    if not is_shared and os.stat(name, dir_fd=folder, follow_symlinks=False).st_size % PAGE_BYTES:
        raise apsw.CorruptError("it ends amid a page")
    # Through the descriptor, so that a store whose folder was renamed meanwhile is still this store.
    file_name = f"/proc/self/fd/{folder}/{name}"
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if read_only and not is_shared:
        # Closed cleanly, and nobody else can open it while we hold the store's lock: SQLite need not make
        # its shared memory beside it, which it could not do on a disk that is mounted read-only.
        file_name = f"file:{file_name}?immutable=1"
        flags |= apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(file_name, flags=flags, vfs="cksmvfs")
    try:
        harden(connection)
        # Plans go by the statement and not by what is bound to it. Else SQLite makes each that has an ORDER
        # BY anew for each number that is looked up, which takes twice as long as looking it up.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if not read_only and connection.pragma("page_count") == 0:
            connection.reserve_bytes(None, CHECKSUM_BYTES)  # binds only before the first page is written
    except BaseException:
        connection.close()
        raise
    return connection


def harden(connection: apsw.Connection) -> None:
    """Take from the connection what only a hostile database would make use of."""
    for limit, value in LIMITS.items():
        connection.limit(limit, value)
    for switch, value in SWITCHES.items():
        connection.config(switch, value)
    connection.pragma("cell_size_check", "ON")
    connection.pragma("mmap_size", 0)  # a file that shrinks under us is an error, not a SIGBUS


def wants_room(error: Exception) -> bool:
    """Whether SQLite says that the disk is full: also that it could not make its shared memory as large as it
    has to be, which it calls an I/O error."""
    return (
        isinstance(error, apsw.FullError)
        or getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE
    )


def reason_of(error: Exception) -> str:
    """What SQLite says, in words that say what was found."""
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_DATA:
        return "the checksum of a page is wrong"  # SQLite: disk I/O error
    return str(error)


def _check_files(folder: int, name: str, read_only: bool) -> bool:
    """OSError unless all that SQLite would open is a file of this folder; whether its log has anything."""
    refuse_stranger(folder, name, writing=not read_only)
    found = [beside for beside in BESIDE if _exists(folder, name + beside)]
    for beside in found:
        refuse_stranger(folder, name + beside, writing=True)  # -shm is written by readers too
    if _exists(folder, name + ROLLBACK):
        # SQLite would roll it back, and look into the file that it names as its superior.
        raise OSError(errno.EINVAL, f"{name}{ROLLBACK} is not of vfs; move it away and look where it is from")
    # An empty one, which an opening leaves that found no room for the shared memory, is as good as none.
    return "-wal" in found and os.stat(name + "-wal", dir_fd=folder, follow_symlinks=False).st_size > 0


def refuse_stranger(folder: int, name: str, *, writing: bool) -> None:
    """OSError unless `name` is a regular file; to be written, one that has no second name elsewhere."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"not a regular file: {name}")
    if writing and found.st_nlink > 1:
        raise OSError(errno.EMLINK, f"{name} has a second name (a hard link), which would change with it")


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def load_checksums() -> None:
    """Register SQLite's checksum VFS ('cksmvfs'), once per process."""
    with _checksums_loaded:
        if "cksmvfs" not in apsw.vfs_names():
            connection = apsw.Connection(":memory:")
            apsw.sqlite_extra.load(connection, "cksumvfs")
            connection.close()
