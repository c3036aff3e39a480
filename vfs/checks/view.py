"""One commit of the index, with the log and the packs that it names, as all checks of one run see it.

Also gathers what is damaged, so that at the end the files which need it can be named. Never writes.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import Storage
from vfs.backing.transaction import Transaction
from vfs.checks.report import MOST_FILES, Report


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

        self.damaged_rows: set[tuple[int, int]] = set()
        """(inode, segment) of maps that are damaged, or name bytes that are."""
        self.damaged_blocks: set[int] = set()
        """Those that cannot be found as a whole, or have other rows than they should."""
        self.broken_blobs: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        """Blobs whose data is wrong: the block where it is, and (offset, length) of what of it is right."""
        self.sick_packs: dict[int, str] = {}
        """Packs of which something is wrong, in their file or in rows about them: the first reason."""
        self.strangers: list[str] = []
        """Files in the folder of packs that no row explains."""
        self.lost: list[tuple[int, int, int]] = []
        """(inode, offset, length) of lost ranges, in order; INVARIANT: at most MOST_FILES, no two touch."""

    def add_lost(self, ino: int, offset: int, length: int) -> None:
        """Note a lost range of a file; those of one file come in order."""
        report = self.report
        report.lost_bytes += length
        if self.lost:
            before, start, size = self.lost[-1]
            if before == ino and start + size == offset:
                self.lost[-1] = (ino, start, size + length)
                return
        report.lost_count += 1
        if len(self.lost) < MOST_FILES:
            self.lost.append((ino, offset, length))

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

    def segments(self) -> Iterator[tuple[int, int, int, bytes, int | None, int]]:
        """(ino, segment, allocated, map, chunk, the file's size) of every segment of a file, in order."""
        return self.query(
            "SELECT x.ino, x.segment, x.allocated, x.map, x.chunk, i.size"
            " FROM extent x JOIN inode i ON i.ino=x.ino ORDER BY x.ino, x.segment"
        )


def list_packs(storage: Storage) -> list[str]:
    """Names in the folder of packs; none where there is no such folder (an older store)."""
    try:
        return storage.list(PACKS_FOLDER)
    except FileNotFoundError:
        return []
