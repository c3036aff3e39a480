"""fsck: every invariant that links the log, the index and the extents.

Promises to write nothing (what the log has after the last checkpoint is replayed into a transaction that is
rolled back), to go on after each problem, and to need memory for the chunks' frames only, not for files.
Never repairs.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from vfs.backing.transaction import Transaction
from vfs.backing.lock import StoreLock
from vfs.backing.log import Log
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.checkpoint import write_capture
from vfs.errors import DataDamaged, IndexDamaged, LogDamaged
from vfs.filesystem import FileSystem
from vfs.inode.directory import FIRST_COOKIE
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange
from vfs.inode.inode import Inode
from vfs.inode.totals import Totals
from vfs.limits import NAME_BYTES, ROOT_INO, SEGMENT_BYTES

log = logging.getLogger("vfs")

MOST_PROBLEMS = 1000
"""Problems told one by one; more are only counted."""

UNPLACED_CHUNK = 0
"""Stands for bytes that the replay of a check holds in memory: they have no place before a checkpoint."""

ProgressCall = Callable[[int, int, str], None]
"""Told (done, total, what) now and then."""


class Problem(msgspec.Struct, frozen=True):
    """One broken invariant: a short kind, and a line that names the place."""

    kind: str
    message: str


class Report(msgspec.Struct):
    """What a check found."""

    problems: list[Problem] = msgspec.field(default_factory=list)
    problem_count: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """True when every invariant holds."""
        return not self.problem_count

    def add(self, kind: str, message: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(kind, message))


def check(path: str | Path, progress: ProgressCall | None = None) -> Report:
    """Check a store that is not mounted. Raises StoreError when it cannot be looked at (busy, no store)."""
    storage = DirectoryStorage(Path(path))
    try:
        with StoreLock.acquire(storage, read_only=True):
            return check_storage(storage, progress)
    finally:
        storage.close()


def check_storage(storage: Storage, progress: ProgressCall | None = None) -> Report:
    """Check a store whose lock the caller holds, also one that is mounted read-only."""
    report = Report()
    try:
        fs = FileSystem.open_storage(storage, read_only=True)
    except LogDamaged as error:
        report.add("log", str(error))
        return report
    except IndexDamaged as error:
        report.add("index", str(error))
        return report
    try:
        with fs.store.index.checking(writable=fs.replayed_records > 0) as transaction:
            _replay_into(fs, transaction)
            _Check(transaction, fs.log, report, progress).run()
    except IndexDamaged as error:
        report.add("index", str(error))
    finally:
        fs.store.log.close()
        fs.store.index.close()
    return report


def check_committed(fs: FileSystem, progress: ProgressCall | None = None) -> Report:
    """Check the last checkpoint of a mounted store, in any thread.

    The caller took a checkpoint just before, and keeps `reads_in_flight` above zero, so that no chunk
    goes away under the check.
    """
    report = Report()
    try:
        with fs.store.index.checking(writable=False) as transaction:
            _Check(transaction, fs.log, report, progress).run()
    except IndexDamaged as error:
        report.add("index", str(error))
    return report


def _replay_into(fs: FileSystem, transaction: Transaction) -> None:
    """Give the transaction the state after replay. The file system is of no other use afterwards."""
    if not fs.replayed_records:
        return

    def unplace(inode: Inode) -> None:
        if inode.file is not None:
            for offset, memory in inode.file.unlogged_memory():
                inode.file.settle(offset, ChunkRange(memory.length, UNPLACED_CHUNK, 0, 0))

    fs.table.tracker.settle = unplace
    fs.begin_checkpoint()
    while not fs.gather_checkpoint():
        pass
    capture = fs.table.tracker.capture
    assert capture is not None, "it was begun above"
    write_capture(transaction, capture)


class _Check:
    """One run of all checks over one view of the index."""

    def __init__(
        self, transaction: Transaction, journal: Log, report: Report, progress: ProgressCall | None
    ) -> None:
        self._query = transaction.query
        self._transaction = transaction
        self._log = journal
        self._report = report
        self._progress = progress
        self._chunks = set(journal.chunk_numbers())
        self._frames: Counter[tuple[int, int]] = Counter()

    def run(self) -> None:
        """All of them."""
        steps = (
            ("index pages", self._pages),
            ("entries", self._entries),
            ("directories", self._directories),
            ("links", self._links),
            ("extents", self._extents),
            ("attributes", self._attributes),
            ("totals", self._totals),
        )
        for done, (what, step) in enumerate(steps):
            if self._progress is not None:
                self._progress(done, len(steps), what)
            step()
        if self._progress is not None:
            self._progress(len(steps), len(steps), "done")

    def _one(self, sql: str) -> int:
        value = next(self._query(sql))[0]
        return int(value or 0)

    def _each(self, kind: str, text: str, sql: str, *arguments: int) -> None:
        """A problem for every row of a query; `text` is formatted with its columns."""
        for row in self._query(sql, arguments):
            self._report.add(kind, text.format(*row))

    def _pages(self) -> None:
        for text in self._transaction.integrity_problems(lambda: None):
            self._report.add("index", text)

    def _entries(self) -> None:
        self._each(
            "entry",
            "entry {1!r} of directory {0} names inode {2}, which does not exist",
            "SELECT e.parent, e.name, e.ino FROM entry e LEFT JOIN inode i USING (ino) WHERE i.ino IS NULL",
        )
        self._each(
            "entry",
            "entry {1!r} lies in inode {0}, which is no directory or does not exist",
            "SELECT e.parent, e.name FROM entry e LEFT JOIN inode i ON i.ino=e.parent"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 4",
        )
        self._each(
            "entry",
            "entry {1!r} of directory {0} says kind {2}, its inode says {3}",
            "SELECT e.parent, e.name, e.kind, i.mode>>12 FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind <> i.mode>>12",
        )
        self._each(
            "entry",
            "directory {0} has an entry whose name is not allowed: {1!r}",
            "SELECT parent, name FROM entry WHERE length(name)=0 OR length(name)>?"
            " OR name IN (x'2e', x'2e2e') OR instr(name, x'2f')"
            " OR instr(name, x'00') OR typeof(name)<>'blob'",
            NAME_BYTES,
        )
        self._each(
            "cookie",
            "entry {1!r} of directory {0} has cookie {2}, the directory's next one is {3}",
            "SELECT e.parent, e.name, e.cookie, i.cookie FROM entry e JOIN inode i ON i.ino=e.parent"
            " WHERE e.cookie >= i.cookie OR e.cookie < ?",
            FIRST_COOKIE,
        )

    def _directories(self) -> None:
        if not self._one(
            f"SELECT count(*) FROM inode WHERE ino={ROOT_INO} AND mode>>12 = 4 AND parent={ROOT_INO}"
        ):
            self._report.add("directory", "the root directory is missing")
        self._each(
            "directory",
            "directory {0} says it has {1} entries, it has {2}",
            "SELECT i.ino, i.size, (SELECT count(*) FROM entry e WHERE e.parent=i.ino) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.size <> n",
        )
        self._each(
            "directory",
            "directory {0} cannot be reached from the root",
            "WITH RECURSIVE reached(ino) AS (SELECT 1 UNION SELECT e.ino FROM entry e"
            " JOIN reached r ON e.parent=r.ino WHERE e.kind=4)"
            " SELECT ino FROM inode WHERE mode>>12 = 4 AND nlink>0 AND ino NOT IN (SELECT ino FROM reached)",
        )
        self._each(
            "directory",
            "directory {0} says it lies in {1}, its entry lies in {2}",
            "SELECT i.ino, i.parent, e.parent FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind=4 AND i.parent <> e.parent",
        )

    def _links(self) -> None:
        self._each(
            "links",
            "inode {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            " WHERE i.mode>>12 <> 4 GROUP BY i.ino HAVING i.nlink <> n",
        )
        self._each(
            "links",
            "directory {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, 2 + (SELECT count(*) FROM entry e WHERE e.parent=i.ino AND e.kind=4) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.nlink>0 AND i.nlink <> n",
        )
        self._each(
            "links",
            "directory {0} has {1} names instead of one",
            "SELECT i.ino, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            " WHERE i.mode>>12 = 4 GROUP BY i.ino HAVING n <> (i.nlink>0 AND i.ino<>1)",
        )

    def _extents(self) -> None:
        self._each(
            "extent",
            "segment {1} belongs to inode {0}, which is no file or does not exist",
            "SELECT x.ino, x.segment FROM extent x LEFT JOIN inode i ON i.ino=x.ino"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 8",
        )
        self._each(
            "extent",
            "inode {0} says {1} bytes are allocated, its segments say {2}",
            "SELECT i.ino, i.allocated, coalesce(sum(x.allocated), 0) AS n FROM inode i"
            " LEFT JOIN extent x ON x.ino=i.ino GROUP BY i.ino HAVING i.allocated <> n",
        )
        referenced: Counter[int] = Counter()
        count = 0
        rows = self._query(
            "SELECT x.ino, x.segment, x.allocated, x.map, i.size FROM extent x JOIN inode i ON i.ino=x.ino"
        )
        for ino, number, allocated, encoded, size in rows:
            count += 1
            self._segment(f"segment {number} of inode {ino}", number, allocated, encoded, size, referenced)
        self._report.counts["segments"] = count
        self._references(referenced)
        self._report.counts["frames"] = len(self._frames)

    def _segment(
        self, where: str, number: int, allocated: int, encoded: bytes, size: int, referenced: "Counter[int]"
    ) -> None:
        try:
            segment = ExtentMap.decode(encoded)
        except IndexDamaged as error:
            self._report.add("extent", f"{where}: {error.reason}")
            return
        if number < 0 or number * SEGMENT_BYTES + segment.length > size:
            self._report.add("extent", f"{where} reaches past the file's size {size}")
        if segment.allocated != allocated:
            self._report.add(
                "extent", f"{where} says {allocated} bytes are allocated, it has {segment.allocated}"
            )
        referenced.update(segment.references())
        for extent in segment.cut(0, segment.length):
            if isinstance(extent, ChunkRange):
                self._chunk_range(where, extent)
            elif isinstance(extent, BlobRange):
                self._report.add("extent", f"{where} names blob {extent.blob}, which does not exist")

    def _chunk_range(self, where: str, extent: ChunkRange) -> None:
        if extent.chunk == UNPLACED_CHUNK:
            return
        if extent.chunk not in self._chunks:
            self._report.add("extent", f"{where} points into chunk {extent.chunk}, which does not exist")
            return
        key = (extent.chunk, extent.frame)
        self._frames[key] += 1
        try:
            self._log.check_range(extent.chunk, extent.frame, extent.start, extent.length)
        except DataDamaged as error:
            self._report.add("extent", f"{where}: {error}")

    def _references(self, found: "Counter[int]") -> None:
        found.pop(UNPLACED_CHUNK, None)
        noted = {number: count for number, count in self._noted_references() if number != UNPLACED_CHUNK}
        for number in sorted(found.keys() | noted.keys()):
            if found[number] != noted.get(number, 0):
                self._report.add(
                    "chunk",
                    f"chunk {number} is noted with {noted.get(number, 0)} referenced bytes,"
                    f" extents name {found[number]}",
                )

    def _noted_references(self) -> Iterator[tuple[int, int]]:
        return self._query("SELECT number, referenced FROM chunk")

    def _attributes(self) -> None:
        self._each(
            "xattr",
            "attribute {1!r} belongs to inode {0}, which does not exist",
            "SELECT x.ino, x.name FROM xattr x LEFT JOIN inode i ON i.ino=x.ino WHERE i.ino IS NULL",
        )
        self._each(
            "inode",
            "symbolic link {0} has no target, or a target of another length than {1}",
            "SELECT ino, size FROM inode WHERE mode>>12 = 10 AND (target IS NULL OR length(target)<>size)",
        )
        self._each(
            "inode",
            "inode {0} has mode {1:o}, whose type does not exist",
            "SELECT ino, mode FROM inode WHERE mode>>12 NOT IN (1, 2, 4, 6, 8, 10, 12)",
        )
        self._each(
            "inode",
            "inode {0} has a negative size or number of links",
            "SELECT ino FROM inode WHERE size<0 OR nlink<0 OR allocated<0",
        )
        largest = self._one("SELECT max(ino) FROM inode")
        following = self._one("SELECT next FROM sequence WHERE name='ino'")
        if following <= largest:
            self._report.add("sequence", f"the next inode number is {following}, but inode {largest} exists")

    def _logical_bytes(self) -> int:
        # In halves: the sum may be too large for SQLite.
        files = "FROM inode WHERE mode>>12 = 8 AND nlink>0"
        high, low = (
            self._one(f"SELECT sum(size >> 32) {files}"),
            self._one(f"SELECT sum(size & 0xffffffff) {files}"),
        )
        return (high << 32) + low

    def _totals(self) -> None:
        counted = {
            "files": self._one("SELECT count(*) FROM inode WHERE mode>>12 <> 4 AND nlink>0"),
            "directories": self._one("SELECT count(*) FROM inode WHERE mode>>12 = 4 AND nlink>0"),
            "logical_bytes": self._logical_bytes(),
        }
        noted = dict(self._query("SELECT key, value FROM meta"))
        totals = Totals.from_meta(noted)
        for key, count in counted.items():
            if getattr(totals, key) != count:
                self._report.add("totals", f"{key} is noted as {getattr(totals, key)}, counted as {count}")
        if noted.get("lsn", 0) > self._log.last_lsn:
            self._report.add(
                "log", f"the index is at LSN {noted.get('lsn')}, the log ends at {self._log.last_lsn}"
            )
        self._report.counts.update(counted)
