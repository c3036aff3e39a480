"""Branches, trees, snapshots and rows of theirs, under right checksums, that no honest store has."""

from tests.hostile.crafting import FILE, FOLDER, NOW, Workshop, hostile
from vfs.backing.trees import LIVE
from vfs.numbers import KERNEL_TREE, LAST_TREE, SNAPSHOTS_TREE, TREE_SHIFT

BIG = 2**63 - 1
FRESH = 5_000_000
MANY = (
    "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM n WHERE i<{last})"
    " INSERT INTO {table} SELECT {values} FROM n"
)


def _rows(name: str, words: str, *statements: str, opens: bool | None = None) -> None:
    def craft(shop: Workshop) -> None:
        for statement in statements:
            shop.sql(statement)

    craft.__name__ = f"tree_{name}"
    hostile(words, opens=opens, layered=True)(craft)


def _many(table: str, values: str, last: int) -> str:
    return MANY.format(table=table, values=values, last=last)


# Branches.
_rows("branch_of_itself", "branch", "UPDATE branch SET parent=id", opens=False)
_rows("branches_in_a_circle", "branch", "UPDATE branch SET parent=(SELECT max(id) FROM branch)", opens=False)
_rows("branch_of_nothing", "branch", "UPDATE branch SET parent=77777", opens=False)
_rows("branch_from_the_future", "branch|generation", f"UPDATE branch SET gen={LIVE}")
_rows(
    "branches_20_000_deep",
    "more than 10000",
    _many("branch", "i, max(i-1, 999), 1", 21_000),
    "INSERT INTO branch VALUES(999, 0, 1)",
    "UPDATE branch SET parent=21000 WHERE id<999",
    opens=False,
)
_rows("branches_without_number", "more than", _many("branch", "i, 0, 1", 400_000), opens=False)

# Trees.
_rows("of_no_branch", "branch", "UPDATE tree SET branch=77777 WHERE snapshot>0", opens=False)
_rows(
    "main_is_frozen",
    "mounted",
    "INSERT OR REPLACE INTO tree SELECT 0, 0, id, 0, 1, 1, 0, 0, 0, 0 FROM snapshot LIMIT 1",
    opens=False,
)
_rows(
    "main_elsewhere",
    "root",
    "INSERT OR REPLACE INTO tree VALUES(0, 0, 0, 0, 1<<62, 5, 0, 0, 0, 0)",
    opens=False,
)
_rows("two_on_a_branch", "same branch", "UPDATE tree SET branch=0 WHERE snapshot=0", opens=False)
_rows("frozen_in_the_future", "still to come", "UPDATE tree SET gen=1<<61 WHERE snapshot>0", opens=False)
_rows("live_up_to_a_generation", "live", "UPDATE tree SET gen=1 WHERE snapshot=0", opens=False)
_rows("of_another_source", "tree", "UPDATE tree SET source=0 WHERE snapshot>0", opens=False)
_rows("root_is_nothing", "root|entry|tree", "UPDATE tree SET root=999999 WHERE source>0")
_rows(
    "root_is_a_file",
    "root|entry|kind|leads",
    "UPDATE tree SET root=(SELECT ino FROM inode WHERE mode>>12=8 LIMIT 1) WHERE source>0",
)
_rows("totals_huge", "counted|noted", "UPDATE tree SET files=1<<61, logical_bytes_high=1<<61")
_rows("a_million", "more than", _many("tree", "i, i, 1, 0, 1, 1, 0, 0, 0, 0", 1_000_000), opens=False)
_rows("snapshots_are_gone", "snapshot", "DELETE FROM snapshot", opens=False)

_rows(
    "crowd",
    "of one snapshot",
    _many("tree", "i, i, 1, 0, 1, 1, 0, 0, 0, 0", 12_000),
    opens=False,
)

# Snapshots.
for number, name in enumerate(("..", "../../outside/victim", "\x1b[2J", "-rf")):
    _rows(
        f"snapshot_name_{number}",
        "name",
        f"UPDATE snapshot SET name=CAST(x'{name.encode().hex()}' AS TEXT) WHERE name='one'",
        opens=False,
    )
_rows(
    "snapshot_name_long",
    "cannot be",
    "UPDATE snapshot SET name=hex(zeroblob(5000000)) WHERE name='one'",
    opens=False,
)
_rows(
    "snapshot_name_not_utf_8",
    "utf|cannot",
    "UPDATE snapshot SET name=CAST(x'ff80' AS TEXT) WHERE name='one'",
    opens=False,
)
_rows("snapshot_comment_long", "cannot be", "UPDATE snapshot SET comment=hex(zeroblob(5000000))", opens=False)
_rows("snapshot_comment_of_escapes", "", "UPDATE snapshot SET comment=CAST(x'1b5b324a0a09' AS TEXT)")
_rows("snapshot_times", "", f"UPDATE snapshot SET created=-{BIG}-1 WHERE name='one'")

# What is to be pruned.
_rows("pruning_of_nothing", "", "INSERT INTO pruning(branch, gen) VALUES(77777, 5)")
_rows("pruning_of_text", "row|cannot be", "INSERT INTO pruning(branch, gen) VALUES('x', 'y')")
_rows("pruning_without_end", "", _many("pruning(branch, gen)", "i % 3, i", 100_000))

# The clock.
_rows("clock_at_the_end", "clock", "UPDATE meta SET value=1<<61 WHERE key='generation'", opens=False)
_rows(
    "clock_behind", "generation|still to come", "UPDATE meta SET value=1 WHERE key='generation'", opens=False
)
_rows("clock_is_gone", "generation|still to come", "DELETE FROM meta WHERE key='generation'", opens=False)
_rows("next_behind", "next_tree", "UPDATE meta SET value=1 WHERE key='next_tree'")
_rows("next_at_the_end", "", f"UPDATE meta SET value={LAST_TREE} WHERE key='next_tree'")

# Rows of files.
_rows(
    "extents_of_tomorrow",
    "generation",
    "UPDATE extent SET gen=99 WHERE ino=(SELECT max(ino) FROM extent)",
    opens=False,
)
_rows("rows_of_no_branch", "branch", "UPDATE inode SET ino=ino|(5000<<40) WHERE ino>(1<<40)")
_rows(
    "rows_of_the_last_branch",
    "branch",
    f"UPDATE inode SET ino=ino|({2**23 - 1}<<40) WHERE ino=(SELECT max(ino) FROM inode)",
)
_rows(
    "folder_is_a_tombstone",
    "entry|directory",
    "UPDATE inode SET mode=0, nlink=1 WHERE mode>>12=4 AND (ino & 1099511627775)>1",
)
_rows("entries_of_kind_0", "entry|names|links|history|cannot", "UPDATE entry SET kind=0 WHERE kind=8")
_rows("entries_of_nobody", "entry|exist", "UPDATE entry SET ino=0 WHERE kind=8")
_rows(
    "attributes_without_a_name",
    "xattr|attribute|removed|history",
    "INSERT INTO xattr SELECT ino, x'', gen, zeroblob(100) FROM xattr",
)
_rows("cookies_of_text", "row", "UPDATE entry SET cookie='c' || cookie")
_rows("allocated_of_text", "row", "UPDATE extent SET allocated='much'")
_rows("map_of_text", "row", "UPDATE extent SET map='text'")
for title, reference in (
    ("itself", 1 << TREE_SHIFT | 1),
    ("no_tree", 77_777 << TREE_SHIFT | 1),
    ("the_snapshots", SNAPSHOTS_TREE + 1 << TREE_SHIFT | 1),
    ("the_kernels_own", KERNEL_TREE + 1 << TREE_SHIFT | 1),
    ("beyond_all", BIG),
):
    _rows(
        f"leads_to_{title}",
        "entry|directory|root|tree|names",
        f"UPDATE entry SET ino={reference} WHERE ino>(1<<40)",
    )
    _rows(
        f"lies_in_{title}",
        "directory|tree|lies|root",
        f"UPDATE inode SET parent={reference} WHERE parent>(1<<40)",
    )


@hostile("names|directory|root|lies", layered=True)
def tree_clones_in_each_other(shop: Workshop) -> None:
    """Two that can be reached only through each other, and one that lies in itself."""
    rows = shop.sql("SELECT parent, name, ino FROM entry WHERE ino>(1<<40)")
    for parent, name, ino in rows:
        tree = (ino >> TREE_SHIFT) - 1
        ((branch,),) = shop.sql("SELECT branch FROM tree WHERE id=?", tree)
        inside = branch << TREE_SHIFT | ino & ((1 << TREE_SHIFT) - 1)
        shop.sql("UPDATE entry SET parent=?, cookie=777 WHERE parent=? AND name=?", inside, parent, name)
        shop.sql(
            "UPDATE inode SET parent=? WHERE ino=?", (tree + 1) << TREE_SHIFT | ino & 0xFFFFFFFFFF, inside
        )


@hostile("entry", opens=None)
def index_tombstones_in_a_plain_store(shop: Workshop) -> None:
    shop.sql("UPDATE entry SET kind=0, ino=0 WHERE kind=8")


# Records.
def _record(name: str, *commands: object, words: str = "cannot be applied") -> None:
    def craft(shop: Workshop) -> None:
        shop.log(*commands)

    craft.__name__ = f"tree_log_{name}"
    hostile(words, opens=False, layered=True)(craft)


def clone(
    tree: int,
    branch: int,
    source: int = 0,
    gen: int = 1,
    root: int = 1,
    *,
    replaces: bool = False,
    parent: int = 1,
) -> list[object]:
    return [15, parent, b"new", 1000, tree, branch, source, gen, root, 9, NOW, replaces]


_record("clone_huge", clone(2**30, 900))
_record("clone_twice", clone(900, 901), clone(900, 902))
_record("clone_of_no_branch", clone(900, 901, 77_777))
_record("clone_of_what_is_live", clone(900, 901, gen=LIVE))
_record("clone_of_no_root", clone(900, 901, root=999_999))
_record("clone_of_a_file", clone(900, 901, root=FRESH))
_record("clone_in_itself", clone(900, 901, parent=900 << TREE_SHIFT | 1))
_record("clone_for_nothing", clone(900, 901, replaces=True))
_record("drop_of_the_main_tree", [16, 1, b"a", 1, [], 2, NOW])
_record("drop_of_others", [16, 1, b"a", 900 << TREE_SHIFT | 1, [0, 1, 2], 2, NOW])
_record(
    "create_in_no_tree",
    [1, 900 << TREE_SHIFT | 1, b"new", 1000, 900 << TREE_SHIFT | FRESH, FILE, 0, 0, 0, NOW, 3, 1, None],
)
_record(
    "create_in_a_snapshot",
    [1, 2 << TREE_SHIFT | 1, b"new", 1000, 2 << TREE_SHIFT | FRESH, FILE, 0, 0, 0, NOW, 3, 1, None],
)
_record(
    "create_across_trees", [1, 1, b"new", 1000, 900 << TREE_SHIFT | FRESH, FOLDER, 0, 0, 0, NOW, 3, 2, None]
)
_record("write_to_a_snapshot", [8, 2 << TREE_SHIFT | 5, 0, FILE, NOW, None])
_record("truncate_in_the_snapshots", [7, SNAPSHOTS_TREE << TREE_SHIFT | 1, 0, FILE, NOW])
