"""The tables of the index, `STORE/index.db`, as SQL text.

Promises that the schema is written down once, here, and explained in FORMAT.md.
Never runs a statement.

Every row of the namespace carries the generation (`gen`) it was written in as the last part of its
key, and its numbers the branch it belongs to. Physical places stand in extent maps (log chunks) and in the
tables of packed data, and nowhere in the
namespace. Times are nanoseconds since 1970, signed, so that 1677 to 2262 can be said.
"""

VERSION = 3

_NAMESPACE = """
CREATE TABLE meta(
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE inode(
    ino INTEGER NOT NULL, gen INTEGER NOT NULL,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, nlink INTEGER NOT NULL,
    size INTEGER NOT NULL, allocated INTEGER NOT NULL, rdev INTEGER NOT NULL,
    atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, birth INTEGER NOT NULL,
    parent INTEGER NOT NULL, cookie INTEGER NOT NULL, target BLOB,
    PRIMARY KEY(ino, gen)
) WITHOUT ROWID;
CREATE INDEX inode_orphan ON inode(ino) WHERE nlink = 0;

CREATE TABLE entry(
    parent INTEGER NOT NULL, name BLOB NOT NULL, gen INTEGER NOT NULL,
    ino INTEGER NOT NULL, cookie INTEGER NOT NULL, kind INTEGER NOT NULL,
    PRIMARY KEY(parent, name, gen)
) WITHOUT ROWID;
CREATE TABLE extent(
    ino INTEGER NOT NULL, segment INTEGER NOT NULL, gen INTEGER NOT NULL,
    allocated INTEGER NOT NULL, map BLOB NOT NULL, chunk INTEGER,
    PRIMARY KEY(ino, segment, gen)
) WITHOUT ROWID;

CREATE TABLE xattr(
    ino INTEGER NOT NULL, name BLOB NOT NULL, gen INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(ino, name, gen)
) WITHOUT ROWID;

CREATE TABLE chunk(
    number INTEGER PRIMARY KEY,
    referenced INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sequence(
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) WITHOUT ROWID;
"""

COOKIE_INDEX = """
CREATE UNIQUE INDEX entry_cookie ON entry(parent, cookie, gen);
"""

_EXTENT_CHUNK = """
CREATE INDEX extent_chunk ON extent(chunk, ino, segment) WHERE chunk IS NOT NULL;
"""

PACK_TABLES = """
CREATE TABLE blob(
    id INTEGER PRIMARY KEY,
    prefix INTEGER NOT NULL,
    block INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    refs INTEGER NOT NULL
);
CREATE INDEX blob_prefix ON blob(prefix);
CREATE INDEX blob_dead ON blob(block) WHERE refs = 0;

CREATE TABLE block(
    id INTEGER PRIMARY KEY,
    pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    stored INTEGER NOT NULL, size INTEGER NOT NULL,
    codec INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE INDEX block_pack ON block(pack);

CREATE TABLE pack(
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL
);
"""

"""What can be made anew from the packs."""

_PACKED = _EXTENT_CHUNK + PACK_TABLES

TREE_TABLES = """
CREATE TABLE branch(
    id INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL, gen INTEGER NOT NULL
);

CREATE TABLE tree(
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL, snapshot INTEGER NOT NULL,
    branch INTEGER NOT NULL, gen INTEGER NOT NULL, root INTEGER NOT NULL,
    files INTEGER NOT NULL, directories INTEGER NOT NULL,
    logical_bytes INTEGER NOT NULL, logical_bytes_high INTEGER NOT NULL
);

CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL, comment TEXT NOT NULL, automatic INTEGER NOT NULL
);

CREATE TABLE pruning(
    id INTEGER PRIMARY KEY,
    branch INTEGER NOT NULL, gen INTEGER NOT NULL
);
"""

_CHANGED = """
CREATE INDEX inode_gen ON inode(gen, ino) WHERE gen > 1;
CREATE INDEX entry_gen ON entry(gen, parent) WHERE gen > 1;
CREATE INDEX extent_gen ON extent(gen, ino) WHERE gen > 1;
CREATE INDEX xattr_gen ON xattr(gen, ino) WHERE gen > 1;
"""
"""What was written since a snapshot; a store without any has nothing in these."""

TABLES_OF_VERSION_2 = _NAMESPACE + COOKIE_INDEX + _PACKED

TABLES = TABLES_OF_VERSION_2 + TREE_TABLES + _CHANGED

TABLES_OF_VERSION_1 = _NAMESPACE.replace("NULL, chunk INTEGER,", "NULL,") + COOKIE_INDEX
"""What a store has before its upgrade."""

UPGRADE_1 = (
    """
ALTER TABLE extent ADD COLUMN chunk INTEGER;
UPDATE extent SET chunk = 0;
"""
    + _PACKED
    + "UPDATE meta SET value = 2 WHERE key = 'schema';"
)
"""From version 1 to 2. Chunk 0 does not exist: it says that one has to look at the map."""

UPGRADE_2 = TREE_TABLES + _CHANGED + f"UPDATE meta SET value = {VERSION} WHERE key = 'schema';"
"""From version 2 to 3."""

UPGRADES = {1: UPGRADE_1 + UPGRADE_2, 2: UPGRADE_2}
"""From each version to this one, inside one transaction."""

_TREES_TEMPORARY = TREE_TABLES.replace("CREATE TABLE", "CREATE TEMP TABLE")

_PACKED_TEMPORARY = """
CREATE TEMP TABLE blob(
    id INTEGER PRIMARY KEY, prefix INTEGER, block INTEGER, offset INTEGER, length INTEGER, refs INTEGER
);
CREATE TEMP TABLE block(
    id INTEGER PRIMARY KEY,
    pack INTEGER, offset INTEGER, stored INTEGER, size INTEGER, codec INTEGER, checksum INTEGER
);
CREATE TEMP TABLE pack(id INTEGER PRIMARY KEY, state INTEGER, name TEXT, size INTEGER);
CREATE TEMP VIEW extent AS SELECT *, 0 AS chunk FROM main.extent;
"""

TEMPORARY = {1: _PACKED_TEMPORARY + _TREES_TEMPORARY, 2: _TREES_TEMPORARY}
"""What a connection that may not upgrade an older store sees in the place of the tables that it lacks."""
