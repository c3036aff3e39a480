"""Rows for whoever compares two trees: of many inodes at once, and what is called so in a directory.

Promises that the time of a question grows with the inodes that it is about, or with the rows that changed;
names are the exception: a directory has to be read through for them. Never writes.
"""

import json
from collections.abc import Collection
from typing import Final

from vfs.backing.shapes import check_inodes
from vfs.backing.transaction import INODE_COLUMNS, InodeRow
from vfs.backing.tree_rows import TreeRows, differences
from vfs.backing.trees import Chain
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

_MODE: Final = 1

_SELECT_MANY = (
    f"SELECT {INODE_COLUMNS}, max(gen) FROM inode"
    " WHERE ino IN (SELECT value FROM json_each(?)) AND gen<=? GROUP BY ino"
)
_NAMES_IN = (
    "SELECT DISTINCT name FROM entry WHERE parent=? AND gen<=? AND ino IN (SELECT value FROM json_each(?))"
)
_NAMES_ANYWHERE = (
    "SELECT DISTINCT parent, name FROM entry WHERE parent BETWEEN ? AND ? AND gen<=?"
    " AND ino IN (SELECT value FROM json_each(?))"
)
_SEGMENTS_BETWEEN = "SELECT DISTINCT segment FROM extent WHERE ino=? AND gen>? AND gen<=?"
_PARTS_OF_BRANCH = "SELECT DISTINCT ino FROM {0} WHERE ino BETWEEN ? AND ? AND gen>? AND gen<=?"
_PARTS_SINCE = (
    "SELECT DISTINCT ino FROM {0} INDEXED BY {0}_gen WHERE gen>1 AND ino BETWEEN ? AND ? AND gen>? AND gen<=?"
)


class DifferenceRows(TreeRows):
    """More reading methods of an index."""

    def inodes(self, tree: int, numbers: Collection[int]) -> dict[int, InodeRow | None]:
        """The rows of inodes of one tree, with few queries; None for those that are not there."""
        found: dict[int, InodeRow | None] = {}
        for base, limit in self.trees.chain(tree << TREE_SHIFT):
            wanted = [base | number & LOCAL_MASK for number in numbers if number not in found]
            rows = self._all(_SELECT_MANY, (json.dumps(wanted), limit)) if wanted else []
            there = check_inodes([row[:-1] for row in rows if row[_MODE]])
            found.update((tree << TREE_SHIFT | row[0] & LOCAL_MASK, None) for row in rows)
            for row in there:
                number = tree << TREE_SHIFT | row[0] & LOCAL_MASK
                found[number] = self._seen(number, row)
        return {number: found.get(number) for number in numbers}

    def changed_parts(self, one: Chain, other: Chain) -> set[int]:
        """Local numbers of the inodes of which two lines of history may have other segments or extended
        attributes."""
        found: set[int] = set()
        for base, low, high in differences(one, other):
            sql = _PARTS_OF_BRANCH if low == 0 else _PARTS_SINCE
            for table in ("extent", "xattr"):
                rows = self._all(sql.format(table), (base, base | LOCAL_MASK, low, high))
                found.update(row[0] & LOCAL_MASK for row in rows)
        return found

    def changed_segments(self, one: Chain, other: Chain, local: int) -> list[int]:
        """The segments of a file of which two lines of history may have other maps."""
        found: set[int] = set()
        for base, low, high in differences(one, other):
            found.update(row[0] for row in self._all(_SEGMENTS_BETWEEN, (base | local, low, high)))
        return sorted(found)

    def names_in(self, parent: int, numbers: Collection[int]) -> list[tuple[bytes, int]]:
        """(name, number) of those inodes in a directory, which is read through once for all of them."""
        tree, local = parent >> TREE_SHIFT, parent & LOCAL_MASK
        references = json.dumps([self.trees.to_row(tree, number) for number in numbers])
        names: set[bytes] = set()
        for base, limit in self.trees.chain(parent):
            names.update(row[0] for row in self._all(_NAMES_IN, (base | local, limit, references)))
        found = ((name, self.entry(parent, name)) for name in sorted(names))
        return [(name, entry[0]) for name, entry in found if entry is not None and entry[0] in numbers]

    def names_anywhere(self, tree: int, numbers: Collection[int]) -> list[tuple[int, bytes, int]]:
        """(directory, name, number) of those inodes in a whole tree, all of whose names are read through."""
        references = json.dumps([number & LOCAL_MASK for number in numbers])
        names: set[tuple[int, bytes]] = set()
        for base, limit in self.trees.chain(tree << TREE_SHIFT):
            key = (base, base | LOCAL_MASK, limit, references)
            names.update((row[0] & LOCAL_MASK, row[1]) for row in self._all(_NAMES_ANYWHERE, key))
        places = [(tree << TREE_SHIFT | parent, name) for parent, name in sorted(names)]
        found = ((parent, name, self.entry(parent, name)) for parent, name in places)
        return [
            (parent, name, entry[0])
            for parent, name, entry in found
            if entry is not None and entry[0] in numbers
        ]
