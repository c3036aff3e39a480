"""One commit of the index, with the log and the packs that it names, as all checks of one run see it.

Also gathers what is damaged, so that at the end the files which need it can be named. Never writes.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import Storage
from vfs.backing.transaction import Transaction
from vfs.backing.tree_tables import load_trees
from vfs.checks.report import MOST_FILES, MOST_PROBLEMS, Report
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

RowKey = tuple[int, int, int]
"""A row of a map: (ino as the row has it, segment, gen)."""

_PLAIN_SEGMENTS = (
    "SELECT x.ino, x.segment, x.gen, x.allocated, x.map, x.chunk, i.size"
    " FROM extent x JOIN inode i ON i.ino=x.ino ORDER BY x.ino, x.segment, x.gen"
)
_SEGMENTS = (
    "SELECT x.ino, x.segment, x.gen, x.allocated, x.map, x.chunk,"
    " coalesce((SELECT max(i.size) FROM main.inode i WHERE i.ino=x.ino), 0)"
    " FROM main.extent x ORDER BY x.ino, x.segment, x.gen"
)


class Query(Protocol):
    """Asks the index; gives rows."""

    def __call__(self, sql: str, arguments: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Rows of any reading statement."""


class Chunks(Protocol):
    """The chunks of a log, as the checks look at them."""

    def chunk_numbers(self) -> list[int]:
        """Those that exist, in order."""

    def check_range(self, chunk: int, frame: int, start: int, length: int) -> None:
        """DataDamaged unless that range lies in the data of a valid frame."""


class View:
    """What is looked at. `pack_files` was listed before the view of the index began.

    That order matters on a store that is in use: the row of a pack is there before its file, and goes after
    it, so a file that was listed before and exists still has a row in the view, unless it has none at all.
    """

    def __init__(
        self,
        transaction: Transaction,
        storage: Storage,
        uuid: bytes,
        journal: Chunks,
        pack_files: list[str],
        report: Report,
        *,
        last_lsn: int = 0,
    ) -> None:
        self.transaction = transaction
        self.query = transaction.query
        self.storage = storage
        self.uuid = uuid
        self.log = journal
        self.last_lsn = last_lsn
        self.pack_files = pack_files
        self.report = report
        self.meta: dict[str, int] = dict(self.query("SELECT key, value FROM meta"))
        self.trees = load_trees(self.query, self.meta)
        self.plain = self._is_plain()
        """Whether there was never a snapshot: a row is the only one of its key, and the main tree sees it."""

        self.damaged_rows: set[RowKey] = set()
        """Maps that are damaged, or name bytes that are."""
        self.damaged_blocks: set[int] = set()
        """Those that cannot be found as a whole, or have other rows than they should."""
        self.broken_blobs: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        """Blobs whose data is wrong: the block where it is, and (offset, length) of what of it is right."""
        self.sick_packs: dict[int, str] = {}
        """Packs of which something is wrong, in their file or in rows about them: the first reason."""
        self.strangers: list[str] = []
        """Files in the folder of packs that no row explains."""
        self.lost: list[tuple[RowKey, int, int]] = []
        """(map, offset in the file, length) of lost ranges, in order; INVARIANT: at most MOST_FILES."""

        self._told: set[str] = set()

    def _is_plain(self) -> bool:
        if self.trees.generation > 1:
            return False
        tables = ("branch", "tree", "snapshot", "pruning")
        return not any(self.one(f"SELECT EXISTS (SELECT 1 FROM {table})") for table in tables)

    def add_lost(self, row: RowKey, offset: int, length: int) -> None:
        """Note a lost range of a file; those of one file come in order."""
        report = self.report
        report.lost_bytes += length
        if self.lost:
            before, start, size = self.lost[-1]
            if (before[0], before[2]) == (row[0], row[2]) and start + size == offset:
                self.lost[-1] = (before, start, size + length)
                return
        report.lost_count += 1
        if len(self.lost) < MOST_FILES:
            self.lost.append((row, offset, length))

    def add_sick(self, pack: int, reason: str) -> None:
        """Something is wrong with a pack."""
        self.sick_packs.setdefault(pack, reason)

    def each_in_pack(self, kind: str, text: str, sql: str, *arguments: int) -> None:
        """As `each`; the last column is the pack that it is about."""
        for row in self.query(sql, arguments):
            self.report.add(kind, text.format(*row))
            if row[-1] is not None:
                self.add_sick(row[-1], text.format(*row))

    def one(self, sql: str) -> int:
        """The number that a query answers; nothing counts as 0."""
        return int(next(self.query(sql), (0,))[0] or 0)

    def each(self, kind: str, text: str, sql: str, *arguments: int) -> None:
        """A problem for every row of a query; `text` is formatted with its columns."""
        for row in self.query(sql, arguments):
            self.report.add(kind, text.format(*row))

    def tell_once(self, kind: str, where: str, message: str) -> None:
        """A problem, unless the same was told of another tree: most of what trees show is the same rows."""
        if not self.plain:
            if message in self._told:
                return
            if len(self._told) < MOST_PROBLEMS:
                self._told.add(message)
        self.report.add(kind, where + message)

    def segments(self) -> Iterator[tuple[int, int, int, int, bytes, int | None, int]]:
        """(ino, segment, gen, allocated, map, chunk, size) of every segment of a file, in order; `size` is
        the largest that the file has in any tree.
        """
        return self.query(_PLAIN_SEGMENTS if self.plain else _SEGMENTS)


def name_of_row(view: View, row: RowKey) -> str:
    """What to call a row of a map in a message."""
    ino, segment, gen = row
    if view.plain:
        return f"segment {segment} of inode {ino}"
    return f"segment {segment} of inode {ino & LOCAL_MASK}, {age_of_row(ino, gen)}"


def age_of_row(number: int, gen: int) -> str:
    """Which of the rows of a key is meant."""
    return f"as of generation {gen} of branch {number >> TREE_SHIFT}"


def list_packs(storage: Storage) -> list[str]:
    """Names in the folder of packs; none where there is no such folder (an older store)."""
    try:
        return storage.list(PACKS_FOLDER)
    except FileNotFoundError:
        return []
