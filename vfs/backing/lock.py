"""One owner at a time: an flock on STORE/lock, held for the owner's life, with its pid inside.

The kernel drops the lock with the process, so a dead owner blocks nobody; the pid is for people, and believed
when the kernel says the same. Whoever only looks (`is_owned`) keeps nobody from owning the store.
The file is never removed, since two processes could then hold locks on two files of that name.
"""

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from vfs.backing.file_names import LOCK_NAME
from vfs.backing.lock_holder import is_owned, is_there, owner_pid, try_lock
from vfs.backing.sqlite_files import refuse_stranger
from vfs.backing.storage import DirectoryStorage
from vfs.errors import StoreBusy, StoreUnreadable

NAME = LOCK_NAME

LOOK_SECONDS = 0.005
LOOKERS_SECONDS = 10.0
"""How long those are waited for who only look: they do so for microseconds, if nothing stops them."""

HEIR_SECONDS = 1.0
"""The same of whoever has the lock when its owner is not there: a program that a daemon was just starting as
it was killed has what was the daemon's until it begins, less than a millisecond if nothing stops it."""


class StoreLock:
    """The lock of a store while it is held. A context manager, and usable without."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    @classmethod
    def acquire(cls, storage: DirectoryStorage, *, read_only: bool = False) -> "StoreLock":
        """Take the lock or raise StoreBusy with the owner's pid, without waiting for one that lives.

        `read_only` also accepts a lock file that cannot be written, as on a disk that is mounted read-only.
        """
        try:
            refuse_stranger(storage.fileno(), NAME, writing=True)  # the pid is written over what is in it
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
        descriptor, writable = _open(storage, read_only)
        try:
            _lock(descriptor, storage.path)
        except StoreBusy:
            os.close(descriptor)
            raise
        except OSError as error:
            os.close(descriptor)
            raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
        lock = cls(descriptor)
        try:
            if writable:
                lock._note_pid()
        except OSError as error:
            # A full disk is no reason to refuse an owner: the lock holds.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                lock.release()
                raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
        return lock

    def _note_pid(self) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def share(self) -> "StoreLock":
        """A second hold on the same lock: the store is free when both are released."""
        return StoreLock(os.dup(self._fd))

    def release(self) -> None:
        """Let go; idempotent."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> "StoreLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open(storage: DirectoryStorage, read_only: bool) -> tuple[int, bool]:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    folder = storage.fileno()
    try:
        return os.open(NAME, flags | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=folder), True
    except OSError as error:
        if not (read_only and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)):
            raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
    try:
        return os.open(NAME, flags | os.O_RDONLY, dir_fd=folder), False
    except OSError as error:
        raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error


def _lock(descriptor: int, path: Path) -> None:
    """Lock it for us alone; StoreBusy when it has an owner."""
    begin = time.monotonic()
    while not try_lock(descriptor, fcntl.LOCK_EX):
        waited = time.monotonic() - begin
        if is_owned(descriptor):
            pid = owner_pid(descriptor)
            if is_there(pid) or waited > HEIR_SECONDS:
                raise StoreBusy(path, pid)
        elif waited > LOOKERS_SECONDS:
            raise StoreBusy(path, None)
        time.sleep(LOOK_SECONDS)  # somebody looks, or did so just then
