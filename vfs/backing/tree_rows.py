"""The rows of the namespace as a tree sees them: the newest ones that lie on its own line of history.

Promises that callers know numbers of inodes and nothing of branches, generations and tombstones. What stands
in the branch of a tree comes first, then what it forks from, each up to its generation.
Never writes.

A tombstone says that nothing below it counts any more: an inode of mode 0, an entry of kind 0, a segment
whose map is empty (a hole), and a set of extended attributes that has one with the empty name.
"""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from vfs.backing.shapes import check_entry, check_inode, check_inodes, check_names, check_numbers, check_rows
from vfs.backing.transaction import INODE_COLUMNS, SELECT_SEGMENT, InodeRow
from vfs.backing.trees import LIVE, Chain, Level, Trees
from vfs.errors import IndexDamaged
from vfs.limits import XATTR_LIST_BYTES
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

EntryRow = tuple[bytes, int, int, int]
"""name, ino, cookie, kind."""

PARENT_COLUMN: Final = 12
"""Where the directory that it lies in stands in an InodeRow."""

_SELECT_INODE = f"SELECT {INODE_COLUMNS} FROM inode WHERE ino=? AND gen<=? ORDER BY gen DESC LIMIT 1"
_SELECT_ENTRY = (
    "SELECT ino, cookie, kind FROM entry WHERE parent=? AND name=? AND gen<=? ORDER BY gen DESC LIMIT 1"
)
_SELECT_NAMES = "SELECT name FROM entry WHERE parent=? AND ino=? AND gen<=?"
_SELECT_ENTRIES = (
    "SELECT name, ino, cookie, kind FROM entry e WHERE parent=? AND cookie>? AND gen<=? AND kind<>0"
)
_NEWEST = (
    " AND NOT EXISTS (SELECT 1 FROM entry n"
    " WHERE n.parent=e.parent AND n.name=e.name AND n.gen>e.gen AND n.gen<=?)"
)
_IN_ORDER = " ORDER BY cookie LIMIT ?"
_TOGETHER = 64
_ARE_THERE = (
    f"SELECT column1 FROM (VALUES{', '.join(['(?)'] * _TOGETHER)})"
    " WHERE EXISTS (SELECT 1 FROM entry WHERE parent=? AND name=column1 AND gen<=?)"
)
_SELECT_DENSE = (
    f"SELECT {INODE_COLUMNS} FROM inode WHERE ino BETWEEN ? AND ? AND gen<=? ORDER BY ino, gen LIMIT ?"
)
_SELECT_SPARSE = (
    "SELECT " + ", ".join(f"i.{column}" for column in INODE_COLUMNS.split(", ")) + " FROM json_each(?1) j"
    " CROSS JOIN inode i ON i.ino=j.value"
    " AND i.gen=(SELECT max(n.gen) FROM inode n WHERE n.ino=j.value AND n.gen<=?2)"
)
_DENSE = 4
"""Inodes that were made in a row lie in a row: reading up to so many for each that is wanted costs less than
looking for each."""

_SELECT_ALLOCATED = (
    "SELECT segment, allocated, max(gen) FROM extent WHERE ino=? AND segment>=? AND gen<=? GROUP BY segment"
)
_SELECT_NUMBERS = "SELECT DISTINCT segment FROM extent WHERE ino=? AND segment BETWEEN ? AND ? AND gen<=?"
_SELECT_XATTRS = (
    "SELECT name, value FROM xattr WHERE ino=?1 AND gen=(SELECT max(gen) FROM xattr WHERE ino=?1 AND gen<=?2)"
    f" ORDER BY name LIMIT {XATTR_LIST_BYTES // 2 + 1}"
)
_SELECT_ORPHANS = "SELECT DISTINCT ino FROM inode WHERE nlink=0"

_INODES_OF_BRANCH = "SELECT DISTINCT ino FROM inode WHERE ino BETWEEN ? AND ? AND gen>? AND gen<=?"
_INODES_SINCE = (
    "SELECT DISTINCT ino FROM inode INDEXED BY inode_gen"
    " WHERE gen>1 AND ino BETWEEN ? AND ? AND gen>? AND gen<=?"
)
_EXTENT_BETWEEN = "SELECT 1 FROM extent WHERE ino=? AND gen>? AND gen<=? LIMIT 1"
_XATTR_BETWEEN = "SELECT 1 FROM xattr WHERE ino=? AND gen>? AND gen<=? LIMIT 1"
_IS_NEWER = "SELECT 1 FROM inode INDEXED BY inode_gen WHERE gen>1 AND gen>? LIMIT 1"
_ENTRIES_OF_BRANCH = (
    "SELECT DISTINCT parent, name FROM entry WHERE parent BETWEEN ? AND ? AND gen>? AND gen<=?"
)
_ENTRIES_SINCE = (
    "SELECT DISTINCT parent, name FROM entry INDEXED BY entry_gen"
    " WHERE gen>1 AND parent BETWEEN ? AND ? AND gen>? AND gen<=?"
)


_cookie_of = itemgetter(2)


class TreeRows:
    """Reading methods of an index: numbers in, numbers out. They raise `IndexDamaged`."""

    trees: Trees

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        raise NotImplementedError

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    # --- inodes -----------------------------------------------------------------------------

    def inode(self, number: int) -> InodeRow | None:
        """The row of one inode."""
        local = number & LOCAL_MASK
        for base, limit in self.trees.chain(number):
            row: InodeRow | None = self._one(_SELECT_INODE, (base | local, limit))
            if row is not None:
                return self._seen(number, check_inode(row)) if row[1] else None
        return None

    def _seen(self, number: int, row: InodeRow) -> InodeRow:
        """The row with numbers as its tree sees them."""
        parent = row[PARENT_COLUMN]
        if row[0] == number and parent <= LOCAL_MASK and number <= LOCAL_MASK:
            return row
        parent = self.trees.parent_from_row(number, parent)
        return (number, *row[1:PARENT_COLUMN], parent, *row[PARENT_COLUMN + 1 :])  # type: ignore[return-value]

    def inode_rows(self, numbers: list[int]) -> list[InodeRow]:
        """The rows of several inodes of one tree, of those that are there: one query for each branch that has
        some of them."""
        wanted = {number & LOCAL_MASK for number in numbers}
        found: list[InodeRow] = []
        for base, limit in self.trees.chain(numbers[0]) if numbers else ():
            rows = self._newest(base, wanted, limit)
            wanted.difference_update(rows)
            tree = numbers[0] & ~LOCAL_MASK
            found += [self._seen(tree | local, row) for local, row in rows.items() if row[1]]
            if not wanted:
                break
        return found

    def _newest(self, base: int, wanted: set[int], limit: int) -> dict[int, InodeRow]:
        """By local number the newest row of each that has one in a branch."""
        least, most = min(wanted), max(wanted)
        span = most - least + 1
        if span <= _DENSE * len(wanted) and self.trees.generation == 1:
            rows = self._all(_SELECT_DENSE, (base | least, base | most, limit, span))
        else:  # many generations of one, or many that nobody wants, may lie between them
            rows = self._all(_SELECT_SPARSE, (f"[{','.join(str(base | local) for local in wanted)}]", limit))
        rows = check_inodes([row for row in rows if row[0] - base in wanted])
        return {row[0] - base: row for row in rows}

    def orphans(self) -> list[int]:
        """Inodes of live trees without a name: they were unlinked while open, or their end was cut off."""
        live: dict[int, list[int]] = {}
        for tree in self.trees.live():
            for base, _ in tree.chain:
                live.setdefault(base, []).append(tree.id)
        found = []
        for (ino,) in self._all(_SELECT_ORPHANS):
            if type(ino) is not int:
                continue
            for number in live.get(ino & ~LOCAL_MASK, ()):
                number = number << TREE_SHIFT | ino & LOCAL_MASK
                row = self.inode(number)
                if row is not None and not row[4]:
                    found.append(number)
        return found

    # --- entries ----------------------------------------------------------------------------

    def entry(self, parent: int, name: bytes) -> tuple[int, int, int] | None:
        """(ino, cookie, kind) of one name in a directory."""
        local = parent & LOCAL_MASK
        for base, limit in self.trees.chain(parent):
            row: tuple[int, int, int] | None = self._one(_SELECT_ENTRY, (base | local, name, limit))
            if row is not None:
                if not row[2]:
                    return None
                ino, cookie, kind = check_entry(row)
                return self.trees.from_row(parent >> TREE_SHIFT, ino), cookie, kind
        return None

    def names_of(self, parent: int, ino: int) -> list[bytes]:
        """The names of an inode in a directory; the time grows with the directory."""
        local = parent & LOCAL_MASK
        reference = self.trees.to_row(parent >> TREE_SHIFT, ino)
        names = [
            name
            for base, limit in self.trees.chain(parent)
            for (name,) in self._all(_SELECT_NAMES, (base | local, reference, limit))
        ]
        if self.trees.generation == 1 and parent <= LOCAL_MASK:
            return names
        return [name for name in dict.fromkeys(names) if (self.entry(parent, name) or (0,))[0] == ino]

    def entries_after(self, parent: int, cookie: int, limit: int) -> list[EntryRow]:
        """At most `limit` entries of a directory with larger cookies, in the order of cookies."""
        chain = self.trees.chain(parent)
        tree = parent >> TREE_SHIFT
        if self.trees.generation == 1 and len(chain) == 1:
            base, most = chain[0]
            key = (base | parent & LOCAL_MASK, cookie, most, limit)
            rows = self._all(_SELECT_ENTRIES + _IN_ORDER, key)
        else:
            levels = (self._level(chain, depth, parent, cookie, limit) for depth in range(len(chain)))
            rows = list(islice(merge(*levels, key=_cookie_of), limit))
        check_names(rows, cookie)
        from_row = self.trees.from_row
        return [
            row if row[1] <= LOCAL_MASK and not tree else (row[0], from_row(tree, row[1]), row[2], row[3])
            for row in rows
        ]

    def _level(
        self, chain: tuple[Level, ...], depth: int, parent: int, cookie: int, limit: int
    ) -> Iterator[EntryRow]:
        """The entries that one level of a chain adds, in the order of cookies."""
        local = parent & LOCAL_MASK
        base, most = chain[depth]
        above = [(level.base | local, level.limit) for level in chain[:depth]]
        while rows := self._all(
            _SELECT_ENTRIES + _NEWEST + _IN_ORDER, (base | local, cookie, most, most, limit)
        ):
            check_numbers("cookies", (row[2] for row in rows))
            shown = [row for row in rows if row[3]]
            for at, up_to in above:
                if shown:
                    hidden = self._there(at, up_to, [row[0] for row in shown])
                    shown = [row for row in shown if row[0] not in hidden]
            yield from shown
            if rows[-1][2] <= cookie:
                raise IndexDamaged(f"entries of directory {parent} are out of order")
            cookie = rows[-1][2]

    def _there(self, parent: int, limit: int, names: list[bytes]) -> set[bytes]:
        """Those of the names of which a branch has a row in a directory, a tombstone or not."""
        found: set[bytes] = set()
        for start in range(0, len(names), _TOGETHER):
            asked = names[start : start + _TOGETHER]
            padding = asked[:1] * (_TOGETHER - len(asked))
            found.update(name for (name,) in self._all(_ARE_THERE, (*asked, *padding, parent, limit)))
        return found

    # --- what differs -----------------------------------------------------------------------

    def is_newer_than(self, generation: int) -> bool:
        """Whether an inode was written after that generation, in whatever tree. As every change touches its
        inode, none means that nothing has changed; constant time."""
        return self._one(_IS_NEWER, (generation,)) is not None

    def changed_inodes(self, one: Chain, other: Chain) -> list[int]:
        """Local numbers of the inodes of which two lines of history may have other rows; the time grows with
        their number. As every change touches its inode, all others are the same with all that is theirs."""
        found: set[int] = set()
        for base, low, high in differences(one, other):
            sql = _INODES_OF_BRANCH if low == 0 else _INODES_SINCE
            rows = self._all(sql, (base, base | LOCAL_MASK, low, high))
            check_numbers("inodes", (row[0] for row in rows))
            found.update(row[0] & LOCAL_MASK for row in rows)
        return sorted(found)

    def inode_in(self, local: int, chain: Chain) -> InodeRow | None:
        """The row of an inode on a line of history, a tree's or not; numbers as they are stored."""
        for base, limit in chain:
            row: InodeRow | None = self._one(_SELECT_INODE, (base | local, limit))
            if row is not None:
                return check_inode(row) if row[1] else None
        return None

    def same_content(self, local: int, one: Chain, other: Chain) -> bool:
        """Whether two lines of history have the same segments and extended attributes of an inode."""
        return not any(
            self._one(sql, (base | local, low, high))
            for base, low, high in differences(one, other)
            for sql in (_EXTENT_BETWEEN, _XATTR_BETWEEN)
        )

    def changed_entries(self, one: Chain, other: Chain) -> list[tuple[int, bytes]]:
        """(local number of the directory, name) of which two lines of history may have other rows."""
        found: set[tuple[int, bytes]] = set()
        for base, low, high in differences(one, other):
            sql = _ENTRIES_OF_BRANCH if low == 0 else _ENTRIES_SINCE
            rows = self._all(sql, (base, base | LOCAL_MASK, low, high))
            check_numbers("directories", (row[0] for row in rows))
            if not all(type(row[1]) is bytes for row in rows):
                raise IndexDamaged("a row of the index has a name that is not made of bytes")
            found.update((parent & LOCAL_MASK, name) for parent, name in rows)
        return sorted(found)

    # --- content ----------------------------------------------------------------------------

    def load_segment(self, ino: int, number: int) -> bytes | None:
        """The encoded extent map of one segment of a file, None where it is a hole."""
        local = ino & LOCAL_MASK
        for base, limit in self.trees.chain(ino):
            row = self._one(SELECT_SEGMENT, (base | local, number, limit))
            if row is None:
                continue
            if type(row[0]) is not bytes:
                raise IndexDamaged(f"segment {number} of inode {ino} is not made of bytes")
            return row[0]
        return None

    def allocated_from(self, ino: int, number: int) -> int:
        """Sum of allocated bytes in a file's segments from `number` on."""
        local = ino & LOCAL_MASK
        found: dict[int, int] = {}
        for base, limit in self.trees.chain(ino):
            rows = self._all(_SELECT_ALLOCATED, (base | local, number, limit))
            check_numbers("segments", (value for row in rows for value in row[:2]))
            for segment, allocated, _ in rows:
                found.setdefault(segment, allocated)
        return sum(found.values())

    def segment_numbers(self, ino: int, first: int, last: int) -> list[int]:
        """The segments within first..last (inclusive) that have a row."""
        local = ino & LOCAL_MASK
        last = min(last, LIVE)
        found: set[int] = set()
        for base, limit in self.trees.chain(ino):
            rows = self._all(_SELECT_NUMBERS, (base | local, first, last, limit))
            check_numbers("segments", (row[0] for row in rows))
            found.update(row[0] for row in rows)
        return sorted(found)

    def xattrs(self, ino: int) -> dict[bytes, bytes]:
        """All extended attributes of an inode."""
        local = ino & LOCAL_MASK
        for base, limit in self.trees.chain(ino):
            rows = self._all(_SELECT_XATTRS, (base | local, limit))
            if not rows:
                continue
            if sum(len(name) + 1 for name, _ in check_rows("an extended attribute", rows)) > XATTR_LIST_BYTES:
                raise IndexDamaged(f"inode {ino} has too many extended attributes")
            return {name: value for name, value in rows if name}
        return {}


def differences(one: Chain, other: Chain) -> Iterator[tuple[int, int, int]]:
    """(base, low, high): rows with low < gen <= high are seen through one chain and not through the other."""
    limits, others = dict(one), dict(other)
    for base in limits.keys() | others.keys():
        low, high = sorted((limits.get(base, 0), others.get(base, 0)))
        if low < high:
            yield base, low, high
