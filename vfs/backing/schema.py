"""The tables of the index, `STORE/index.db`, as SQL text.

Promises that the schema is written down once, here, and explained in FORMAT.md.
Never runs a statement.

Every row of the namespace carries the generation (`gen`) it was written in as the last part of its
key. Physical places stand in extent maps (log chunks) and nowhere in the namespace.
Times are nanoseconds since 1970, signed, so that 1677 to 2262 can be said.
"""

VERSION = 1

TABLES = """
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
CREATE UNIQUE INDEX entry_cookie ON entry(parent, cookie, gen);

CREATE TABLE extent(
    ino INTEGER NOT NULL, segment INTEGER NOT NULL, gen INTEGER NOT NULL,
    allocated INTEGER NOT NULL, map BLOB NOT NULL,
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
