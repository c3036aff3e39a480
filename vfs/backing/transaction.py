"""The rows that one transaction of the index reads, writes and removes: the namespace's.

Never commits: `Index.transaction` does. Never interprets a mode, a name or an extent map.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apsw

from vfs.backing.packed import PackedTransaction
from vfs.backing.trees import FIRST_CHAIN, LIVE, Branch, Chain, Snapshot, Tree, split_bits
from vfs.numbers import LOCAL_MASK, MAIN_TREE, TREE_SHIFT

InodeRow = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, bytes | None]
"""ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target."""

INODE_COLUMNS = (
    "ino, mode, uid, gid, nlink, size, allocated, rdev, atime, mtime, ctime, birth, parent, cookie, target"
)
SELECT_SEGMENT = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen<=? ORDER BY gen DESC LIMIT 1"


EMPTY_MAP = b"\x90"
"""The map of a segment that is all hole: where older rows show below it, what removes them."""

_SELECT_MODE = "SELECT mode FROM inode WHERE ino=? AND gen<=? ORDER BY gen DESC LIMIT 1"
_SELECT_COOKIE = (
    "SELECT cookie, kind FROM entry WHERE parent=? AND name=? AND gen<=? ORDER BY gen DESC LIMIT 1"
)
_SELECT_SEGMENTS = (
    "SELECT segment, map, max(gen) FROM extent WHERE ino=? AND segment>=? AND gen<=? GROUP BY segment"
)
_SELECT_FLOORS = (
    "SELECT branch, max(gen) FROM"
    " (SELECT branch, gen FROM tree UNION ALL SELECT parent, gen FROM branch) WHERE gen<? GROUP BY branch"
)
"""The newest reader of each branch that is no live tree (`readers.py`); at each checkpoint, so not by loading
all of them."""

_SELECT_ATTRIBUTE = "SELECT name FROM xattr WHERE ino=? AND gen<=? ORDER BY gen DESC, name LIMIT 1"


class Transaction(PackedTransaction):
    """The rows that one transaction reads, writes and removes.

    Inodes are called by their numbers, rows by those of their branch. What is removed while a snapshot, or a
    branch that one's tree forks from, still shows it leaves a tombstone. What is written takes the place of
    all older rows of its key that nobody else sees, also of those that were written before a snapshot which
    has gone since.
    """

    def __init__(self, connection: apsw.Connection, generation: int, chains: Mapping[int, Chain]) -> None:
        super().__init__(connection)
        self.write_as(generation, chains)

    def write_as(self, generation: int, chains: Mapping[int, Chain]) -> None:
        """From now on rows are written as of that generation, and for trees that are made so."""
        self._generation = generation
        self._chains = chains
        self._plain = len(chains) == 1 and chains.get(MAIN_TREE, ())[:1] == FIRST_CHAIN
        """Numbers are those of rows: there is only the first branch and its tree."""
        self._layered = generation > 1 or not self._plain
        """Older rows may show below those that are written."""
        self._floors: dict[int, int] | None = None

    def _floor(self, number: int) -> int:
        """The newest generation of the branch that is written to which somebody else sees: rows above it are
        only the writer's."""
        if not self._layered:
            return 0
        if self._floors is None:
            newest = dict(self.query(_SELECT_FLOORS, (LIVE,)))
            self._floors = {
                tree: min(newest.get(chain[0].base >> TREE_SHIFT, 0), self._generation - 1)
                for tree, chain in self._chains.items()
            }
        return self._floors[number >> TREE_SHIFT]

    def _replacing(self, numbers: Iterable[int]) -> list[int]:
        """Those of which older rows may be there that only the writer sees."""
        if not self._layered:
            return []
        return [number for number in numbers if self._floor(number) < self._generation - 1]

    def _row_number(self, number: int) -> int:
        if self._plain:
            return number
        return self._chains[number >> TREE_SHIFT][0].base | number & LOCAL_MASK

    def _reference(self, tree: int, number: int) -> int:
        other = number >> TREE_SHIFT
        return number & LOCAL_MASK if other == tree else number + (1 << TREE_SHIFT)

    def _below(self, number: int) -> Iterator[tuple[int, int]]:
        """(row number, most generation) of the levels below what is written now."""
        local = number & LOCAL_MASK
        for depth, (base, limit) in enumerate(self._chains[number >> TREE_SHIFT]):
            yield base | local, limit if depth else self._generation - 1

    # --- inodes -----------------------------------------------------------------------------

    def put_inodes(self, rows: Iterator[InodeRow]) -> None:
        """Insert or replace inode rows."""
        marks = ", ".join("?" * 15)
        if self._layered:
            rows = iter(kept := list(rows))
            older = [(self._row_number(ino), self._floor(ino)) for ino in self._replacing(r[0] for r in kept)]
            self._many(f"DELETE FROM inode WHERE ino=? AND gen>? AND gen<{self._generation}", older)
        self._many(
            f"INSERT OR REPLACE INTO inode({INODE_COLUMNS}, gen) VALUES({marks}, {self._generation})",
            rows if self._plain else map(self._inode_row, rows),
        )

    def _inode_row(self, row: InodeRow) -> tuple[Any, ...]:
        number, parent = row[0], row[12]
        return (
            self._row_number(number),
            *row[1:12],
            self._reference(number >> TREE_SHIFT, parent),
            *row[13:],
        )

    def drop_inodes(self, numbers: list[int]) -> None:
        """Remove inodes with their attributes; their extents are removed segment by segment."""
        keys = [(self._row_number(number), self._floor(number)) for number in numbers]
        self._many("DELETE FROM inode WHERE ino=? AND gen>?", keys)
        self._many("DELETE FROM xattr WHERE ino=? AND gen>?", keys)
        if self._layered:
            shown = filter(self._shows_inode, numbers)
            gone = [(self._row_number(number), self._generation) for number in shown]
            self._many(
                f"INSERT INTO inode({INODE_COLUMNS}, gen)"
                " VALUES(?, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, ?)",
                gone,
            )

    def _shows_inode(self, number: int) -> bool:
        for key in self._below(number):
            row = self._run(_SELECT_MODE, key).fetchone()
            if row is not None:
                return bool(row[0])
        return False

    # --- entries ----------------------------------------------------------------------------

    def put_entries(self, rows: Iterator[tuple[int, bytes, int, int, int]]) -> None:
        """Insert or replace (parent, name, ino, cookie, kind)."""
        if self._layered:
            rows = iter(kept := list(rows))
            replacing = set(self._replacing({row[0] for row in kept}))
            older = (
                (self._row_number(row[0]), row[1], self._floor(row[0])) for row in kept if row[0] in replacing
            )
            self._many(
                f"DELETE FROM entry WHERE parent=? AND name=? AND gen>? AND gen<{self._generation}", older
            )
        self._many(
            "INSERT OR REPLACE INTO entry(parent, name, ino, cookie, kind, gen)"
            f" VALUES(?, ?, ?, ?, ?, {self._generation})",
            rows if self._plain else map(self._entry_row, rows),
        )

    def _entry_row(self, row: tuple[int, bytes, int, int, int]) -> tuple[int, bytes, int, int, int]:
        parent, name, ino, cookie, kind = row
        return self._row_number(parent), name, self._reference(parent >> TREE_SHIFT, ino), cookie, kind

    def drop_entries(self, keys: Iterator[tuple[int, bytes]]) -> None:
        """Remove (parent, name)."""
        delete = "DELETE FROM entry WHERE parent=? AND name=? AND gen>?"
        if self._plain and not self._layered:
            self._many(delete, ((parent, name, 0) for parent, name in keys))
            return
        names = list(keys)
        self._many(delete, ((self._row_number(parent), name, self._floor(parent)) for parent, name in names))
        self._many(
            "INSERT INTO entry(parent, name, ino, cookie, kind, gen)"
            f" VALUES(?, ?, 0, ?, 0, {self._generation})",
            (
                (self._row_number(parent), name, cookie)
                for parent, name in names
                if (cookie := self._shown_cookie(parent, name)) is not None
            ),
        )

    def _shown_cookie(self, parent: int, name: bytes) -> int | None:
        """The cookie of an entry that shows below."""
        for key, limit in self._below(parent):
            row = self._run(_SELECT_COOKIE, (key, name, limit)).fetchone()
            if row is not None:
                return int(row[0]) if row[1] else None
        return None

    # --- segments ---------------------------------------------------------------------------

    def segment(self, ino: int, number: int) -> bytes | None:
        """The newest map of a segment, if it is of the present generation."""
        sql = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen=?"
        row = self._run(sql, (self._row_number(ino), number, self._generation)).fetchone()
        return None if row is None else row[0]

    def replaced_segments(self, ino: int, number: int) -> list[bytes]:
        """The maps of a segment that `put_segments` would replace."""
        sql = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen>?"
        return [row[0] for row in self._run(sql, (self._row_number(ino), number, self._floor(ino)))]

    def segments_from(self, ino: int, number: int) -> list[tuple[int, bytes]]:
        """(segment, map) of a file from `number` on, those that `drop_segments_from` would remove."""
        sql = "SELECT segment, map FROM extent WHERE ino=? AND segment>=? AND gen>?"
        rows: list[Any] = self._run(sql, (self._row_number(ino), number, self._floor(ino))).fetchall()
        return rows

    def put_segments(self, rows: list[tuple[int, int, int, bytes, int | None]]) -> None:
        """Insert or replace (ino, segment, allocated, map, lowest chunk that the map references)."""
        replacing = set(self._replacing({row[0] for row in rows}))
        older = ((self._row_number(r[0]), r[1], self._floor(r[0])) for r in rows if r[0] in replacing)
        self._many(
            f"DELETE FROM extent WHERE ino=? AND segment=? AND gen>? AND gen<{self._generation}", older
        )
        self._many(
            "INSERT OR REPLACE INTO extent(ino, segment, allocated, map, chunk, gen)"
            f" VALUES(?, ?, ?, ?, ?, {self._generation})",
            rows if self._plain else ((self._row_number(row[0]), *row[1:]) for row in rows),
        )

    def drop_segments_from(self, ino: int, number: int, *, hide: bool) -> None:
        """Remove a file's segments from `number` on; `hide` also those that show below."""
        key = self._row_number(ino)
        self._run("DELETE FROM extent WHERE ino=? AND segment>=? AND gen>?", (key, number, self._floor(ino)))
        if not hide or not self._layered:
            return
        shown: dict[int, bytes] = {}
        for row, limit in self._below(ino):
            for segment, encoded, _ in self._run(_SELECT_SEGMENTS, (row, number, limit)):
                shown.setdefault(segment, encoded)
        hidden = [segment for segment, encoded in shown.items() if encoded != EMPTY_MAP]
        self.put_segments([(ino, segment, 0, EMPTY_MAP, None) for segment in hidden])

    def drop_segment(self, ino: int, number: int) -> None:
        """Remove one segment."""
        key = self._row_number(ino)
        self._run("DELETE FROM extent WHERE ino=? AND segment=? AND gen=?", (key, number, self._generation))

    # --- attributes -------------------------------------------------------------------------

    def put_xattrs(self, ino: int, attributes: dict[bytes, bytes]) -> None:
        """Make these the inode's extended attributes, all others gone."""
        key = self._row_number(ino)
        self._run("DELETE FROM xattr WHERE ino=? AND gen>?", (key, self._floor(ino)))
        rows = attributes or ({b"": b""} if self._layered and self._shows_xattrs(ino) else {})
        self._many(
            f"INSERT INTO xattr(ino, name, value, gen) VALUES({key}, ?, ?, {self._generation})",
            rows.items(),
        )

    def _shows_xattrs(self, ino: int) -> bool:
        for key in self._below(ino):
            row = self._run(_SELECT_ATTRIBUTE, key).fetchone()
            if row is not None:
                return bool(row[0])
        return False

    # --- trees ------------------------------------------------------------------------------

    def put_clones(self, clones: list[tuple[Tree, Branch]]) -> None:
        """Make these the live trees beside the main one; what others wrote is left to be pruned, and what was
        written in branches that they lie on no more: a removed clone that was held is in no snapshot."""
        known = self._run("SELECT id, branch FROM tree WHERE snapshot=0 AND id<>?", (MAIN_TREE,)).fetchall()
        live = {tree.id: tree.branch for tree, _ in clones}
        left = [(tree, branch) for tree, branch in known if (tree, branch) not in live.items()]
        self.put_trees([tree for tree, _ in clones])
        self.put_branches([branch for _, branch in clones])
        self._many("INSERT INTO pruning(branch, gen) VALUES(?, ?)", ((branch, LIVE) for _, branch in left))
        self._many("DELETE FROM tree WHERE id=?", ((tree,) for tree, _ in left if tree not in live))

    def put_trees(self, trees: list[Tree]) -> None:
        """Insert or replace trees."""
        self._many(
            "INSERT OR REPLACE INTO tree VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(tree.id, tree.source, tree.snapshot, tree.branch, tree.gen, tree.root),
                    *(tree.files, tree.directories, *split_bits(tree.logical_bytes)),
                )
                for tree in trees
            ),
        )

    def put_branches(self, branches: list[Branch]) -> None:
        """Insert branches, or replace them by themselves."""
        self._many("INSERT OR REPLACE INTO branch VALUES(?, ?, ?)", branches)

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Insert or replace a snapshot."""
        self._run("INSERT OR REPLACE INTO snapshot VALUES(?, ?, ?, ?, ?)", snapshot)

    def drop_snapshot(self, snapshot: int) -> None:
        """Remove a snapshot with its trees; what only they showed is left to be pruned."""
        self._run(
            "INSERT INTO pruning(branch, gen) SELECT branch, gen FROM tree WHERE snapshot=?", (snapshot,)
        )
        self._run("DELETE FROM tree WHERE snapshot=?", (snapshot,))
        self._run("DELETE FROM snapshot WHERE id=?", (snapshot,))

    # --- the rest ---------------------------------------------------------------------------

    def put_sequences(self, sequences: dict[str, int]) -> None:
        """Insert or replace the sequences' next numbers."""
        self._many("INSERT OR REPLACE INTO sequence VALUES(?, ?)", sequences.items())

    def integrity_problems(self, progress: Callable[[], None]) -> list[str]:
        """What SQLite's own integrity check finds, empty when all is well."""
        progress()
        found = [text for (text,) in self._run("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def upgrade(self, statements: str) -> None:
        """Change the tables themselves."""
        self._run(statements)
