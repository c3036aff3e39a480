"""Lives: scripts carried out on a file system on a simulated disk, with a record of what was answered.

A life knows how many steps were answered and which of them are known to be durable; the disk may stop it
anywhere. Never judges what comes after: the tests do.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import apsw

from tests.crash.stages import Stages
from tests.crash.steps import Step
from tests.losing import lose
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Stopped
from vfs.backing.log import SyncTicket
from vfs.backing.store import fill_store
from vfs.errors import RangeLost, VfsError
from vfs.filesystem import FileSystem
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


class Life(Stages):
    """One run of a script. `answered` steps are done; those before `synced` survive a power cut."""

    def __init__(self, storage: SimulatedStorage, steps: Sequence[Step], **options: Any) -> None:
        super().__init__()
        self.storage = storage
        self.steps = steps
        self.options = options
        self.fs = opened(storage, **options)
        self.answered = 0
        self.highest_ino = 0
        """The highest inode number in an answer."""
        self._lsns = [self.fs.log.last_lsn]
        self._synced = 0
        self._handles: dict[int, int] = {}
        self._ticket: tuple[SyncTicket, int] | None = None
        self._capturing = False

    @property
    def synced(self) -> int:
        """How many answered steps are durable, as far as anybody was told."""
        while self._synced < self.answered and self._lsns[self._synced + 1] <= self.fs.log.synced_lsn:
            self._synced += 1
        return self._synced

    def run(self) -> "Life":
        """All steps."""
        while self.answered < len(self.steps):
            self.step()
        return self

    def run_to(self, number: int) -> "Life":
        """Steps until so many are answered, or until so many are left where it is negative."""
        last = number if number >= 0 else len(self.steps) + number
        while self.answered < last:
            self.step()
        return self

    def step(self) -> None:
        """The next step; whatever it raises, it counts as answered only when it returns."""
        verb, args = self.steps[self.answered]
        getattr(self, f"_{verb}")(*args)
        self.count()

    def count(self) -> None:
        """The step has been answered, maybe with an error."""
        self.answered += 1
        self._lsns.append(self.fs.log.last_lsn)

    def run_until_stopped(self) -> None:
        """All steps that the machine lets happen."""
        try:
            self.run()
        except (Stopped, VfsError, apsw.Error):
            assert self.storage.stopped

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
        assert ino > self.highest_ino, "a number was used twice"
        self.highest_ino = ino

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

    def _read(self, path: str) -> None:
        with suppress(RangeLost):
            self.fs.read(self._ino(path), 0, 100_000)

    def _begin_read(self, path: str) -> None:
        with suppress(RangeLost):
            self.begin_slow_read(self._ino(path))

    def _open(self, path: str, handle: int) -> None:
        self._handles[handle] = self.fs.open(self._ino(path), os.O_RDWR).ino

    def _write_open(self, handle: int, data: Any) -> None:
        if handle in self._handles:
            self.fs.write(self._handles[handle], 30, data.make())

    def _release(self, handle: int) -> None:
        if handle in self._handles:
            self.fs.release(self._handles.pop(handle))

    # --- durability -------------------------------------------------------------------------

    def synced_now(self) -> None:
        """All that was answered is durable."""
        self._synced = max(self._synced, self.answered)

    def _sync(self) -> None:
        self.fs.sync()
        self.synced_now()

    def _begin_sync(self) -> None:
        self._ticket = self.fs.begin_sync(), self.answered

    def _end_sync(self) -> None:
        if self._ticket is None:
            return
        ticket, answered = self._ticket
        self._ticket = None
        try:
            self.fs.run_sync(ticket)
        except OSError as error:
            self.fs.end_sync(ticket, error)
            return
        self.fs.end_sync(ticket)
        self._synced = max(self._synced, answered)

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
        self.end_stages()
        if self.fs.table.tracker.capture is not None:
            self.fs.abandon_checkpoint()
        self._capturing = False

    def _reopen(self) -> None:
        self.end_stages()
        self.fs.close()
        self._handles.clear()
        self.fs = opened(self.storage, **self.options)
