"""The tables of branches, trees and snapshots, read as a whole.

Promises what the rows say, or `IndexDamaged` where they contradict each other. Never reads rows of files.
"""

from typing import Any

from vfs.backing.readers import Query
from vfs.backing.shapes import check_rows
from vfs.backing.trees import MOST_TREES, Branch, Snapshot, Tree, Trees, join_bits
from vfs.errors import IndexDamaged

_SELECT_TREES = (
    "SELECT id, source, snapshot, branch, gen, root,"
    " files, directories, logical_bytes, logical_bytes_high FROM tree"
)


def load_trees(query: Query, meta: dict[str, int]) -> Trees:
    """All trees of the store whose own numbers are `meta`."""
    branches = check_rows("a branch", _all(query, "SELECT id, parent, gen FROM branch", 2 * MOST_TREES))
    trees = check_rows("a tree", _all(query, _SELECT_TREES, MOST_TREES))
    snapshots = check_rows(
        "a snapshot",
        _all(query, "SELECT id, name, created, comment, automatic FROM snapshot", MOST_TREES),
    )
    return Trees.load(
        meta,
        (Branch(*row) for row in branches),
        (Tree(*(*row[:8], join_bits(row[8], row[9]))) for row in trees),
        (Snapshot(*row) for row in snapshots),
    )


def _all(query: Query, sql: str, most: int) -> list[Any]:
    """All rows; IndexDamaged where there are more than memory should be taken for."""
    found = list(query(f"{sql} LIMIT {most + 1}"))
    if len(found) > most:
        raise IndexDamaged(f"it has more than {most:,} trees, branches or snapshots")
    return found
