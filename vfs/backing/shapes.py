"""What the rows of the index may hold: types and bounds of each column, written down once.

Promises that a row which passed is safe to compute with and to hand to the kernel: whole numbers that fit
where they go, bytes of bounded length, and names that are names. Never looks at what rows mean together.

Page checksums tell of damage, not of intent: whoever can write into a store can seal anything. So rows are
looked at whenever they are read, which costs about a microsecond each (msgspec), and by fsck all at once.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from vfs.errors import IndexDamaged
from vfs.limits import (
    COMMENT_CHARACTERS,
    DECODED_BLOCK_BYTES,
    FILE_BYTES,
    LAST_NUMBER,
    LINKS_IN_A_ROW,
    NAME_BYTES,
    TARGET_BYTES,
    XATTR_NAME_BYTES,
    XATTR_VALUE_BYTES,
)
from vfs.numbers import LAST_TREE, LOCAL_MASK

_LINK = 0o120000 >> 12
_TARGET = 14
"""Where the target stands in an InodeRow."""

Row = TypeVar("Row", bound=tuple[Any, ...])

U32 = 2**32 - 1
I64 = 2**63 - 1
MOST_PACK_BYTES = 2**50
"""No disk has room for more: offsets stay far from where sums would not fit."""

MOST_STORED_BYTES = DECODED_BLOCK_BYTES + DECODED_BLOCK_BYTES // 1024
"""A block that is stored as it is has sums beside its data."""


class Column(NamedTuple):
    """What a column may hold: a number from `least` to `most`, or bytes or text of such a length."""

    kind: str  # as SQLite's typeof() says it
    least: int
    most: int
    nullable: bool = False


def _number(least: int = 0, most: int = I64, *, nullable: bool = False) -> Column:
    return Column("integer", least, most, nullable)


_TIME = _number(-I64 - 1)
_GEN = _number(1, LAST_NUMBER)
_INO = _number(1, I64)
_TREE = _number(1, LAST_TREE)

TABLES: dict[str, dict[str, Column]] = {
    "meta": {"key": Column("text", 1, 100), "value": _number(0, LAST_NUMBER)},
    "sequence": {"name": Column("text", 1, 100), "next": _number(1, LAST_NUMBER)},
    "inode": {
        "ino": _INO,
        "mode": _number(0, 0o177777),
        "uid": _number(0, U32),
        "gid": _number(0, U32),
        "nlink": _number(0, LINKS_IN_A_ROW),
        "size": _number(0, FILE_BYTES),
        "allocated": _number(0, FILE_BYTES),
        "rdev": _number(0, I64),
        "atime": _TIME,
        "mtime": _TIME,
        "ctime": _TIME,
        "birth": _TIME,
        "parent": _number(),  # 0: of a file that was found without a name
        "cookie": _number(0, LAST_NUMBER),
        "target": Column("blob", 1, TARGET_BYTES, nullable=True),
        "gen": _GEN,
    },
    "entry": {
        "name": Column("blob", 1, NAME_BYTES),
        "ino": _number(),  # 0, with kind 0: the name is gone
        "cookie": _number(3, LAST_NUMBER),
        "kind": _number(0, 15),
        "parent": _INO,
        "gen": _GEN,
    },
    "extent": {
        "ino": _INO,
        "segment": _number(0, 2**40),
        "gen": _GEN,
        "allocated": _number(),
        "map": Column("blob", 1, I64),
        "chunk": _number(0, U32, nullable=True),
    },
    "xattr": {
        "name": Column("blob", 0, XATTR_NAME_BYTES),  # empty: there are none any more
        "value": Column("blob", 0, XATTR_VALUE_BYTES),
        "ino": _INO,
        "gen": _GEN,
    },
    "branch": {
        "id": _TREE,
        "parent": _number(0, LAST_TREE),
        "gen": _number(0, LAST_NUMBER),  # 0: before anything was written
    },
    "tree": {
        "id": _number(0, LAST_TREE),
        "source": _number(0, LAST_TREE),
        "snapshot": _number(0, LAST_TREE),  # 0: live
        "branch": _number(0, LAST_TREE),
        "gen": _GEN,
        "root": _number(1, LOCAL_MASK),
        "files": _number(0, LAST_NUMBER),
        "directories": _number(0, LAST_NUMBER),
        "logical_bytes": _number(0, LAST_NUMBER),
        "logical_bytes_high": _number(0, LAST_NUMBER),
    },
    "snapshot": {
        "id": _TREE,
        "name": Column("text", 1, NAME_BYTES),
        "created": _TIME,
        "comment": Column("text", 0, COMMENT_CHARACTERS),
        "automatic": _number(0, 1),
    },
    "pruning": {"id": _number(1), "branch": _number(0, LAST_TREE), "gen": _GEN},
    "chunk": {"number": _number(0, U32), "referenced": _number()},
    "blob": {
        "id": _number(1, LAST_NUMBER),
        "prefix": _number(-I64 - 1),
        "block": _number(1, LAST_NUMBER),
        "offset": _number(0, DECODED_BLOCK_BYTES),
        "length": _number(1, DECODED_BLOCK_BYTES),
        "refs": _number(),
    },
    "block": {
        "id": _number(1, LAST_NUMBER),
        "pack": _number(1, LAST_NUMBER),
        "offset": _number(64, MOST_PACK_BYTES),
        "stored": _number(1, MOST_STORED_BYTES),
        "size": _number(1, DECODED_BLOCK_BYTES),
        "codec": _number(0, 1),
        "checksum": _number(-I64 - 1),
    },
    "pack": {
        "id": _number(1, LAST_NUMBER),
        "state": _number(0, 2),
        "name": Column("text", 0, 64),
        "size": _number(0, MOST_PACK_BYTES),
    },
}


_KINDS: dict[str, type] = {"blob": bytes, "text": str}


def _annotated(column: Column) -> Any:
    if column.kind == "integer":
        found: Any = Annotated[int, msgspec.Meta(ge=column.least, le=column.most)]
    else:
        bounds = msgspec.Meta(min_length=column.least, max_length=column.most)
        found = Annotated[_KINDS[column.kind], bounds]
    return found | None if column.nullable else found


def _shape(name: str, columns: Iterable[str]) -> type[msgspec.Struct]:
    """A row with these columns ("table.column") in this order, as a type that msgspec can check."""
    fields = []
    for number, column in enumerate(columns):
        table, _, key = column.partition(".")
        fields.append((f"f{number}_{key}", _annotated(TABLES[table][key])))
    return msgspec.defstruct(name, fields, array_like=True, gc=False)


def _of(table: str, columns: str) -> list[str]:
    return [f"{table}.{column}" for column in columns.split()]


_INODE_COLUMNS = (
    "ino mode uid gid nlink size allocated rdev atime mtime ctime birth parent cookie target"  # InodeRow
)
_Inode = _shape("Inode", _of("inode", _INODE_COLUMNS))
_Numbers = _shape("Numbers", _of("inode", _INODE_COLUMNS)[:_TARGET])
_Entry = _shape("Entry", _of("entry", "ino cookie kind"))
_Listed = _shape("Listed", _of("entry", "name ino cookie kind"))
_Xattr = _shape("Xattr", _of("xattr", "name value"))
_Meta = _shape("Meta", _of("meta", "key value"))
_Sequence = _shape("Sequence", _of("sequence", "name next"))
_Chunk = _shape("Chunk", _of("chunk", "number referenced"))
_Pack = _shape("Pack", _of("pack", "id state name size"))
_Place = _shape(
    "Place",
    [
        *_of("blob", "id offset length"),
        *_of("block", "id pack offset stored size codec checksum"),
        "pack.name",
    ],
)
_Branch = _shape("Branch", _of("branch", "id parent gen"))
_Tree = _shape(
    "Tree",
    _of("tree", "id source snapshot branch gen root files directories logical_bytes logical_bytes_high"),
)
_Snapshot = _shape("Snapshot", _of("snapshot", "id name created comment automatic"))
_Pruning = _shape("Pruning", _of("pruning", "id branch gen"))
_Block = _shape("Block", _of("block", "id pack offset stored size codec checksum"))
_ToPack = _shape("ToPack", _of("extent", "ino segment gen map chunk"))

_SHAPES: dict[str, Any] = {
    "an inode": list[_Inode],  # type: ignore[valid-type]
    "a listed entry": list[_Listed],  # type: ignore[valid-type]
    "an extended attribute": list[_Xattr],  # type: ignore[valid-type]
    "the store's numbers": list[_Meta],  # type: ignore[valid-type]
    "a sequence": list[_Sequence],  # type: ignore[valid-type]
    "a chunk": list[_Chunk],  # type: ignore[valid-type]
    "a branch": list[_Branch],  # type: ignore[valid-type]
    "a tree": list[_Tree],  # type: ignore[valid-type]
    "a snapshot": list[_Snapshot],  # type: ignore[valid-type]
    "a pruning": list[_Pruning],  # type: ignore[valid-type]
    "a pack": list[_Pack],  # type: ignore[valid-type]
    "a blob": list[_Place],  # type: ignore[valid-type]
    "a block": list[_Block],  # type: ignore[valid-type]
    "a segment to be packed": list[_ToPack],  # type: ignore[valid-type]
}

is_name = re.compile(rb"(?!\.{1,2}\Z)[^/\0]{1,%d}" % NAME_BYTES).fullmatch
"""Whether bytes can be the name of an entry: nothing that the kernel, or a folder, takes for a path."""


def check_rows(what: str, rows: list[Any]) -> list[Any]:
    """The rows, each of which is what it should be; IndexDamaged when one is not."""
    try:
        msgspec.convert(rows, _SHAPES[what], builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise IndexDamaged(f"a row of the index cannot be {what}: {_plain(error)}") from None
    return rows


def check_numbers(what: str, values: Iterable[object]) -> None:
    """IndexDamaged when something is no whole number."""
    if not all(type(value) is int for value in values):
        raise IndexDamaged(f"a row of the index has {what} that are no numbers")


def sound_rows(what: str, rows: list[Any]) -> list[Any]:
    """Those of the rows that are what they should be: what is wrong with one costs no other."""
    try:
        return check_rows(what, rows)
    except IndexDamaged:
        return [row for row in rows if _is_sound(what, row)]


def _is_sound(what: str, row: Any) -> bool:
    try:
        check_rows(what, [row])
    except IndexDamaged:
        return False
    return True


def check_entry(row: tuple[int, int, int]) -> tuple[int, int, int]:
    """One row (ino, cookie, kind), which is what it should be; IndexDamaged when it is not."""
    return _checked("an entry", row, row, _Entry)


def check_inode(row: Row) -> Row:
    """One row of an inode; IndexDamaged when it cannot be one."""
    _checked("an inode", row, row[:_TARGET], _Numbers)
    _check_target(row)
    return row


def check_inodes(rows: list[Any]) -> list[Any]:
    """Rows of inodes; IndexDamaged when one of them cannot be one."""
    for row in check_rows("an inode", rows):
        _check_target(row)
    return rows


def _checked(what: str, row: Row, part: Any, shape: type[msgspec.Struct]) -> Row:
    try:
        msgspec.convert(part, shape)  # without bytes in it this takes a tenth of a microsecond
    except msgspec.ValidationError as error:
        raise IndexDamaged(f"a row of the index cannot be {what}: {_plain(error)}") from None
    return row


def _check_target(row: Any) -> None:
    """Symbolic links and nothing else have a target."""
    target, is_link = row[_TARGET], row[1] >> 12 == _LINK
    if target is None and not is_link:
        return
    if not is_link or type(target) is not bytes or not 1 <= len(target) <= TARGET_BYTES or b"\0" in target:
        raise IndexDamaged(f"inode {row[0]} cannot have the target that it has")


def check_names(rows: list[tuple[bytes, int, int, int]], after: int) -> list[Any]:
    """Rows of a listing with cookies above `after`: names that are names, cookies that only grow."""
    check_rows("a listed entry", rows)
    for name, _, cookie, _ in rows:
        if is_name(name) is None:
            raise IndexDamaged(f"a row of the index has a name that is not allowed: {name[:NAME_BYTES]!r}")
        if cookie <= after:
            raise IndexDamaged("entries of a directory are out of order in the index")
        after = cookie
    return rows


def _plain(error: msgspec.ValidationError) -> str:
    """What is wrong, without the place in a list that nobody knows."""
    return str(error).split(" - at ")[0]


def wrong_types(table: str, columns: Iterable[str]) -> str:
    """SQL that counts, for each of these columns, the rows of the table with something of another type."""
    sums = (_wrong_type(TABLES[table][column], column) for column in columns)
    return f"SELECT {', '.join(f'total({each})' for each in sums)} FROM {table}"


def out_of_bounds(table: str, columns: Iterable[str]) -> str:
    """SQL that counts, for each of these columns, the rows of the table that are out of its bounds."""
    sums = (_beyond(TABLES[table][column], column) for column in columns)
    return f"SELECT {', '.join(f'total({each})' for each in sums)} FROM {table}"


def _wrong_type(column: Column, name: str) -> str:
    return f"typeof({name}) NOT IN ('{column.kind}'{', ' + repr('null') if column.nullable else ''})"


def _beyond(column: Column, name: str) -> str:
    value = name if column.kind == "integer" else f"length({name})"
    # Written so that the least number of SQLite needs no literal, which it would read as a float.
    parts = [f"{value} > {column.most}"] if column.most < I64 else []
    parts += [f"{value} < {column.least}"] if column.least > -I64 - 1 else []
    return f"ifnull({' OR '.join(parts) or '0'}, 0)"
