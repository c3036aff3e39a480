"""The tables of branches, trees and snapshots, read as a whole.

Promises what the rows say, or `IndexDamaged` where they contradict each other. Never reads rows of files.
"""

from vfs.backing.readers import Query
from vfs.backing.shapes import check_rows
from vfs.backing.trees import Branch, Snapshot, Tree, Trees, join_bits

_SELECT_TREES = (
    "SELECT id, source, snapshot, branch, gen, root,"
    " files, directories, logical_bytes, logical_bytes_high FROM tree"
)


def load_trees(query: Query, meta: dict[str, int]) -> Trees:
    """All trees of the store whose own numbers are `meta`."""
    branches = check_rows("a branch", list(query("SELECT id, parent, gen FROM branch")))
    trees = check_rows("a tree", list(query(_SELECT_TREES)))
    snapshots = check_rows(
        "a snapshot", list(query("SELECT id, name, created, comment, automatic FROM snapshot"))
    )
    return Trees.load(
        meta,
        (Branch(*row) for row in branches),
        (Tree(*(*row[:8], join_bits(row[8], row[9]))) for row in trees),
        (Snapshot(*row) for row in snapshots),
    )
