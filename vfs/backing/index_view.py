"""The namespace as of one commit of the index, for a worker that reads it beside the owner.

Promises that all of it is of one moment, whatever is committed meanwhile, trees and snapshots included.
Never writes; lives within one `Index.checking`, in one thread.
"""

from typing import Any

from vfs.backing.difference_rows import DifferenceRows
from vfs.backing.shapes import check_rows
from vfs.backing.transaction import Transaction
from vfs.backing.tree_tables import load_trees


class IndexView(DifferenceRows):
    """Reading methods over a transaction. `shown`: the snapshot in the place of all that is live."""

    def __init__(self, transaction: Transaction, shown: str | None = None) -> None:
        self._query = transaction.query
        meta = dict(check_rows("the store's numbers", self._all("SELECT key, value FROM meta")))
        self.trees = load_trees(self._query, meta)
        if shown is not None:
            self.trees.restrict(shown)

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        return list(self._query(sql, arguments))

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        rows = self._all(sql, arguments)
        return rows[0] if rows else None
