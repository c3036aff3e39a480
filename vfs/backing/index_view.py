"""The namespace as of one commit of the index, for a worker that reads it beside the owner.

Promises that all of it is of one moment, whatever is committed meanwhile, trees and snapshots included.
Never writes; lives within one `Index.checking`, in one thread.
"""

from collections.abc import Callable
from typing import Any

from vfs.backing.shapes import check_rows
from vfs.backing.transaction import Transaction
from vfs.backing.tree_rows import TreeRows
from vfs.backing.trees import Branch, Snapshot, Tree, Trees, join_bits

_SELECT_TREES = (
    "SELECT id, source, snapshot, branch, gen, root,"
    " files, directories, logical_bytes, logical_bytes_high FROM tree"
)

Read = Callable[[str], list[Any]]
"""All rows of a reading statement."""


def load_trees(read: Read, meta: dict[str, int]) -> Trees:
    """All trees and snapshots; IndexDamaged where they cannot be."""
    branches = check_rows("a branch", read("SELECT id, parent, gen FROM branch"))
    rows = check_rows("a tree", read(_SELECT_TREES))
    snapshots = check_rows("a snapshot", read("SELECT id, name, created, comment, automatic FROM snapshot"))
    trees = (Tree(*(*row[:8], join_bits(row[8], row[9]))) for row in rows)
    return Trees.load(meta, (Branch(*row) for row in branches), trees, (Snapshot(*row) for row in snapshots))


class IndexView(TreeRows):
    """Reading methods over a transaction. `shown`: the snapshot in the place of all that is live."""

    def __init__(self, transaction: Transaction, shown: str | None = None) -> None:
        self._query = transaction.query
        meta = dict(check_rows("the store's numbers", self._all("SELECT key, value FROM meta")))
        self.trees = load_trees(self._all, meta)
        if shown is not None:
            self.trees.restrict(shown)

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        return list(self._query(sql, arguments))

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        rows = self._all(sql, arguments)
        return rows[0] if rows else None
