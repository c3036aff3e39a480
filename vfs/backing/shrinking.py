"""Giving unused pages of an SQLite database back to the disk while others read it.

Promises short transactions, and not to wait for readers: what one of them still needs stays until next time.
"""

import apsw

PAGES_AT_ONCE = 2000
"""Pages that one transaction moves at the most: 8 MiB, some tens of milliseconds."""

LEAST_UNUSED_PAGES = 256
"""Below that an old database is not worth writing anew."""

INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` says of a database whose pages can be given back a few at a time."""

BUSY_MILLISECONDS = 10_000


def make_shrinkable(connection: apsw.Connection) -> None:
    """Write a database that cannot give pages back anew, when most of its pages are unused."""
    unused = connection.pragma("freelist_count")
    if connection.pragma("auto_vacuum") == INCREMENTAL or unused < LEAST_UNUSED_PAGES:
        return
    if 2 * unused > connection.pragma("page_count"):
        connection.pragma("auto_vacuum", "INCREMENTAL")
        connection.execute("VACUUM")


def give_pages_back(connection: apsw.Connection) -> bool:
    """Give some unused pages back in one transaction; True when there are more."""
    before = connection.pragma("freelist_count")
    if not before or connection.pragma("auto_vacuum") != INCREMENTAL:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
    after = connection.pragma("freelist_count")
    return bool(0 < after < before)


def fold_log(connection: apsw.Connection) -> None:
    """Bring SQLite's own log into the database and make it empty, as far as no reader stands in the way."""
    if connection.pragma("journal_mode") != "wal":
        return
    connection.set_busy_timeout(0)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return
    finally:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
