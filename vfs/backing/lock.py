"""One owner at a time: an flock on STORE/lock, held for the owner's life, with its pid inside.

The kernel drops the lock with the process, so a dead owner blocks nobody; the pid is only for the message.
The file is never removed, since two processes could then hold locks on two files of that name. Who asks
whether there is an owner (`mount/owner.py`) has the lock shared for that moment, and is no owner.
"""

import errno
import fcntl
import os
import time
from types import TracebackType

from vfs.backing.file_names import LOCK_BYTES, LOCK_NAME
from vfs.backing.sqlite_files import refuse_stranger
from vfs.backing.storage import DirectoryStorage
from vfs.errors import StoreBusy, StoreUnreadable

NAME = LOCK_NAME

LOOKERS_SECONDS = 10.0
"""How long those are waited for who only ask for an owner: they let go at once, unless they are stopped."""

LOOK_SECONDS = 0.005


class StoreLock:
    """The lock of a store while it is held. A context manager, and usable without."""

    def __init__(self, descriptor: int, *, recorded: bool) -> None:
        self._fd = descriptor
        self._recorded = recorded

    @classmethod
    def acquire(cls, storage: DirectoryStorage, *, read_only: bool = False) -> "StoreLock":
        """Take the lock or raise StoreBusy with the owner's pid, without waiting for the owner.

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
            _take(descriptor)
        except BlockingIOError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise StoreBusy(storage.path, pid) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
        lock = cls(descriptor, recorded=writable)
        try:
            lock.record_pid()
        except OSError as error:
            # A full disk is no reason to refuse an owner: the lock holds, its pid just stays unknown to
            # others.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                lock.release()
                raise StoreUnreadable(storage.path, f"its lock: {error.strerror}") from error
        return lock

    def record_pid(self) -> None:
        """Write this process's pid into the file; again after a fork whose child carries the lock on."""
        if self._recorded:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def share(self) -> "StoreLock":
        """A second hold on the same lock: the store is free when both are released."""
        return StoreLock(os.dup(self._fd), recorded=self._recorded)

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


def _take(descriptor: int) -> None:
    """Lock it. BlockingIOError when somebody owns it."""
    end = time.monotonic() + LOOKERS_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Refused by an owner we are refused this too; else it was somebody who looks.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            if time.monotonic() > end:
                raise
        time.sleep(LOOK_SECONDS)


def _read_pid(descriptor: int) -> int | None:
    try:
        pid = int(os.pread(descriptor, LOCK_BYTES, 0))
    except (ValueError, OSError):
        return None
    return pid if pid > 0 else None
