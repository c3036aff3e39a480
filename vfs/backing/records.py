"""Rows out of single pages of an SQLite database: the cells of a page, and the values of a record.

Pure arithmetic on bytes; the format is https://www.sqlite.org/fileformat2.html#b_tree_pages. Promises a
`BadBytes` for whatever cannot be a cell or a record, and never reads beyond the page that it is given.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vfs.backing.frames import BadBytes
from vfs.backing.pages import USABLE_BYTES

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
KINDS = (INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE)

Value = int | float | str | bytes | None
Row = tuple[Value, ...]

OverflowCall = Callable[[int, int], bytes]
"""Given the first page of a chain and a length, the bytes that did not fit on the page; BadBytes."""

_REALS = struct.Struct(">d")
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial type -> bytes of an integer."""

_LONGEST = 1 << 24
"""No row of ours is longer: a segment's map at its worst."""


class Page(NamedTuple):
    """A page of a tree: its kind, where its cells begin, and the child behind the last cell (0 in a leaf)."""

    kind: int
    cells: tuple[int, ...]
    last_child: int
    data: bytes

    @property
    def is_leaf(self) -> bool:
        """Whether it has no children."""
        return self.kind in (LEAF_INDEX, LEAF_TABLE)


def parse_page(data: bytes, *, first: bool) -> Page:
    """The header of a page; `first` is the database's first page, which begins with another header."""
    base = 100 if first else 0
    kind, _, count = struct.unpack_from(">BHH", data, base)
    if kind not in KINDS:
        raise BadBytes("no page of a tree")
    leaf = kind in (LEAF_INDEX, LEAF_TABLE)
    at = base + (8 if leaf else 12)
    if at + 2 * count > USABLE_BYTES:
        raise BadBytes("too many cells")
    cells = struct.unpack_from(f">{count}H", data, at)
    return Page(kind, cells, 0 if leaf else int.from_bytes(data[base + 8 : base + 12], "big"), data)


def children(page: Page) -> list[int]:
    """The pages below, in order."""
    if page.is_leaf:
        return []
    below = [int.from_bytes(page.data[at : at + 4], "big") for at in page.cells]
    return [*below, page.last_child]


def rows(page: Page, overflow: OverflowCall) -> Iterator[Row]:
    """The rows on one page; of a table with row numbers the number stands in front. Bad ones are left out."""
    if page.kind == INTERIOR_TABLE:
        return
    for at in page.cells:
        try:
            yield _row(page, at, overflow)
        except (BadBytes, struct.error, IndexError, UnicodeDecodeError):
            continue


def _row(page: Page, at: int, overflow: OverflowCall) -> Row:
    if page.kind == INTERIOR_INDEX:
        at += 4
    length, at = _varint(page.data, at)
    number: tuple[Value, ...] = ()
    if page.kind == LEAF_TABLE:
        found, at = _varint(page.data, at)
        number = (found - (1 << 64) if found >> 63 else found,)
    if length > _LONGEST:
        raise BadBytes("a row of absurd length")
    here = _local_bytes(length, table=page.kind == LEAF_TABLE)
    payload = page.data[at : min(at + here, USABLE_BYTES)]
    if len(payload) < here:
        raise BadBytes("a cell reaches past its page")
    if here < length:
        payload += overflow(int.from_bytes(page.data[at + here : at + here + 4], "big"), length - here)
    return number + _record(payload)


def _local_bytes(length: int, *, table: bool) -> int:
    """How much of a payload stands on the page itself."""
    most = USABLE_BYTES - 35 if table else (USABLE_BYTES - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (USABLE_BYTES - 12) * 32 // 255 - 23
    kept = least + (length - least) % (USABLE_BYTES - 4)
    return kept if kept <= most else least


def _record(payload: bytes) -> Row:
    head, at = _varint(payload, 0)
    if head > len(payload):
        raise BadBytes("a record's head is longer than the record")
    values: list[Value] = []
    body = head
    while at < head:
        kind, at = _varint(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    size = _INTEGERS.get(kind, 8) if kind < 12 else (kind - 12) // 2
    data = payload[at : at + size]
    if len(data) < size or kind in (10, 11):
        raise BadBytes("a record is too short")
    if kind in _INTEGERS:
        return int.from_bytes(data, "big", signed=True), at + size
    if kind == 7:
        return _REALS.unpack(data)[0], at + size
    return (data.decode("utf-8") if kind % 2 else data), at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends."""
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9
