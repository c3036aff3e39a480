"""Whether the schema of an index is the one that vfs writes, to the letter.

Promises that no other table, view, trigger, index or virtual table is there, and none of ours under another
definition: a statement of vfs does to an index what it says, and nothing that the index brought along.
Tables of packed data may be missing: they are made anew from the packs.
"""

import re
from functools import cache

import apsw

from vfs.backing.schema import TABLES, TABLES_OF_VERSION_1, TABLES_OF_VERSION_2, UPGRADE_1, UPGRADE_2, VERSION
from vfs.errors import IndexDamaged

Schema = dict[tuple[str, str], str]
"""(type, name) -> SQL, its blanks made one."""

PACKED = {"blob", "block", "pack"}
"""Tables that may be missing, with their indexes."""

_SPACE = re.compile(r"\s+")
_READ = "SELECT type, name, sql FROM sqlite_schema LIMIT 100"


def check_schema(connection: apsw.Connection) -> int:
    """The version of the schema; IndexDamaged when it is none of vfs's. UnicodeDecodeError, apsw.Error."""
    found: Schema = {}
    for kind, name, sql in connection.execute(_READ).fetchall():
        if not isinstance(kind, str) or not isinstance(name, str):
            raise IndexDamaged("its schema is not made of text")
        found[kind, name] = _SPACE.sub(" ", sql) if isinstance(sql, str) else ""
    if ("table", "meta") not in found:
        raise IndexDamaged("no such table: meta")
    rows = connection.execute("SELECT value FROM meta WHERE key='schema'").fetchall()
    version = rows[0][0] if rows else None
    if version not in range(1, VERSION + 1) or type(version) is not int:
        raise IndexDamaged(f"schema version {version} instead of {VERSION}")
    problems = [_compare(found, expected) for expected in _expected(version)]
    if all(problems):
        raise IndexDamaged(str(problems[0]))
    return version


def _compare(found: Schema, expected: Schema) -> str | None:
    for key, sql in found.items():
        if key not in expected:
            return f"it has a {key[0]} {key[1][:100]!r} that is not of vfs"
        if sql != expected[key]:
            return f"its {key[0]} {key[1]!r} is not as vfs makes it"
    for key, sql in expected.items():
        if key not in found and not any(
            f"{word} {name}(" in sql for word in ("TABLE", "ON") for name in PACKED
        ):
            return f"no such {key[0]}: {key[1]}"
    return None


@cache
def _expected(version: int) -> list[Schema]:
    """The schemas that a store of that version can have: made new, or upgraded."""
    first = TABLES_OF_VERSION_1 + "INSERT INTO meta VALUES('schema', 1);"
    texts = {
        1: [TABLES_OF_VERSION_1],
        2: [TABLES_OF_VERSION_2, first + UPGRADE_1],
        3: [TABLES, TABLES_OF_VERSION_2 + UPGRADE_2, first + UPGRADE_1 + UPGRADE_2],
    }
    return [_made_by(text) for text in texts[version]]


def _made_by(statements: str) -> Schema:
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(statements)
        rows = connection.execute(_READ).fetchall()
    finally:
        connection.close()
    return {(str(kind), str(name)): _SPACE.sub(" ", str(sql or "")) for kind, name, sql in rows}
