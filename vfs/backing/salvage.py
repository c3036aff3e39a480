"""Every row of an index that can still be read: from SQLite where it is sound, else page by page.

Promises that a row comes from pages which verify and belong to their table now, as the trees or SQLite's
pointer map say: what lies on free pages is old and never comes back. Never writes, and never judges a row.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import apsw

from vfs.backing.file_names import INDEX_NAME
from vfs.backing.frames import BadBytes
from vfs.backing.index import DAMAGE
from vfs.backing.pages import USABLE_BYTES, PageFile
from vfs.backing.records import LEAF_INDEX, LEAF_TABLE, Page, Row, children, parse_page, rows
from vfs.backing.storage import Storage

TABLES = {
    "meta": "key, value",
    "sequence": "name, next",
    "inode": (
        "ino, gen, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth,"
        " parent, cookie, target"
    ),
    "entry": "parent, name, gen, ino, cookie, kind",
    "extent": "ino, segment, gen, allocated, map",
    "xattr": "ino, name, gen, value",
    "blob": "id, prefix, block, offset, length, refs",
    "block": "id, pack, offset, stored, size, codec, checksum",
    "pack": "id, state, name, size",
    "branch": "id, parent, gen",
    "tree": (
        "id, source, snapshot, branch, gen, root, files, directories, logical_bytes, logical_bytes_high"
    ),
    "snapshot": "id, name, created, comment, automatic",
}
"""The tables whose rows are worth having, and their columns in the order in which they come."""

_NUMBERED = {"blob", "block", "pack", "branch", "tree", "snapshot"}
"""Tables whose rows SQLite finds by number."""

_LAYERED = {"inode", "entry", "extent", "xattr"}
"""Tables in which an older row shows where a newer one is lost."""

_BRANCH_FIELDS = 4
_MOST_DEPTH = 20
_ROOT, _IN_TREE = 1, 5


class Hole(NamedTuple):
    """Rows of a table that are lost: those between these two, which are there. None: from its beginning,
    to its end."""

    before: Row | None
    after: Row | None


class SoundRows:
    """The rows of an index that SQLite has no complaint about."""

    lost_pages = 0
    lost_layers = False

    def __init__(self, connection: apsw.Connection) -> None:
        self.holes: dict[str, list[Hole]] = {}
        self._connection = connection
        self._there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        self.missing = TABLES.keys() - self._there
        """Tables that are not there."""

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table; none where it is missing."""
        if table in self._there:
            # Text is only in what can be made anew, and in names of snapshots. Where it is none the rest of
            # its table is left out.
            with suppress(UnicodeDecodeError):
                yield from self._connection.execute(f"SELECT {TABLES[table]} FROM {table}")

    def close(self) -> None:
        """Give the index back."""
        self._connection.close()


class PageRows:
    """The rows on those pages of a damaged index that verify."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._file = PageFile(storage, name)
        self._parents = self._file.parents()
        self.lost_pages = 0
        """Pages of trees that cannot be read; known when the rows of all tables were asked for."""
        self.missing: set[str] = set()
        """Of a table without rows nobody knows whether it was there."""
        self.lost_layers = False
        """Whether one of them may have had rows of the namespace."""
        self.holes: dict[str, list[Hole]] = {table: [] for table in _LAYERED}
        """Where these rows were, by table."""
        self._found: dict[str, list[int]] = {table: [] for table in TABLES}
        self._sort()

    def close(self) -> None:
        """Give the files back."""
        self._file.close()

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table that can be read, in no order that can be relied on."""
        for number in self._found[table]:
            page = self._page(number)
            if page is not None:
                for row in rows(page, self._overflow):
                    yield _as_selected(table, row)

    # --- which pages belong to which table ------------------------------------------------------

    def _sort(self) -> None:
        """Find every page that belongs to a tree, and the table of each."""
        roots: dict[int, int] = {}
        walked = self._walk()
        for number in range(1, self._file.count + 1):
            kind = self._parents.get(number, (0, 0))[0]
            if number in walked or kind in (_ROOT, _IN_TREE):
                roots[number] = self._root(number)
        tables, others = self._tables(roots)
        for number, root in roots.items():
            if self._page(number) is None:
                self.lost_pages += 1
                if root not in others:
                    self._lose(number, root, tables.get(root))
            elif tables.get(root) is not None:
                self._found[tables[root]].append(number)

    def _lose(self, number: int, root: int, table: str | None) -> None:
        """A page of that tree is lost."""
        if table in _LAYERED:
            self.lost_layers = True
            self.holes[table].append(self._hole(number, root))
        elif table is None:  # nobody knows of which table it was
            self.lost_layers = True
            for layered in _LAYERED:
                self.holes[layered].append(Hole(None, None))

    def _hole(self, number: int, root: int) -> Hole:
        """What surrounds the rows of a page, or of the pages below it."""
        before = after = None
        for _ in range(_MOST_DEPTH):
            if number == root or (before is not None and after is not None):
                break
            parent = self._parents.get(number, (0, 0))[1]
            page = self._page(parent)
            if page is not None:
                below, keys = children(page), list(rows(page, self._overflow))
                if number not in below or len(keys) != len(below) - 1:
                    return Hole(None, None)
                at = below.index(number)
                before = keys[at - 1] if before is None and at > 0 else before
                after = keys[at] if after is None and at < len(keys) else after
            number = parent
        return Hole(before, after)

    def _walk(self) -> set[int]:
        """The pages below the roots that the schema names, for what the pointer map does not tell."""
        found: set[int] = set()
        waiting = [number for number, _ in self._schema()]
        for number in waiting:
            self._parents.setdefault(number, (_ROOT, 0))
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            found.add(number)
            page = self._page(number)
            if page is not None:
                for child in children(page):
                    self._parents.setdefault(child, (_IN_TREE, number))
                    waiting.append(child)
        return found

    def _schema(self) -> list[tuple[int, str]]:
        """(root page, name) of every table and index that the first page, and those below it, name."""
        found: list[tuple[int, str]] = []
        waiting, seen = [1], set()
        while waiting:
            number = waiting.pop()
            page = None if number in seen else self._page(number)
            seen.add(number)
            if page is not None:
                waiting += children(page)
                for row in rows(page, self._overflow):
                    if len(row) == 6 and isinstance(row[4], int) and isinstance(row[2], str):
                        found.append((row[4], row[2]))
        return found

    def _root(self, number: int) -> int:
        """The root of the tree that a page belongs to, as far as the map knows."""
        for _ in range(_MOST_DEPTH):
            kind, parent = self._parents.get(number, (0, 0))
            if kind != _IN_TREE:
                return number
            number = parent
        return number

    def _tables(self, roots: dict[int, int]) -> tuple[dict[int, str], set[int]]:
        """The table of each root: as the schema says, else by what its rows look like; and the roots of what
        is none of these tables."""
        known = {root: name for root, name in self._schema() if name in TABLES}
        others = {root for root, _ in self._schema()} - known.keys()  # SQLite's indices
        alike: list[int] = []  # branches, or what is to be pruned
        for number, root in roots.items():
            if root in known or root in others or root == 1:
                continue
            page = self._page(number)
            first = None if page is None else next(rows(page, self._overflow), None)
            if page is not None and first is not None:
                name = _table_by_shape(page.kind, first)
                if name is not None:
                    known[root] = name
                elif page.kind == LEAF_TABLE and len(first) == _BRANCH_FIELDS:
                    alike.append(root)
        # Roots lie in the order in which tables were made, and one of trees was made between these two.
        known.update((root, "branch") for root in alike if root < max(_roots_of("tree", known), default=0))
        return known, others | {1, *alike} - known.keys()

    # --- pages ------------------------------------------------------------------------------------

    def _page(self, number: int) -> Page | None:
        data = self._file.page(number)
        if data is None:
            return None
        try:
            return parse_page(data, first=number == 1)
        except BadBytes:
            return None

    def _overflow(self, number: int, length: int) -> bytes:
        pieces = []
        while length > 0:
            data = self._file.page(number)
            if data is None:
                raise BadBytes("a page that a row goes on in cannot be read")
            pieces.append(data[4 : 4 + min(length, USABLE_BYTES - 4)])
            length -= len(pieces[-1])
            number = int.from_bytes(data[:4], "big")
        return b"".join(pieces)


def _roots_of(table: str, known: dict[int, str]) -> list[int]:
    return [root for root, name in known.items() if name == table]


def _table_by_shape(kind: int, row: Row) -> str | None:
    """The only table of ours whose rows look like that, None where there is none."""
    if kind == LEAF_TABLE:
        shapes = {7: "blob", 8: "block", 5: "pack", 11: "tree", 6: "snapshot"}
        return shapes.get(len(row)) if row[1:2] == (None,) else None
    if kind != LEAF_INDEX:
        return None
    texts = [index for index, value in enumerate(row) if isinstance(value, str)]
    data = [index for index, value in enumerate(row) if isinstance(value, bytes)]
    if len(row) == 2 and texts == [0]:
        return "sequence" if row[0] == "ino" else "meta"
    places: dict[int, list[tuple[str, int]]] = {
        16: [("inode", 15)],
        6: [("entry", 1), ("extent", 4)],
        5: [("extent", 4)],
        4: [("xattr", 1)],
    }
    for table, place in places.get(len(row), []):
        if table == "inode" or data[:1] == [place]:
            return table
    return None


def _as_selected(table: str, row: Row) -> Row:
    """A row as `SELECT` gives it: numbered tables have NULL where their number belongs, others a column
    more."""
    if table in _NUMBERED and row[1:2] == (None,):
        row = (row[0], *row[2:])
    return row[: TABLES[table].count(",") + 1]


OldRows = SoundRows | PageRows


def open_rows(storage: Storage) -> tuple[OldRows, str | None]:
    """The rows of the index on `storage`, that nobody else has open, and what is wrong with it as a whole."""
    reason: str | None = None
    try:
        connection = storage.index_connection(INDEX_NAME, read_only=storage.shared_index)
        try:
            found: list[Any] = connection.execute("PRAGMA integrity_check(1)").fetchall()
            reason = None if found == [("ok",)] else " ".join(str(found[0][0]).split("\n")[-1:])
        except BaseException:
            connection.close()
            raise
        if reason is None:
            return SoundRows(connection), None
        connection.close()
    except DAMAGE as error:
        reason = str(error)
    except (apsw.Error, OSError) as error:
        reason = str(error)
    return PageRows(storage, INDEX_NAME), reason
