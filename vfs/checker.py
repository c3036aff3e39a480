"""fsck: every invariant that links the log, the index, the extents and the packs.

Promises to write nothing (what the log has after the last checkpoint is replayed into a transaction that is
rolled back), to go on after each problem, and to need 16 bytes of memory for each blob and what the tables of
one pack take, nothing for files. With `data` every byte that is stored is read and verified as well.
Never repairs. The checks themselves are in `vfs/checks/`.
"""

from pathlib import Path

from vfs.backing.lock import StoreLock
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.backing.superblock import Superblock
from vfs.backing.transaction import Transaction
from vfs.checkpoint import write_capture
from vfs.checks.damage import name_damaged_files
from vfs.checks.data import DataCheck
from vfs.checks.each_tree import check_everything, named_trees
from vfs.checks.extents import UNPLACED_CHUNK, ExtentChecks
from vfs.checks.forest import ForestChecks
from vfs.checks.history import HistoryChecks
from vfs.checks.namespace import NamespaceChecks
from vfs.checks.packs import PackChecks
from vfs.checks.report import Problem, ProgressCall, Report
from vfs.checks.rows import check_rows
from vfs.checks.steps import Step, Steps
from vfs.checks.view import View, list_packs
from vfs.errors import IndexDamaged, LogDamaged, RepairPending, StoreUnreadable
from vfs.filesystem import FileSystem
from vfs.inode.extents import ChunkRange
from vfs.inode.inode import Inode

__all__ = ["Problem", "ProgressCall", "Report", "check", "check_committed", "check_storage"]


def check(path: str | Path, progress: ProgressCall | None = None, *, data: bool = False) -> Report:
    """Check a store that is not mounted. Raises StoreError when it cannot be looked at (busy, no store)."""
    storage = DirectoryStorage(Path(path))
    try:
        Superblock.read(storage)  # before the lock makes its file: maybe this is no store at all
        with StoreLock.acquire(storage, read_only=True):
            return check_storage(storage, progress, data=data)
    except OSError as error:
        raise StoreUnreadable(storage.path, error.strerror or str(error)) from error
    finally:
        storage.close()


def check_storage(storage: Storage, progress: ProgressCall | None = None, *, data: bool = False) -> Report:
    """Check a store whose lock the caller holds, also one that is mounted read-only."""
    report = Report()
    try:
        fs = FileSystem.open_storage(storage, read_only=True)
    except RepairPending as error:
        report.add("repair", str(error))
        return report
    except LogDamaged as error:
        report.add("log", error.facts)
        return report
    except IndexDamaged as error:
        report.add("index", error.facts)
        return report
    try:
        _check(fs, report, progress, replay=True, data=data)
    finally:
        fs.store.close_files()
    return report


def check_committed(fs: FileSystem, progress: ProgressCall | None = None, *, data: bool = False) -> Report:
    """Check the last checkpoint of a mounted store, in any thread.

    The caller took a checkpoint just before, and is inside of an epoch, so that no chunk and no pack goes
    away under the check.
    """
    report = Report()
    _check(fs, report, progress, replay=False, data=data)
    return report


def _check(
    fs: FileSystem, report: Report, progress: ProgressCall | None, *, replay: bool, data: bool
) -> None:
    store = fs.store
    pack_files = list_packs(store.storage)  # before the view begins: see View
    try:
        with store.index.checking(writable=replay and fs.replayed_records > 0) as transaction:
            missing = transaction.packed_tables_missing()
            if not check_rows(transaction, report, missing):
                report.note("the rest was not looked at: rows of the index cannot be what they should be")
                return
            if replay:
                _replay_into(fs, transaction)
            if missing:
                tables = ", ".join(missing)
                report.add("index", f"tables are missing: {tables}; opening the store makes them anew")
                return
            lsn = fs.log.last_lsn
            view = View(
                transaction, store.storage, store.superblock.uuid, fs.log, pack_files, report, last_lsn=lsn
            )
            _run(view, progress, data=data)
    except IndexDamaged as error:
        report.add("index", error.facts)


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


def _run(view: View, progress: ProgressCall | None, *, data: bool) -> None:
    packs = PackChecks(view)
    begun: tuple[Step, ...] = (
        ("index pages", lambda: _pages(view)),
        ("trees", ForestChecks(view).run),
        ("history", lambda: HistoryChecks(view).run()),
        ("packed data", packs.rows),
        ("packs", packs.files),
    )
    steps = Steps(progress)
    plain = _plain_steps(view) if view.plain else ()
    steps.expect(len(begun) + (len(plain) or 1 + len(list(named_trees(view.trees)))))
    steps.run((*begun, *plain))
    if not view.plain:
        check_everything(view, steps.begin)
    _lsn(view)
    if data:
        DataCheck(view, packs.in_place, progress).run()
    name_damaged_files(view)
    steps.end()


def _plain_steps(view: View) -> tuple[Step, ...]:
    """Of a store that never had a snapshot: its tables are what its only tree shows."""
    names = NamespaceChecks(view)
    return (
        ("entries", names.entries),
        ("directories", names.directories),
        ("links", names.links),
        ("extents", ExtentChecks(view).run),
        ("files", names.contents),
        ("attributes", names.attributes),
        ("totals", lambda: names.totals(names.counted())),
    )


def _lsn(view: View) -> None:
    lsn = view.meta.get("lsn", 0)
    if lsn > view.last_lsn:
        view.report.add("log", f"the index is at LSN {lsn}, the log ends at {view.last_lsn}")


def _pages(view: View) -> None:
    for text in view.transaction.integrity_problems(lambda: None):
        view.report.add("index", text)
