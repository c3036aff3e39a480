"""Operations: every verb of a script, carried out on a file system on a simulated disk.

Knows the open files, reads and syncs of several clients, and a checkpoint in slices. Never counts what was
answered and never judges: lives and tests do.
"""

import os
from contextlib import suppress
from typing import Any

import apsw

from tests.crash.stages import Stages
from tests.losing import lose
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Stopped
from vfs.backing.log import SyncTicket
from vfs.backing.store import fill_store
from vfs.errors import RangeLost, VfsError
from vfs.filesystem import FileSystem
from vfs.numbers import local_of
from vfs.recovery import first_rows

CACHE_BYTES = 1 << 20
FOREVER = 1e9
CREATION = {"block_bytes": 16 << 10, "blob_bytes": 4 << 10}
"""The smallest: several blocks in a pack, several blobs in most blocks and in some files."""


def empty_store(storage: SimulatedStorage) -> None:
    """Make a store on the disk."""
    fill_store(storage, first_rows(0, 0), CREATION)


def opened(storage: SimulatedStorage, *, autopilot: bool = False, **options: Any) -> FileSystem:
    """Open the store, with nothing happening by itself unless `autopilot` takes its many checkpoints.

    Packs are made without threads, so that everything repeats.
    """
    quiet = {"cache_bytes": CACHE_BYTES, "commit_seconds": FOREVER, "pack_workers": 0}
    fs = FileSystem.open_storage(storage, **{**quiet, **options})
    fs.autopilot = autopilot
    return fs


class Operations(Stages):
    """A file system, and one method for each verb. `moment` and `durable_since` are for those who count."""

    def __init__(self, storage: SimulatedStorage, **options: Any) -> None:
        super().__init__()
        self.storage = storage
        self.options = options
        self.fs = opened(storage, **options)
        self.highest_ino = 0
        """The highest inode number in an answer."""
        self._handles: dict[int, int] = {}
        self._tickets: dict[int, tuple[SyncTicket, int]] = {}  # of clients whose sync is under way
        self._ran: dict[int, OSError | None] = {}  # of those whose worker has come back, and with what
        self._capturing = False

    def moment(self) -> int:
        """How much has been answered, for `durable_since`."""
        raise NotImplementedError

    def durable_since(self, moment: int) -> None:
        """What had been answered by then is durable."""
        raise NotImplementedError

    def synced_now(self) -> None:
        """All that was answered is durable."""
        self.durable_since(self.moment())

    def drop(self) -> None:
        """Forget the file system as a killed process would."""
        with suppress(Stopped, apsw.Error):
            self.fs.store.close()

    # --- names ------------------------------------------------------------------------------

    def _ino(self, path: str) -> int:
        return self.fs.resolve(path, follow=False).ino

    def _at(self, path: str) -> tuple[int, bytes]:
        folder, name = os.path.split(path)
        return self._ino(folder), name.encode()

    def _made(self, ino: int) -> None:
        assert local_of(ino) > self.highest_ino, "a number was used twice"
        self.highest_ino = local_of(ino)

    def _create(self, path: str) -> None:
        self._made(self.fs.mknod(*self._at(path), 0o644).ino)

    def _mkdir(self, path: str) -> None:
        self._made(self.fs.mkdir(*self._at(path), 0o755).ino)

    def _symlink(self, path: str) -> None:
        self._made(self.fs.symlink(*self._at(path), b"target of " + path.encode()).ino)

    def _fifo(self, path: str) -> None:
        self._made(self.fs.mknod(*self._at(path), 0o010600).ino)

    def _rename(self, old: str, new: str, flags: int) -> None:
        self.fs.rename(*self._at(old), *self._at(new), flags)

    def _link(self, old: str, new: str) -> None:
        self.fs.link(self._ino(old), *self._at(new))

    def _unlink(self, path: str) -> None:
        self.fs.unlink(*self._at(path))

    def _rmdir(self, path: str) -> None:
        self.fs.rmdir(*self._at(path))

    # --- attributes and contents ------------------------------------------------------------

    def _attributes(self, path: str, changes: dict[str, int]) -> None:
        self.fs.set_attributes(self._ino(path), **changes)

    def _xattr(self, path: str, name: bytes, value: bytes) -> None:
        ino = self._ino(path)
        if not value and name in self.fs.list_xattrs(ino):
            self.fs.remove_xattr(ino, name)
        else:
            self.fs.set_xattr(ino, name, value)

    def _write(self, path: str, offset: int, data: Any) -> None:
        self.fs.write(self._ino(path), offset, data.make())

    def _append(self, path: str, data: Any) -> None:
        inode = self.fs.resolve(path, follow=False)
        self.fs.write(inode.ino, inode.size, data.make())

    def _truncate(self, path: str, size: int) -> None:
        self.fs.truncate(self._ino(path), size)

    def _punch(self, path: str, offset: int, length: int) -> None:
        self.fs.punch(self._ino(path), offset, length)

    def _lose(self, path: str, offset: int, length: int) -> None:
        lose(self.fs, self.fs.resolve(path, follow=False), offset, length)

    def _clone(self, source: str, offset: int, length: int, target: str, target_offset: int) -> None:
        if self._ino(source) != self._ino(target):
            self.fs.clone_range(self._ino(source), offset, length, self._ino(target), target_offset)

    def _read(self, path: str) -> bytes | None:
        with suppress(RangeLost):
            return bytes(self.fs.read(self._ino(path), 0, 100_000))
        return None

    def _begin_read(self, path: str, client: int = 0) -> bytes | None:
        with suppress(RangeLost):
            return self.begin_slow_read(self._ino(path), client)
        return None

    def _open(self, path: str, handle: int) -> None:
        self._handles[handle] = self.fs.open(self._ino(path), os.O_RDWR).ino

    def _write_open(self, handle: int, data: Any) -> None:
        if handle in self._handles:
            self.fs.write(self._handles[handle], 30, data.make())

    def _read_open(self, handle: int) -> bytes | None:
        if handle not in self._handles:
            return None
        return bytes(self.fs.read(self._handles[handle], 0, 100_000))

    def _release(self, handle: int) -> None:
        if handle in self._handles:
            self.fs.release(self._handles.pop(handle))

    # --- durability -------------------------------------------------------------------------

    def _sync(self) -> None:
        self.fs.sync()
        self.synced_now()

    def _begin_sync(self, client: int = 0) -> None:
        self._tickets[client] = self.fs.begin_sync(), self.moment()
        self._ran.pop(client, None)

    def _run_sync(self, client: int = 0) -> None:
        """What a worker thread does, with anything before and after it."""
        if client not in self._tickets or client in self._ran:
            return
        try:
            self.fs.run_sync(self._tickets[client][0])
        except OSError as error:
            self._ran[client] = error
        else:
            self._ran[client] = None

    def _end_sync(self, client: int = 0) -> None:
        if client not in self._tickets:
            return
        self._run_sync(client)
        (ticket, moment), error = self._tickets.pop(client), self._ran.pop(client)
        self.fs.end_sync(ticket, error)
        if error is None:
            self.durable_since(moment)

    def _checkpoint(self) -> None:
        self.fs.checkpoint()
        self.synced_now()

    def _begin(self) -> None:
        self.fs.begin_checkpoint()
        self._capturing = True

    def _gather(self) -> None:
        self._slice(self.fs.gather_checkpoint)

    def _gather_rest(self) -> None:
        while self._capturing and not self._slice(self.fs.gather_checkpoint):
            pass
        self._slice(self.fs.log.sync)
        if self._capturing:
            self.synced_now()

    def _commit(self) -> None:
        self._slice(self.fs.commit_checkpoint)

    def _end(self) -> None:
        self._slice(self.fs.end_checkpoint)
        self._capturing = False

    def _slice(self, step: Any) -> Any:
        """One step of a checkpoint as the daemon takes it: it is given up when it fails."""
        if not self._capturing:
            return None
        try:
            return step()
        except VfsError:
            self._capturing = False
            self.fs.abandon_checkpoint()
            raise

    def settle(self) -> None:
        """End what is under way, so that a checkpoint can be taken or the store be closed."""
        try:
            self.end_stages()
        finally:
            if self.fs.table.tracker.capture is not None:
                self.fs.abandon_checkpoint()
            self._capturing = False

    def _reopen(self) -> None:
        self.end_stages()
        self.fs.close()
        self._handles.clear()
        self.fs = opened(self.storage, **self.options)
