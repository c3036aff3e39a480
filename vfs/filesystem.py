"""One mounted store: all operations in one object, opened and closed safely.

Promises that opening recovers everything acknowledged, and that closing leaves an index that needs no
replay. Synchronous and owned by one thread; knows neither trio nor the kernel.
"""

import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

from vfs.backing.creation import CreationOptions
from vfs.backing.lock import StoreLock
from vfs.backing.log import SyncTicket
from vfs.backing.orphans import remove_orphans
from vfs.backing.room import reserve_bytes
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.backing.store import Store, create_store, open_store
from vfs.backing.sums import Sums, read_sums
from vfs.backing.superblock import Superblock
from vfs.collecting import Collecting
from vfs.copying import Copying
from vfs.errors import IndexUnwritten, NoSpace, StoreUnreadable
from vfs.figures import data_figures
from vfs.journal import CACHE_BYTES
from vfs.limits import NAME_BYTES
from vfs.numbers import MAIN_TREE
from vfs.paths import StrPath
from vfs.rebuilding import mend_packed_tables
from vfs.recovery import check_root, first_rows, replay
from vfs.snapshots.diffing import Diffing
from vfs.snapshots.keeping import Keeping

log = logging.getLogger("vfs")


class Statistics(NamedTuple):
    """What statvfs(3) answers: the backing disk's figures, less what is kept for deletes."""

    block_bytes: int
    blocks: int
    unused_blocks: int
    free_blocks: int
    files: int
    free_files: int
    name_bytes: int


class FileSystem(Keeping, Diffing, Copying, Collecting):
    """A store that is open. Use it in a `with` statement."""

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self._closed = False
        if not self.read_only:
            self._remove_orphans()
        main = self.table.trees.get(MAIN_TREE)
        is_live = main is not None and main.live
        records = replay(self.log, self.table) if is_live else 0  # no record changes a snapshot
        check_root(self.table)
        self.table.drop_orphans()
        self.show_snapshots()
        self.replayed_records = records
        if records:
            log.info("replayed %d records of the log", records)

    @classmethod
    def open_storage(
        cls, storage: Storage, lock: StoreLock | None = None, *, snapshot: str | None = None, **options: Any
    ) -> Self:
        """Open a store on any storage; the caller holds its lock. With `snapshot` that one in its place,
        read-only."""
        if snapshot is not None:
            options["read_only"] = True
        cache_bytes = options.get("cache_bytes", CACHE_BYTES)
        store = open_store(
            storage,
            read_only=options.get("read_only", False),
            lock=lock,
            block_cache_bytes=cache_bytes // 4,
        )
        try:
            if snapshot is not None:
                store.index.show_only(snapshot)
            if not store.index.read_only:
                mend_packed_tables(store.index, storage, store.superblock.uuid)
            return cls(store, **options)
        except BaseException:
            store.close_files()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- durability -------------------------------------------------------------------------

    def sync(self) -> None:
        """Make everything answered so far durable (fsync, syncfs)."""
        self.log.sync()

    def begin_sync(self) -> SyncTicket:
        """First step of a sync that waits elsewhere: `run_sync` in a thread, then `end_sync`."""
        return self.log.begin_sync()

    def run_sync(self, ticket: SyncTicket) -> None:
        """The waiting; for any thread."""
        self.log.run_sync(ticket)

    def end_sync(self, ticket: SyncTicket, error: BaseException | None = None) -> None:
        """Back in the owner's thread; an error makes the store read-only for good."""
        self.log.end_sync(ticket, error)

    def close(self) -> None:
        """Checkpoint and let the store go; after a failure only let it go. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.end_packing()
        try:
            if not self.read_only and self.failed is None:
                self._close_cleanly()
        finally:
            self.store.close()

    def _remove_orphans(self) -> None:
        try:
            removed = remove_orphans(self.store.storage, self.store.rows)
        except (OSError, NoSpace, IndexUnwritten) as error:
            log.warning("files of unfinished packs could not be removed: %s", error)
        else:
            if removed:
                log.info("removed %d files of unfinished packs", removed)

    def _close_cleanly(self) -> None:
        try:
            self.checkpoint(closing=True)
            if self.roll_log():  # else the chunk that was written last would stay, dead as it may be
                self.log.sync()
                self.remove_dead_log()
            if self.store.index.is_loose():
                self.store.index.shrink()
        except (NoSpace, IndexUnwritten) as error:
            # Nothing is lost: the log has it all, the next mount replays it.
            log.warning("no last checkpoint: %s", error)
            self.log.sync()

    # --- figures ----------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """Honest figures of the backing disk."""
        space = self.store.storage.space()
        free = max(0, space.free_bytes - reserve_bytes(space.total_bytes))
        used_files = self.table.totals.files + self.table.totals.directories
        return Statistics(
            4096,
            space.total_bytes // 4096,
            (space.free_bytes + space.kept_bytes) // 4096,
            free // 4096,
            used_files + space.free_files,
            space.free_files,
            NAME_BYTES,
        )

    def sums(self) -> Sums:
        """What the index of the last checkpoint adds up to; in any thread."""
        return read_sums(self.store.index)

    def glance(self) -> dict[str, Any]:
        """Those of its figures that can be read in any thread at any time, without the disk."""
        totals = self.table.totals
        return {
            **self.state(),
            "files": totals.files,
            "directories": totals.directories,
            **self._trees_in_all(),
            "logical_bytes": totals.logical_bytes,
            "last_lsn": self.log.last_lsn,
            "synced_lsn": self.log.synced_lsn,
            "memory_bytes": self.limiter.used_bytes,
        }

    def state(self) -> dict[str, Any]:
        """What `info` can tell without the disk: which store it is, and what is wrong with it."""
        return {
            "store": str(self.store.storage.path),
            "uuid": str(UUID(bytes=self.store.superblock.uuid)),
            "format": self.store.superblock.format,
            "read_only": self.read_only or self.failed is not None,
            "failed": None if self.failed is None else str(self.failed),
        }

    def _trees_in_all(self) -> dict[str, int]:
        return {"snapshots": len(self.table.trees.snapshots), "clones": len(self.table.clones())}

    def info(self, sums: Sums | None = None) -> dict[str, Any]:
        """What `vfs info` shows of the store itself. Data is counted as of the last checkpoint."""
        totals = self.table.totals
        return {
            **self.state(),
            "files": totals.files,
            "directories": totals.directories,
            **self._trees_in_all(),
            **data_figures(
                sums or self.sums(),
                logical_bytes=totals.logical_bytes,
                log_bytes=self.log.size_bytes,
                index_bytes=self.store.index_bytes(),
            ),
            "backlog_bytes": self.backlog_bytes,
            "cache_hits": self.blobs.cache.hits,
            "cache_misses": self.blobs.cache.misses,
            "cache_bytes": self.blobs.cache.used_bytes,
            "compression": str(self.compression),
            "chunks": len(self.log.chunk_numbers()),
            "last_lsn": self.log.last_lsn,
            "synced_lsn": self.log.synced_lsn,
            "checkpoint_lsn": self.store.index.meta()["lsn"],
            "changes_since_checkpoint": self.table.tracker.uncommitted,
            "memory_bytes": self.limiter.used_bytes,
            "memory_limit_bytes": self.limiter.limit_bytes,
        }


def mkfs(path: StrPath, options: CreationOptions | None = None) -> None:
    """Create an empty store; its root directory belongs to the caller, mode 0755."""
    fields = (options or CreationOptions()).check().to_fields()
    create_store(Path(os.fsdecode(path)), first_rows(os.getuid(), os.getgid()), fields)


def open_filesystem(path: StrPath, **options: Any) -> FileSystem:
    """Open a store: `with vfs.open(store) as fs: ...`.

    Options: `read_only` (False), `commit_seconds` (5.0), `cache_bytes` (64 MiB), and of the packer
    `compression` (as the store was made), `backlog_limit_bytes` (1 GiB), `pack_workers` (2; 0: no threads);
    `snapshot` (None): the name of one to look at, read-only; `snapdir_visible` (False): list `.snapshots`.
    Raises StoreError: no such store, not a store, in use, damaged, a newer format.
    """
    target = Path(os.fsdecode(path))
    storage = DirectoryStorage(target)
    try:
        Superblock.read(storage)  # before the lock makes its file: maybe this is no store at all
        lock = StoreLock.acquire(storage, read_only=options.get("read_only", False))
        try:
            return FileSystem.open_storage(storage, lock, **options)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        storage.close()
        raise StoreUnreadable(target, error.strerror or str(error)) from error
    except BaseException:
        storage.close()
        raise
