"""The entries of one directory: an overlay of what changed, over the rows of the index.

Promises that a look-up never loads the directory, that cookies only grow, and that a listing which is
continued by cookie shows each entry that exists all the while exactly once.
Never touches inodes, never logs.

A *complete* directory has all its entries here (it was made in this life, or was small when first
listed). Otherwise `names` holds only entries that are newer than the index, `removed` the names
whose rows in the index are void, and `ahead` some rows that look-ups in order will want next.
"""

from bisect import bisect_right
from collections.abc import Collection
from operator import itemgetter
from typing import Protocol

from vfs.backing.tree_rows import EntryRow
from vfs.errors import IndexDamaged
from vfs.inode.ahead import InOrder
from vfs.inode.limiter import MemoryLimiter

Entry = tuple[int, int, int]
"""ino, cookie, kind (the file type bits of the mode, shifted down by 12)."""

FIRST_COOKIE = 3
"""Cookies 1 and 2 stand for `.` and `..`."""

ENTRY_BYTES = 256
"""What an entry in memory is charged to the limiter, its name included (measured: 190 to 330)."""

COMPLETE_ENTRIES = 4096
"""A directory of at most this many entries is read whole when it is listed, or looked into often."""

LOOK_SHARE = 16
"""Reading a directory whole costs about as much as looking up a sixteenth of its names one by one."""

_cookie_of = itemgetter(1)


class EntrySource(Protocol):
    """Where the rows of directories lie."""

    def entry(self, parent: int, name: bytes) -> Entry | None: ...

    def entries_after(self, parent: int, cookie: int, limit: int) -> list[EntryRow]: ...

    def names_of(self, parent: int, ino: int) -> list[bytes]: ...


class Directory:
    """The entries of directory `ino`.

    INVARIANT: `names` is in the order of cookies. INVARIANT: a complete directory has nothing in `removed` or
    `ahead`. INVARIANT: what is in `ahead` is in the index, and neither in `names` nor in `removed`.
    """

    __slots__ = (
        *("_credit", "_is_large", "_limiter", "_listing", "_looks", "_source"),
        *("ahead", "complete", "ino", "names", "removed"),
    )

    def __init__(
        self, ino: int, source: EntrySource, limiter: MemoryLimiter, *, complete: bool, entries: int = 0
    ) -> None:
        self.ino = ino
        # Looks into the index before it pays to read the directory whole; below 0 it never does.
        self._credit = entries // LOOK_SHARE if entries <= COMPLETE_ENTRIES else -1
        self._is_large = entries > COMPLETE_ENTRIES  # then trying to read it whole takes as much for nothing
        self._source = source
        self._limiter = limiter
        self.complete = complete
        self.names: dict[bytes, Entry] = {}
        self.removed: set[bytes] = set()
        self.ahead: dict[bytes, Entry] = {}
        self._looks: InOrder | None = None
        self._listing: list[tuple[bytes, int]] | None = None

    def get(self, name: bytes) -> Entry | None:
        """The entry of that name."""
        entry = self.names.get(name)
        if entry is not None or self.complete or name in self.removed:
            return entry
        entry = self.ahead.get(name)
        if entry is not None:
            return entry
        if self._credit > 0:
            self._credit -= 1
        elif self._credit == 0:
            self._credit = -1
            if self._load_small():
                return self.names.get(name)
        return self._source.entry(self.ino, name)

    def read_ahead(self, cookie: int) -> list[EntryRow]:
        """Entries from that of a look-up on, whose inode was not in memory, that will be looked up next.

        None unless look-ups come in the order of cookies.
        """
        looks = self._looks
        if looks is None:
            looks = self._looks = InOrder()
        width = looks.width(cookie)
        if not width:
            return []
        if self.complete:
            rows = self._list_names(cookie - 1, width)
        else:
            rows = self._source.entries_after(self.ino, cookie - 1, width)
            self._keep_ahead({name: (ino, at, kind) for name, ino, at, kind in rows})
        if rows:
            looks.reached(rows[-1][2])
        return rows

    def _keep_ahead(self, entries: dict[bytes, Entry]) -> None:
        for name in self.removed.intersection(entries):
            del entries[name]
        for name in self.names.keys() & entries.keys():
            del entries[name]
        self._limiter.charge(self.ino, ENTRY_BYTES * (len(entries) - len(self.ahead)))
        self.ahead = entries

    @property
    def memory_bytes(self) -> int:
        """What the limiter is charged for it."""
        return ENTRY_BYTES * (len(self.names) + len(self.ahead))

    def name_of(self, ino: int) -> bytes | None:
        """A name that an inode has here; the time grows with the directory."""
        found = (name for name, entry in self.names.items() if entry[0] == ino)
        if self.complete:
            return next(found, None)
        older = self._source.names_of(self.ino, ino)
        hidden = self.removed | self.names.keys()
        return next(found, None) or next((name for name in older if name not in hidden), None)

    def put(self, name: bytes, entry: Entry) -> None:
        """Add an entry under a free name, with the largest cookie so far."""
        if name in self.names:  # only when a record is applied twice
            del self.names[name]
        else:
            self._limiter.charge(self.ino, ENTRY_BYTES)
        self.names[name] = entry
        if not self.complete:
            self.removed.discard(name)
            self._outdate(name)

    def drop(self, name: bytes) -> None:
        """Remove an entry."""
        if self.names.pop(name, None) is not None:
            self._limiter.charge(self.ino, -ENTRY_BYTES)
        if not self.complete:
            self.removed.add(name)
            self._outdate(name)

    def _outdate(self, name: bytes) -> None:
        if self.ahead.pop(name, None) is not None:
            self._limiter.charge(self.ino, -ENTRY_BYTES)

    def list_after(self, cookie: int, limit: int) -> list[EntryRow]:
        """At most about `limit` entries with larger cookies, in order; empty only at the end."""
        if not self.complete:
            if cookie < FIRST_COOKIE and not self._is_large and self._load_small():
                return self._list_names(cookie, limit)
            return self._merge(cookie, limit)
        return self._list_names(cookie, limit)

    def _load_small(self) -> bool:
        rows = self._source.entries_after(self.ino, 0, COMPLETE_ENTRIES + 1)
        if len(rows) > COMPLETE_ENTRIES:
            return False
        self._keep_ahead({})
        newer = self.names
        self.names = {
            name: (ino, cookie, kind)
            for name, ino, cookie, kind in rows
            if name not in self.removed and name not in newer
        }
        self._limiter.charge(self.ino, ENTRY_BYTES * len(self.names))
        self.names.update(newer)  # newer entries have larger cookies than all rows: the order holds
        self.removed.clear()
        self.complete = True
        self._listing = None
        return True

    def _list_names(self, cookie: int, limit: int) -> list[EntryRow]:
        found: list[EntryRow] = []
        names = self.names
        while not found:
            listing = self._ordered(cookie)
            start = bisect_right(listing, cookie, key=_cookie_of)
            part = listing[start : start + limit]
            if not part:
                break
            for name, at in part:
                entry = names.get(name)
                if entry is not None and entry[1] == at:  # else removed since the listing was made
                    found.append((name, entry[0], at, entry[2]))
            if part[-1][1] <= cookie:
                raise IndexDamaged(f"entries of directory {self.ino} are out of order")
            cookie = part[-1][1]
        return found

    def _ordered(self, cookie: int) -> list[tuple[bytes, int]]:
        # Cookies only grow, so a listing made earlier is still in order and lacks only what came after
        # its end; it is made anew when it was read to its end, or is mostly of removed names.
        listing = self._listing
        if (
            listing is None
            or not listing
            or cookie >= listing[-1][1]
            or len(listing) > 2 * len(self.names) + 64
        ):
            listing = self._listing = [(name, entry[1]) for name, entry in self.names.items()]
        return listing

    def _merge(self, cookie: int, limit: int) -> list[EntryRow]:
        # Every entry of the overlay has a larger cookie than every row that the overlay does not hide:
        # an entry gets its cookie when it is put, and leaves the overlay with the commit that has it.
        at = cookie
        while rows := self._source.entries_after(self.ino, at, limit):
            kept = [row for row in rows if row[0] not in self.removed and row[0] not in self.names]
            if kept:
                return kept
            at = rows[-1][2]
        return self._list_names(cookie, limit)

    def forget(self, name: bytes) -> None:
        """The index has this name's entry, or its absence, as it is here: stop hiding the index."""
        if self.names.pop(name, None) is not None:
            self._limiter.charge(self.ino, -ENTRY_BYTES)
        self.removed.discard(name)

    def forget_clean(self, dirty: Collection[bytes]) -> None:
        """Keep only the changes that the index does not have: the names in `dirty`."""
        self._keep_ahead({})
        if self.complete:
            self._is_large = len(self.names) > COMPLETE_ENTRIES
        kept = {name: entry for name, entry in self.names.items() if name in dirty}
        self._limiter.charge(self.ino, -ENTRY_BYTES * (len(self.names) - len(kept)))
        self.removed = {name for name in dirty if name not in kept}
        self.names = kept
        self.complete = False
        self._listing = None

    def release(self) -> None:
        """Give back to the limiter what this directory was charged; whoever still looks asks the index."""
        self._limiter.charge(self.ino, -self.memory_bytes)
        self.names, self.ahead = {}, {}
        self.complete = False
        self._listing = None
