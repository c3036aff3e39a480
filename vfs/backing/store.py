"""One store as a whole: its lock, superblock, index and log, made and opened in the right order.

Promises G7 (one owner, for as long as it is open), and that a store which was not created to its end is
not taken for one. Never looks into a row or a record.

Order of writes when creating: index, log and the folder of packs, then the superblock, which alone makes the
directory a store. When upgrading: the folder of packs (version 1 has none), the superblock, so that an older
version refuses the store from then on, and last the index, whose own version says whether that was done.
"""

import os
import uuid as uuids
from pathlib import Path
from typing import Any, NamedTuple

from vfs.backing.blobs import Blobs
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.index import Index
from vfs.backing.lock import StoreLock
from vfs.backing.log import Log, Place
from vfs.backing.pack_rows import PackRows
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.backing.superblock import FORMAT, Superblock
from vfs.backing.transaction import InodeRow
from vfs.errors import RepairPending, StoreNotEmpty, StoreUnreadable
from vfs.limits import MIB

REPAIR_NAME = "repair.json"
"""Says what a repair was about to do when it was cut short."""


class FirstRows(NamedTuple):
    """What the index of an empty store holds."""

    root: InodeRow
    sequences: dict[str, int]
    meta: dict[str, int]


class Store:
    """The open parts of a store. `close` gives the lock back last."""

    def __init__(
        self,
        storage: Storage,
        lock: StoreLock | None,
        superblock: Superblock,
        index: Index,
        log: Log,
        *,
        block_cache_bytes: int,
    ) -> None:
        self.storage = storage
        self.superblock = superblock
        self.index = index
        self.log = log
        self.rows = PackRows(index)
        self.blobs = Blobs(storage, superblock.uuid, self.rows, block_cache_bytes)
        self._lock = lock

    def index_bytes(self) -> int:
        """What the index takes on the disk, SQLite's own log included."""
        total = 0
        for name in (INDEX_NAME, f"{INDEX_NAME}-wal"):
            if self.storage.exists(name):
                total += self.storage.size(name)
        return total

    def keep_lock(self) -> None:
        """The store stays ours until this process has ended, beyond `close` too."""
        if self._lock is not None:
            self._lock.share()

    def close_files(self) -> None:
        """Close log, packs and index, but keep the lock."""
        self.log.close()
        self.blobs.close()
        self.rows.close()
        self.index.close()

    def close(self) -> None:
        """Close everything; nothing is written any more, except by SQLite folding in its own log."""
        self.close_files()
        self.storage.wait_until_freed()  # who opens it next must not see chunks go that are listed still
        if self._lock is not None:
            self._lock.release()
        self.storage.close()


def create_store(path: Path, rows: FirstRows, options: dict[str, Any] | None = None) -> None:
    """Make the directory of a new store (it may exist, when it is empty) with index, log and superblock."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        if os.listdir(path):
            raise StoreNotEmpty(path)
        storage = DirectoryStorage(path)
        try:
            fill_store(storage, rows, options)
        finally:
            storage.close()
    except FileExistsError:
        raise StoreNotEmpty(path, "is not a directory") from None
    except OSError as error:
        raise StoreUnreadable(path, error.strerror or str(error)) from error


def fill_store(storage: Storage, rows: FirstRows, options: dict[str, Any] | None = None) -> None:
    """Write what an empty store consists of; `options` are kept in its superblock."""
    uuid = uuids.uuid4().bytes
    index = Index.create(storage)
    with index.transaction() as transaction:
        transaction.put_inodes(iter([rows.root]))
        transaction.put_sequences(rows.sequences)
        transaction.put_meta(rows.meta)
    index.close()
    storage.make_folder(PACKS_FOLDER)
    Log.create(storage, uuid).close()  # syncs the store's own folder
    Superblock.create(storage, options, store_uuid=uuid)


def open_store(
    storage: Storage, *, read_only: bool, lock: StoreLock | None, block_cache_bytes: int = 16 * MIB
) -> Store:
    """Open the parts of a store that the caller has locked; replay is the caller's next step."""
    if storage.exists(REPAIR_NAME):
        raise RepairPending(storage.path)
    superblock = Superblock.read(storage)
    if superblock.format < FORMAT and not read_only:
        superblock = _upgrade(storage, superblock)
    index = Index.open(storage, read_only=read_only)
    try:
        meta = index.meta()
        lsn = meta["lsn"]
        place = Place(meta["chunk"], meta["frame"], meta["start"]) if lsn and "chunk" in meta else None
        log = Log.open(storage, superblock.uuid, after_lsn=lsn, after_place=place, read_only=read_only)
    except BaseException:
        index.close()
        raise
    return Store(storage, lock, superblock, index, log, block_cache_bytes=block_cache_bytes)


def _upgrade(storage: Storage, superblock: Superblock) -> Superblock:
    if not storage.exists(PACKS_FOLDER):
        storage.make_folder(PACKS_FOLDER)
        storage.sync_folder("")
    return superblock.upgraded(storage)
