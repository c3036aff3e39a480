"""Rows of an old index, each judged by itself: as they are, mended, or left out.

Promises that what passes has the right types and possible values, and that a row without fault passes as it
is. What would be left out, and would let an older row show, stays as a tombstone.
Never looks at two rows at once: `names.py` and `contents.py` do.
"""

from collections.abc import Callable, Iterator
from typing import Any

from vfs.backing.history import UNKNOWN_MAP
from vfs.backing.mending import FILE, KINDS, Mending
from vfs.backing.salvage import TABLES, OldRows
from vfs.errors import IndexDamaged
from vfs.inode.directory import FIRST_COOKIE
from vfs.inode.extent_map import ExtentMap
from vfs.limits import (
    FILE_BYTES,
    LINKS,
    NAME_BYTES,
    SEGMENT_BYTES,
    TARGET_BYTES,
    XATTR_NAME_BYTES,
    XATTR_VALUE_BYTES,
)
from vfs.numbers import LAST_TREE, TREE_SHIFT
from vfs.repair.plan import Plan

MOST_SEGMENT = FILE_BYTES // SEGMENT_BYTES
MOST_ROW = (1 << 63) - 1
MOST_REFERENCE = (LAST_TREE + 2 << TREE_SHIFT) - 1
"""What leads into another tree says which, and one more."""

MOST_NUMBER = 1 << 62
"""A number of an inode, a blob and the like that is larger was never handed out."""

MOST_RESERVED = 1 << 48
"""A sequence that says it is further is damaged: at a million numbers a second that takes nine years."""

MOST_INO = 1 << 39
"""The same, of inodes: there are half as many again."""

MOST_CHUNK = 1 << 31
"""A chunk's number has 32 bits in its header: so many chunks are 128 PiB."""

MOST_BRANCHES = 100_000
"""Branches with damaged rows that are told apart."""

_GENERATION = {"inode": 1, "entry": 2, "extent": 2, "xattr": 2}
"""Where a row has it."""

_INODE_TOMBSTONE = (0, 0, 0, 1, *(0,) * 9, None)
_IDENTITY = (1 << 32) - 1
_SETID = 0o6000
_Row = tuple[Any, ...]
_FIELDS = (  # of an inode, from mode on: lowest, highest, and what stands for a value that cannot be
    ("mode", 0, 0o177777, 0o600),
    ("uid", 0, _IDENTITY, 0),
    ("gid", 0, _IDENTITY, 0),
    ("number of links", 0, MOST_NUMBER, 1),
    ("size", 0, FILE_BYTES, 0),
    ("allocated bytes", 0, FILE_BYTES, 0),
    ("device", 0, 2**63 - 1, 0),
    ("atime", -(2**63), 2**63 - 1, 0),
    ("mtime", -(2**63), 2**63 - 1, 0),
    ("ctime", -(2**63), 2**63 - 1, 0),
    ("birth", -(2**63), 2**63 - 1, 0),
    ("parent", 0, MOST_REFERENCE, 0),
    ("cookie", FIRST_COOKIE, MOST_NUMBER, FIRST_COOKIE),
)


def _number(value: object, lowest: int, highest: int) -> bool:
    return type(value) is int and lowest <= value <= highest


def read_numbers(old: OldRows, table: str, most: int) -> dict[str, int]:
    """The rows of `meta` or `sequence` that can be."""
    found: dict[str, int] = {}
    for row in old.rows(table):
        if len(row) == 2 and isinstance(row[0], str) and _number(row[1], 0, most):
            found[row[0]] = row[1]  # type: ignore[assignment]
    return found


class RowLoader:
    """Puts the rows of an old index aside in a new one, as `History` has them."""

    def __init__(self, old: OldRows | None, mending: Mending, plan: Plan, generation: int) -> None:
        self._old = old
        self._mending = mending
        self._plan = plan
        self._generation = generation
        self.altered: dict[int, int] = {}
        """By branch the oldest generation of rows that are not here as they were."""
        self.contradictory = False
        """Whether two rows had the same key: then nobody knows which of them is right."""
        self.had_losses = False
        """Whether an earlier repair has noted bytes as lost."""

    def load(self) -> None:
        """All rows of the namespace, and of the extents, of all branches and generations."""
        self._table("inode", self._inode)
        self._table("entry", self._entry)
        self._table("extent", self._extent)
        self._table("xattr", self._xattr)

    def _table(self, table: str, judge: Callable[[_Row], _Row | None]) -> None:
        columns = TABLES[table].count(",") + 1
        given = kept = 0

        def judged() -> Iterator[_Row]:
            nonlocal given, kept
            for row in self._old.rows(table) if self._old is not None else ():
                given += 1
                found = judge(row) if len(row) == columns else None
                if found is None or found[:columns] != row:
                    self._alter(row, _GENERATION[table])
                if found is not None:
                    kept += 1
                    yield found

        double = self._mending.load(f"old_{table}", judged(), columns + (table == "extent"))
        if given - kept + double:
            count = given - kept + double
            self._plan.add("rows of the index", f"{count} rows of {table} cannot be and are left out", count)
        self.contradictory = self.contradictory or double > 0

    def _alter(self, row: _Row, place: int) -> None:
        """A row is not here as it was: nobody who sees it can rely on that."""
        number = row[0] if row and _number(row[0], 1, MOST_ROW) else 0
        gen = self._gen(row[place]) if len(row) > place else 1
        branch = number >> TREE_SHIFT
        if branch in self.altered or len(self.altered) < MOST_BRANCHES:
            self.altered[branch] = min(gen, self.altered.get(branch, gen))
        else:
            self.contradictory = True

    def _gen(self, value: object) -> int:
        """A row that is newer than the clock was written last."""
        return min(value, self._generation) if type(value) is int and value > 0 else 1

    # --- one row of each ----------------------------------------------------------------------

    def _inode(self, row: _Row) -> _Row | None:
        ino = row[0]
        if not _number(ino, 1, MOST_ROW):
            return None
        if row[2:] == _INODE_TOMBSTONE:
            return (ino, self._gen(row[1]), *_INODE_TOMBSTONE)
        values: list[Any] = [ino, self._gen(row[1])]
        for (name, lowest, highest, instead), value in zip(_FIELDS, row[2:15], strict=True):
            if _number(value, lowest, highest):
                values.append(value)
                continue
            if name in ("uid", "gid"):  # of whom it is, is lost: then it must not give anybody root's rights
                values[2] &= ~_SETID
            self._plan.add("attributes", f"the {name} of inode {ino} cannot be {value!r}: {instead} instead")
            values.append(instead)
        values[2] = values[2] or 0o600  # nothing but a tombstone has no mode at all
        if values[2] >> 12 == 4:
            values[5] = min(values[5], MOST_NUMBER)
        elif values[5] > LINKS:
            values[5] = 1
        target = row[15]
        if isinstance(target, str):
            target = target.encode("utf-8", "surrogateescape")
        values.append(target if isinstance(target, bytes) and 0 < len(target) <= TARGET_BYTES else None)
        return tuple(values)

    def _entry(self, row: _Row) -> _Row | None:
        parent, name, gen, ino, cookie, kind = row
        if isinstance(name, str):
            name = name.encode("utf-8", "surrogateescape")
        if not (_number(parent, 1, MOST_ROW) and isinstance(name, bytes)):
            return None
        if not _number(ino, 1, MOST_REFERENCE):
            ino = kind = 0  # whatever it was, it is not what an older row says
        elif kind not in KINDS:
            kind = FILE  # until it is asked what its inode is
        return (parent, name, self._gen(gen), ino, cookie if _number(cookie, 0, MOST_ROW) else 0, kind)

    def _extent(self, row: _Row) -> _Row | None:
        ino, segment, gen, _, encoded = row
        if not (_number(ino, 1, MOST_ROW) and _number(segment, 0, MOST_SEGMENT)):
            return None
        allocated, lowest = 0, None
        try:
            found = ExtentMap.decode(encoded if isinstance(encoded, bytes) else UNKNOWN_MAP)
            if not is_possible(found):
                raise IndexDamaged("a map names places that cannot be")
            allocated, lowest = found.allocated, found.lowest_chunk()
            self.had_losses = self.had_losses or bool(found.lost())
        except IndexDamaged:
            encoded = UNKNOWN_MAP
        return (ino, segment, self._gen(gen), allocated, encoded, lowest)

    def _xattr(self, row: _Row) -> _Row | None:
        ino, name, gen, value = row
        if not _number(ino, 1, MOST_ROW):
            return None
        if not (isinstance(name, bytes) and len(name) <= XATTR_NAME_BYTES):
            name, value = b"", b""
        if not (isinstance(value, bytes) and len(value) <= XATTR_VALUE_BYTES):
            name, value = b"", b""  # the others of its set stay, older sets do not come back
        return (ino, name, self._gen(gen), value)


def is_possible(segment: ExtentMap) -> bool:
    """Whether all chunks and blobs that a map names have numbers that can have been handed out."""
    chunks, blobs = max(segment.references(), default=0), max(segment.blob_references(), default=0)
    return chunks < MOST_CHUNK and blobs < MOST_RESERVED


def free_name(name: bytes, taken: Callable[[bytes], bool]) -> bytes:
    """A name that is allowed, free, and as like the given one as can be."""
    base = name.replace(b"/", b"_").replace(b"\0", b"_")[:NAME_BYTES]
    if base in (b"", b".", b".."):
        base = b"_" + base
    found, number = base, 0
    while taken(found):
        number += 1
        suffix = b".%d" % number
        found = base[: NAME_BYTES - len(suffix)] + suffix
    return found
