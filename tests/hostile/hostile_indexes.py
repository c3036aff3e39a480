"""Rows and schemas with right page checksums that no honest index has."""

import os

from msgspec.msgpack import encode

from tests.hostile.crafting import FOLDER, Workshop, hostile

BIG = 2**63 - 1


def _row(name: str, words: str, *statements: str, opens: bool | None = None) -> None:
    def craft(shop: Workshop) -> None:
        for statement in statements:
            shop.sql(statement)

    craft.__name__ = f"index_{name}"
    hostile(words, opens=opens)(craft)


FILES = "mode>>12=8"
FOLDERS = "mode>>12=4 AND ino>1"

# Wrong types, and numbers that are out of all bounds.
_row("size_of_text", "row|table inode", f"UPDATE inode SET size='much' WHERE {FILES}")
_row("size_of_bytes", "row|table inode", f"UPDATE inode SET size=x'00ff' WHERE {FILES}")
_row("size_of_a_float", "row|table inode", f"UPDATE inode SET size=1.5 WHERE {FILES}")
_row("size_negative", "bounds|cannot be", f"UPDATE inode SET size=-1 WHERE {FILES}")
_row("size_huge", "allocated|size|logical", f"UPDATE inode SET size={BIG} WHERE {FILES}")
_row("allocated_huge", "allocated", f"UPDATE inode SET allocated={BIG} WHERE {FILES}")
_row("mode_huge", "bounds|cannot be", f"UPDATE inode SET mode={BIG} WHERE {FILES}")
_row("mode_of_no_kind", "type does not exist|mode", f"UPDATE inode SET mode=0170644 WHERE {FILES}")
_row("owner_negative", "bounds|cannot be", "UPDATE inode SET uid=-5, gid=-5")
_row("links_huge", "bounds|cannot be", f"UPDATE inode SET nlink={BIG} WHERE {FILES}")
_row("links_negative", "bounds|cannot be", f"UPDATE inode SET nlink=-1 WHERE {FILES}")
_row("links_none", "links|totals", f"UPDATE inode SET nlink=0 WHERE {FILES}")
_row("rdev_negative", "bounds|cannot be", f"UPDATE inode SET rdev=-1 WHERE {FILES}")
_row("times_at_the_end", "", f"UPDATE inode SET atime={BIG}, mtime=-{BIG}-1, ctime=-{BIG}-1")
_row("times_of_text", "row", "UPDATE inode SET mtime='tomorrow'")
_row("target_of_text", "row", "UPDATE inode SET target='../outside/victim' WHERE target IS NOT NULL")
_row("target_with_a_nul", "", "UPDATE inode SET target=x'6100622f63', size=5 WHERE target IS NOT NULL")
_row("target_of_a_folder", "", f"UPDATE inode SET target=x'61' WHERE {FOLDERS}")
_row("target_missing", "target", "UPDATE inode SET target=NULL WHERE target IS NOT NULL")
_row(
    "target_of_megabytes",
    "bounds|target",
    "UPDATE inode SET target=zeroblob(30000000) WHERE target IS NOT NULL",
)
_row("root_missing", "root", "DELETE FROM inode WHERE ino=1", opens=False)
_row("root_is_a_file", "root|kind", "UPDATE inode SET mode=33188 WHERE ino=1", opens=False)
_row("root_in_itself", "", "UPDATE inode SET parent=1 WHERE ino=1")

# Names, cookies, and directories that go in circles.
for number, name in enumerate(("2e", "2e2e", "2f", "612f62", "2e2e2f2e2e2f6f757473696465", "00", "6100", "")):
    _row(f"name_{number}", "name|bounds|row", f"UPDATE entry SET name=x'{name}' WHERE name=x'74657874'")
_row("name_of_text", "row", "UPDATE entry SET name='a/b' WHERE name=x'74657874'")
_row("name_of_a_number", "row|type", "UPDATE entry SET name=5 WHERE name=x'74657874'")
_row("name_of_megabytes", "bounds|name", "UPDATE entry SET name=zeroblob(3000000) WHERE name=x'74657874'")
_row("cookies_negative", "bounds|cannot be", "UPDATE entry SET cookie=-cookie")
_row("cookies_huge", "bounds|cookie", f"UPDATE entry SET cookie={BIG} WHERE cookie=3")
_row("cookies_of_text", "row", "UPDATE entry SET cookie='c' || cookie")
_row("next_cookie_behind", "cookie", "UPDATE inode SET cookie=3")
_row("kind_of_another", "kind", "UPDATE entry SET kind=4 WHERE kind=8")
_row("kind_huge", "bounds|cannot be", "UPDATE entry SET kind=500")
_row("entry_of_nobody", "does not exist", "UPDATE entry SET ino=424242 WHERE kind=8")
_row("entry_of_minus_one", "bounds|exist", "UPDATE entry SET ino=-1 WHERE kind=8")
_row("entry_of_the_root", "kind|lies|names|links", "UPDATE entry SET ino=1 WHERE kind=4")
_row("folder_in_itself", "reached|lies in", f"UPDATE inode SET parent=ino WHERE {FOLDERS}")


@hostile("directory|links")
def index_circle_of_folders(shop: Workshop) -> None:
    a, c = shop.ino("/a"), shop.ino("/a/b/c")
    shop.sql("INSERT INTO entry VALUES(?, x'7570', 1, ?, 3, 4)", c, a)


@hostile("directory|links|reached")
def index_circle_without_a_way_in(shop: Workshop) -> None:
    a, c = shop.ino("/a"), shop.ino("/a/b/c")
    shop.sql("DELETE FROM entry WHERE ino=?", a)
    shop.sql("INSERT INTO entry VALUES(?, x'7570', 1, ?, 3, 4)", c, a)
    shop.sql("UPDATE inode SET parent=? WHERE ino=?", c, a)


@hostile("directory|links")
def index_folders_with_two_names_each(shop: Workshop) -> None:
    """Without a memory of what was seen a walk would take 2 to the power of 60 steps."""
    parent = 1
    for level in range(60):
        ino = 10_000 + level
        values = (ino, FOLDER, parent)
        shop.sql("INSERT INTO inode VALUES(?, 1, ?, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, ?, 9, NULL)", *values)
        for cookie, name in ((500, b"x"), (501, b"y")):
            shop.sql("INSERT INTO entry VALUES(?, ?, 1, ?, ?, 4)", parent, name, ino, cookie)
        parent = ino


# Extents.
def _map(name: str, words: str, extents: object, size: int | None = 1000) -> None:
    def craft(shop: Workshop) -> None:
        shop.put_map(shop.ino("/a/b/small"), extents, size=size)

    craft.__name__ = f"index_map_{name}"
    hostile(words)(craft)


DECODED = "decoded|cannot|segment"
_map("of_text", "row", "text")
_map("of_a_number", "row", 5)
_map("of_nothing", "decoded|bounds|row", b"")
_map("of_zeros", DECODED, bytes(1000))
_map("length_0", DECODED, [[2, 0, 0]])
_map("length_negative", DECODED, [[2, -5, 0]])
_map("length_huge", DECODED, [[2, BIG, 7], [2, BIG, 7]])
_map("past_the_segment", DECODED, [[2, 1 << 24, 7], [2, 1, 7]], 1 << 30)
_map("past_the_size", "past|size", [[2, 1 << 20, 7]], 10)
_map("of_four_billion", DECODED, b"\xdd\xff\xff\xff\xff" + bytes(100))
_map("deep", DECODED, b"\x91" * 200_000)
_map("of_unknown_kind", DECODED, [[77, 1, 2, 3]])
_map("byte_300", DECODED, [[2, 5, 300]])
_map("in_no_chunk", "chunk", [[1, 1000, 99_999, 64, 104]])
_map("in_chunk_0", "", [[1, 1000, 0, 0, 0]], 1000)
_map("outside_of_a_chunk", "chunk", [[1, 1000, 1, 60_000_000, 60_000_100]])
_map("at_2_63", DECODED, [[1, 1000, 1, BIG, BIG]])
_map("in_no_blob", "blob", [[3, 1000, 999_999, 0]])
_map("outside_of_a_blob", "blob", [[3, 1000, 1, 60_000_000]])
_map("blob_0", "blob", [[3, 1000, 0, 0]])


@hostile("extents|segment")
def index_map_of_three_million_extents(shop: Workshop) -> None:
    body = b"\xdd" + (3_000_000).to_bytes(4, "big") + encode([2, 1, 7]) * 1_500_000 * 2
    shop.put_map(shop.ino("/a/b/small"), body, size=3_000_000)


@hostile("bounds|past|segment")
def index_segment_far_away(shop: Workshop) -> None:
    shop.put_map(shop.ino("/a/b/small"), [[2, 100, 7]], segment=2**50)


@hostile("bounds|past|segment")
def index_segment_negative(shop: Workshop) -> None:
    shop.put_map(shop.ino("/a/b/small"), [[2, 100, 7]], segment=-1)


# Extended attributes.
_row("xattr_of_100_megabytes", "big|bounds|large", "UPDATE xattr SET value=zeroblob(100000000)")
_row("xattr_of_text", "row", "UPDATE xattr SET value='text'")
_row("xattr_name_of_text", "row", "UPDATE xattr SET name='user.x'")
_row("xattr_of_nobody", "attribute", "UPDATE xattr SET ino=4711")
_row(
    "xattrs_without_end",
    "",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40000)"
    " INSERT INTO xattr SELECT (SELECT ino FROM xattr), CAST('user.' || i AS BLOB), 1, x'00' FROM n",
)

# The store's own numbers.
_row("meta_without_lsn", "how much of the log", "DELETE FROM meta WHERE key='lsn'", opens=False)
_row("meta_without_schema", "schema", "DELETE FROM meta WHERE key='schema'", opens=False)
_row("meta_of_text", "cannot be", "UPDATE meta SET value='x' WHERE key='lsn'", opens=False)
_row("meta_negative", "cannot be", "UPDATE meta SET value=-1 WHERE key='lsn'", opens=False)
_row("meta_lsn_ahead", "log", "UPDATE meta SET value=value+1000 WHERE key='lsn'", opens=False)
_row("meta_lsn_at_the_end", "cannot be|log", f"UPDATE meta SET value={BIG} WHERE key='lsn'", opens=False)
_row("meta_place_elsewhere", "", "UPDATE meta SET value=value+7 WHERE key IN ('frame', 'start')")
_row("meta_place_far_away", "", "UPDATE meta SET value=1<<60 WHERE key IN ('chunk', 'frame', 'start')")
_row("meta_totals_negative", "cannot be", "UPDATE meta SET value=-5 WHERE key='files'", opens=False)
_row("meta_totals_huge", "totals", "UPDATE meta SET value=1<<61 WHERE key IN ('files', 'logical_bytes_high')")
_row("meta_key_of_bytes", "cannot be|utf|row", "INSERT INTO meta VALUES(x'ff00', 5)", opens=False)
_row(
    "meta_key_not_utf_8",
    "cannot be|utf|row",
    "INSERT INTO meta VALUES(CAST(x'ff80' AS TEXT), 5)",
    opens=False,
)
_row("numbers_at_the_end", "", "UPDATE meta SET value=(1<<62)-5 WHERE key LIKE 'next%'")
_row("numbers_behind", "next_", "UPDATE meta SET value=1 WHERE key LIKE 'next%'")
_row("sequence_behind", "sequence|next", "UPDATE sequence SET next=1")
_row("sequence_missing", "sequence|next|cannot", "DELETE FROM sequence")
_row("sequence_of_text", "cannot be", "UPDATE sequence SET next='x'", opens=False)
_row("sequence_at_the_end", "", "UPDATE sequence SET next=1<<62")
_row("chunk_of_text", "row", "INSERT OR REPLACE INTO chunk VALUES(1, 'many')")
_row("chunk_negative", "bounds|cannot be", "INSERT OR REPLACE INTO chunk VALUES(-1, -5)")
_row("generations_of_text", "generation 'one'", "UPDATE inode SET gen='one'", opens=False)
_row("generations_far_away", "generation 1099511627776", "UPDATE inode SET gen=1<<40", opens=False)


# The schema.
def _schema(name: str, words: str, *statements: str) -> None:
    _row(f"schema_{name}", words, *statements, opens=False)


_schema(
    "trigger",
    "trigger",
    "CREATE TRIGGER bad AFTER INSERT ON inode BEGIN DELETE FROM entry; END",
)
_schema("view", "view", "CREATE VIEW bad AS SELECT * FROM inode")
_schema(
    "table_is_a_view",
    "meta|inode|view|table",
    "ALTER TABLE xattr RENAME TO other",
    "CREATE VIEW xattr AS SELECT * FROM other",
)
_schema("virtual_table", "table", "CREATE VIRTUAL TABLE bad USING fts5(x)")
_schema("other_columns", "xattr", "DROP TABLE xattr", "CREATE TABLE xattr(name, value)")
_schema("generated_column", "xattr", "ALTER TABLE xattr ADD COLUMN more AS (hex(zeroblob(1000)))")
_schema(
    "check", "chunk", "DROP TABLE chunk", "CREATE TABLE chunk(number, referenced CHECK(randomblob(9)<>1))"
)
_schema("index_on_an_expression", "index", "CREATE INDEX bad ON inode(abs(mode))")
_schema("table_missing", "no such table", "DROP TABLE inode")
_schema("table_more", "table", "CREATE TABLE bad(x)")
_schema("meta_is_missing", "meta", "DROP TABLE meta")


@hostile("malformed|index|schema|table", opens=False)
def index_schema_of_nonsense(shop: Workshop) -> None:
    shop.schema("UPDATE sqlite_schema SET sql='CREATE TABLE inode(' WHERE name='inode'")


@hostile("malformed|index|schema|table", opens=False)
def index_schema_with_a_root_elsewhere(shop: Workshop) -> None:
    shop.schema("UPDATE sqlite_schema SET rootpage=4000000 WHERE name='inode'")


@hostile("", opens=None)
def index_tables_share_their_pages(shop: Workshop) -> None:
    shop.schema(
        "UPDATE sqlite_schema SET rootpage=(SELECT rootpage FROM sqlite_schema WHERE name='xattr')"
        " WHERE name='entry'"
    )


@hostile("malformed|index|database", opens=False)
def index_of_zeros(shop: Workshop) -> None:
    size = (shop.store / "index.db").stat().st_size
    (shop.store / "index.db").write_bytes(bytes(size))


@hostile("schema|meta", opens=False)
def index_empty(shop: Workshop) -> None:
    (shop.store / "index.db").write_bytes(b"")


@hostile("", opens=None)
def index_of_a_terabyte(shop: Workshop) -> None:
    os.truncate(shop.store / "index.db", 1 << 40)


@hostile("malformed|index|database|file", opens=False)
def index_says_other_page_sizes(shop: Workshop) -> None:
    with open(shop.store / "index.db", "r+b") as file:
        file.seek(16)
        file.write(b"\x02\x00")
