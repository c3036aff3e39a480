"""Giving unused room of an SQLite database back to the disk while others read it.

Rows that come in no order leave pages half empty, and SQLite fills them only where rows of about the same key
come later: an index is half the size once it is written anew. Promises not to wait for readers, and that what
was written anew is not written anew again before it has grown.

A database is written anew by VACUUM, one transaction of SQLite's: a power cut leaves the old or the new one.
"""

import apsw

PAGES_AT_ONCE = 2000
"""Pages that one transaction moves at the most: 8 MiB, some tens of milliseconds."""

LEAST_PAGES = 128
"""A smaller database is not worth writing anew."""

MOST_PAGES_IN_MEMORY = 16 * 1024
"""Up to 64 MiB the new database is made in memory (about 0.3 s), a larger one in a temporary file."""

GROWN = 4
"""A database is written anew when it has grown by one part in so many since the last time."""

INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` says of a database whose pages can be given back a few at a time."""

BUSY_MILLISECONDS = 10_000
COMPACT_KEY = "compact_pages"
"""In `meta`: how many pages the database had when it was written anew."""


def is_loose(connection: apsw.Connection) -> bool:
    """Whether writing the database anew would make it a good deal smaller, as far as its growth tells.

    One of version 1 cannot give pages back in any other way.
    """
    unused = connection.pragma("freelist_count")
    pages = connection.pragma("page_count") - unused
    if unused > max(pages, LEAST_PAGES) and connection.pragma("auto_vacuum") != INCREMENTAL:
        return True
    known = 0
    for (value,) in connection.execute("SELECT value FROM meta WHERE key=?", (COMPACT_KEY,)).fetchall():
        assert isinstance(value, int), "the table holds nothing else"
        known = value
    return bool(pages >= LEAST_PAGES and pages > known + known // GROWN)


def write_anew(connection: apsw.Connection, room_bytes: int) -> bool:
    """Write a loose database anew if there is room for it; True when that was done."""
    pages = connection.pragma("page_count")
    if not is_loose(connection) or room_bytes < 3 * pages * connection.pragma("page_size"):
        return False
    connection.pragma("auto_vacuum", "INCREMENTAL")
    connection.pragma("temp_store", "MEMORY" if pages <= MOST_PAGES_IN_MEMORY else "FILE")
    connection.execute("VACUUM")
    pages = connection.pragma("page_count")
    connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (COMPACT_KEY, pages))
    return True


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
