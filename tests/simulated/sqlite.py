"""SQLite on a simulated disk: an apsw VFS over the files of a `SimulatedStorage`.

Serves one connection at a time, without shared memory: rollback journal, or WAL with
`locking_mode=EXCLUSIVE`. Syncs what SQLite's own VFS for Unix syncs, and nothing more; verifies pages where
SQLite's checksum VFS would, of databases that have room for it; never reads the clock or real randomness.
"""

import errno
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import apsw
import xxhash

from tests.simulated.faults import Stopped


class SimulatedFileLike(Protocol):
    """What a file of the simulated disk offers here."""

    def write_at(self, offset: int, data: bytes, kind: str = "write") -> None: ...
    def pread(self, length: int, offset: int) -> bytes: ...
    def truncate(self, size_bytes: int) -> None: ...
    def sync(self) -> None: ...
    def size(self) -> int: ...
    def close(self) -> None: ...


class SimulatedStorageLike(Protocol):
    """What the simulated disk offers here."""

    rng: random.Random

    @property
    def stopped(self) -> bool: ...
    def create(self, name: str) -> Any: ...
    def open(self, name: str, *, writable: bool = False) -> Any: ...
    def exists(self, name: str) -> bool: ...
    def unlink(self, name: str) -> None: ...
    def sync_folder(self, name: str) -> None: ...


_numbers = itertools.count(1)

JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


PAGE_BYTES = 4096
RESERVED_AT = 20
"""Where the first page says how many bytes at the end of each page are not SQLite's own."""

SUM_BYTES = 8


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Turn errors of the disk into what SQLite's own VFS would make of them.

    A stopped machine is an I/O error too: an exception that is none of SQLite's does not get through its
    cleaning up. Whoever stops a disk asks it afterwards whether it did stop.
    """
    try:
        yield
    except OSError as error:
        kind = apsw.FullError if error.errno == errno.ENOSPC else apsw.IOError
        raise kind(str(error)) from error
    except Stopped:
        raise apsw.IOError("the machine stopped") from None


class SimulatedConnection(apsw.Connection):
    """A connection that tells of no error of the disk when it is closed, as SQLite does not: what its last
    tidying up could not do, the next opening does."""

    def close(self, force: bool = False) -> None:
        with suppress(apsw.IOError, apsw.FullError):
            super().close(force)


class SimulatedVFS(apsw.VFS):
    """One storage as SQLite sees it. Names of databases are names in the storage."""

    def __init__(self, storage: SimulatedStorageLike) -> None:
        self._storage = storage
        self.vfs_name = f"simulated-{next(_numbers)}"
        super().__init__(self.vfs_name, "unix", maxpathname=1024)

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - apsw names them after SQLite
        return name

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        file_name = name.filename() if isinstance(name, apsw.URIFilename) else name
        if file_name is None:
            raise apsw.CantOpenError("temporary files belong in memory here")
        with sqlite_errors():
            return SimulatedVFSFile(self._storage, file_name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        with sqlite_errors():
            self._storage.unlink(name)
            if sync_folder:
                self._storage.sync_folder(name.rpartition("/")[0])

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return self._storage.exists(name)

    def xRandomness(self, length: int) -> bytes:  # noqa: N802
        return self._storage.rng.randbytes(length)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds


class SimulatedVFSFile:
    """One file that SQLite has open."""

    def __init__(self, storage: SimulatedStorageLike, name: str, flags: list[int]) -> None:
        self._storage = storage
        self._folder = name.rpartition("/")[0]
        self._sync_folder = False
        if storage.exists(name):
            self._file: SimulatedFileLike = storage.open(name, writable=True)
        elif flags[0] & apsw.SQLITE_OPEN_CREATE:
            self._file = storage.create(name)
            # Like SQLite on Unix: the name of a new journal is synced with it, that of a database is not.
            self._sync_folder = bool(flags[0] & JOURNALS)
        else:
            raise apsw.CantOpenError(name)
        flags[1] = flags[0]
        self._is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        self._name = name

    def xRead(self, length: int, offset: int) -> bytes:  # noqa: N802
        with sqlite_errors():
            data = self._file.pread(length, offset)
            if self._has_sum(data, offset) and data[-SUM_BYTES:] != _page_sum(data):
                raise apsw.IOError(f"checksum fault of page {offset // PAGE_BYTES + 1} of {self._name}")
            return data

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with sqlite_errors():
            if self._has_sum(data, offset):
                data = data[:-SUM_BYTES] + _page_sum(data)
            self._file.write_at(offset, bytes(data))

    def _has_sum(self, data: bytes, offset: int) -> bool:
        """Whether these bytes are a page that ends with its checksum."""
        if not self._is_database or len(data) != PAGE_BYTES or offset % PAGE_BYTES:
            return False
        head = data if offset == 0 else self._file.pread(RESERVED_AT + 1, 0)
        return head[RESERVED_AT : RESERVED_AT + 1] == bytes((SUM_BYTES,))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        with sqlite_errors():
            self._file.truncate(size)

    def xSync(self, flags: int) -> bool:  # noqa: N802
        with sqlite_errors():
            self._file.sync()
            if self._sync_folder:
                self._storage.sync_folder(self._folder)
                self._sync_folder = False
        return True

    def xFileSize(self) -> int:  # noqa: N802
        return self._file.size()

    def xClose(self) -> None:  # noqa: N802
        self._file.close()

    def xLock(self, level: int) -> None:  # noqa: N802
        """One connection: nobody to lock out."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """One connection: nobody to let in."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 512

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0


def _page_sum(page: bytes) -> bytes:
    return xxhash.xxh3_64_digest(page[:-SUM_BYTES])
