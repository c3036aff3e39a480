"""The few calls to the operating system on which a store stands, and the real directory behind them.

`Storage` is the seam that tests replace by a simulated disk; `DirectoryStorage` is the only code that opens
files of a store. It never follows a symbolic link, never leaves its folder and never decides what a file
means.
"""

import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import apsw

from vfs.backing.descriptors import told_apart
from vfs.backing.directory_file import Buffer as Buffer
from vfs.backing.directory_file import DirectoryFile
from vfs.backing.inflight import disk_call
from vfs.backing.sqlite_files import open_database, refuse_stranger
from vfs.errors import NotAStore, StoreNotFound, StoreUnreadable

NEARLY_FULL_BYTES = 1 << 30
"""With less room, what is being freed counts."""


class Space(NamedTuple):
    """What statvfs(2) says of the disk that holds the store."""

    total_bytes: int
    free_bytes: int
    files: int
    free_files: int
    kept_bytes: int = 0  # what is free besides, but not for users


class StorageFile(Protocol):
    """One open file. All may raise OSError; all but `append` and `truncate` may be called by any thread."""

    def append(self, pieces: Sequence[Buffer]) -> None:
        """Write all pieces at the end; after an OSError nothing is promised about the tail."""

    def pread(self, length: int, offset: int) -> bytes:
        """Read; short only at the end of the file."""

    def resident(self, length: int, offset: int) -> bool:
        """Whether all of that range is in memory, so that reading it now would not wait for the disk; if not,
        the disk has been asked for it. False behind the end of the file, True where nobody can tell."""

    def pread_resident(self, length: int, offset: int) -> bytes | memoryview | None:
        """As `pread`, but None when that would wait for the disk: then it has been asked for the range. None
        as well when the file ends before the range does; just `pread` where nobody can tell what is there."""

    def truncate(self, size_bytes: int) -> None:
        """Cut or extend the file."""

    def sync(self) -> None:
        """Make content and size durable (fdatasync)."""

    def map(self) -> memoryview:
        """Return a read-only view of the whole file as long as it is now; it outlives `close`."""

    def expect_jumps(self) -> None:
        """Have the kernel fetch what is asked for and nothing around it; a hint, as `prefetch`, which whoever
        reads in order uses then."""

    def fault_in(self, length: int, offset: int) -> None:
        """Bring a mapped range into memory, so that a bad sector is an OSError here and no SIGBUS later."""

    def prefetch(self, length: int, offset: int) -> None:
        """Ask for a range that will be read soon, without waiting for it; a hint, never an error."""

    def unmap(self) -> None:
        """Give back the pages of the mapping, which nobody looks at any more."""

    def drop_cache(self, offset: int) -> None:
        """Forget clean cached pages from offset on, so that the next read sees what the disk holds."""

    def size(self) -> int:
        """Return the length in bytes."""

    def close(self) -> None:
        """Give the descriptor back; idempotent."""


class Storage(Protocol):
    """One store directory. Names are relative and '/'-separated; '' is the directory itself."""

    path: Path
    shared_index: bool
    """False: `index_connection` can serve one connection at a time (simulated disk)."""

    def create(self, name: str) -> StorageFile:
        """Create a file that must not exist yet, and open it for reading and appending."""

    def open(self, name: str, *, writable: bool = False) -> StorageFile:
        """Open a regular file."""

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing `new`."""

    def unlink(self, name: str) -> None:
        """Remove a file."""

    def free(self, step: Callable[[], None]) -> Future[None]:
        """Do something that only gives room or memory back, and may take long: in another thread, if there
        are threads, one after the other. What went wrong is in the future."""

    def wait_until_freed(self) -> None:
        """Return when all of that has been done."""

    def list(self, folder: str) -> list[str]:
        """Return the sorted names in a folder."""

    def exists(self, name: str) -> bool:
        """Tell whether anything has that name."""

    def size(self, name: str) -> int:
        """Bytes of a file, found without opening it; FileNotFoundError when there is none."""

    def make_folder(self, name: str) -> None:
        """Make a folder that must not exist yet."""

    def sync_folder(self, name: str) -> None:
        """Make the names in a folder durable."""

    def space(self) -> Space:
        """Return sizes of the disk below."""

    def index_connection(self, name: str, *, read_only: bool) -> apsw.Connection:
        """Open an SQLite database on this storage; a new one is set up to carry page checksums."""

    def close(self) -> None:
        """Give the folder back; files that are open stay open."""


class DirectoryStorage:
    """A store in a directory of the host. Everything is opened relative to its descriptor."""

    shared_index = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreNotFound(self.path) from None
        except NotADirectoryError:
            raise NotAStore(self.path, "not a directory") from None
        except OSError as error:
            raise StoreUnreadable(self.path, error.strerror or str(error)) from None
        self._folders = {"": root}
        self._folders_lock = threading.Lock()
        self._freeing = ThreadPoolExecutor(1, "vfs-unlink")  # its thread begins when it is first needed
        self._freed: Future[None] | None = None  # INVARIANT: the last that was given to it
        self._freed_lock = threading.Lock()

    def fileno(self) -> int:
        """Descriptor of the store's directory, valid until `close`."""
        return self._folders[""]

    def create(self, name: str) -> DirectoryFile:
        with disk_call("creation of", name):
            return self._open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def open(self, name: str, *, writable: bool = False) -> DirectoryFile:
        with disk_call("opening of", name):
            return self._open(name, os.O_RDWR | os.O_APPEND if writable else os.O_RDONLY)

    def rename(self, old: str, new: str) -> None:
        old_folder, old_name = self._locate(old)
        new_folder, new_name = self._locate(new)
        with disk_call("rename to", new):
            os.rename(old_name, new_name, src_dir_fd=old_folder, dst_dir_fd=new_folder)

    def unlink(self, name: str) -> None:
        folder, last = self._locate(name)
        # A file is freed with its last descriptor, which takes tens of milliseconds for 64 MiB: elsewhere.
        held = os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            with disk_call("removal of", name):
                os.unlink(last, dir_fd=folder)
        finally:
            self.free(partial(os.close, held))

    def free(self, step: Callable[[], None]) -> Future[None]:
        with self._freed_lock:  # an unlink, in that thread, gives it one more
            self._freed = self._freeing.submit(step)
            return self._freed

    def wait_until_freed(self) -> None:
        while (last := self._freed) is not None and not last.done():
            wait([last])  # an unlink has the file's room given back behind it

    def list(self, folder: str) -> list[str]:
        with disk_call("listing of", folder or "the store"):
            return sorted(os.listdir(self._folder(folder)))

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        folder, last = self._locate(name)
        return os.stat(last, dir_fd=folder, follow_symlinks=False).st_size

    def make_folder(self, name: str) -> None:
        folder, last = self._locate(name)
        with disk_call("creation of", name):
            os.mkdir(last, 0o700, dir_fd=folder)

    def sync_folder(self, name: str) -> None:
        with disk_call("sync of", name or "the store's folder"):
            os.fsync(self._folder(name))

    def space(self) -> Space:
        host = os.fstatvfs(self.fileno())
        if self._freed is not None and host.f_bavail * host.f_frsize < NEARLY_FULL_BYTES:
            self.wait_until_freed()
            host = os.fstatvfs(self.fileno())
        unit, kept = host.f_frsize, host.f_bfree - host.f_bavail
        return Space(host.f_blocks * unit, host.f_bavail * unit, host.f_files, host.f_favail, kept * unit)

    def index_connection(self, name: str, *, read_only: bool) -> apsw.Connection:
        """Open `name` with SQLite. The journal mode and the like are the index's business.

        The file is created here, because SQLite would give it (and its -wal and -shm) a mode that others can
        read.
        """
        folder, last = self._locate(name)
        if not read_only and not self.exists(name):
            self.create(name).close()
        return open_database(folder, last, read_only=read_only)

    def close(self) -> None:
        self.wait_until_freed()  # a thread that is shut down takes no more of what an unlink gives it
        self._freeing.shutdown()
        with self._folders_lock:
            for descriptor in self._folders.values():
                os.close(descriptor)
            self._folders.clear()

    def _open(self, name: str, flags: int) -> DirectoryFile:
        folder, last = self._locate(name)
        if not flags & os.O_CREAT:
            # Before it is opened, since opening alone can do something to a device.
            refuse_stranger(folder, last, writing=flags & os.O_ACCMODE != os.O_RDONLY)
        # O_NONBLOCK: a pipe that comes there after that look must not hang us before it is refused.
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        with told_apart(name):
            descriptor = os.open(last, flags, 0o600, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, f"not a regular file: {name}")
        return DirectoryFile(descriptor, name)

    def _locate(self, name: str) -> tuple[int, str]:
        """Return the descriptor of the folder that holds `name`, and its last component."""
        folder, _, last = name.rpartition("/")
        if last in ("", ".", "..") or "\0" in last or name[0] == "/":
            raise ValueError(f"bad name in a store: {name!r}")
        return self._folder(folder), last

    def _folder(self, name: str) -> int:
        """Return the descriptor of a folder; part by part, since O_NOFOLLOW binds the last one only."""
        known = self._folders.get(name)
        if known is not None:
            return known
        parent, last = self._locate(name)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        opened = os.open(last, flags, dir_fd=parent)
        with self._folders_lock:
            known = self._folders.setdefault(name, opened)
        if known is not opened:
            with suppress(OSError):
                os.close(opened)
        return known
