"""A store as it shall become: what is changed lies elsewhere, everything else is read from the store.

Promises that nothing of the store is ever written through it, so a repair can be made, checked and thrown
away. Never makes anything durable: `vfs/repair/placing.py` does, once somebody has said yes.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress

import apsw

from vfs.backing.file_names import INDEX_NAME
from vfs.backing.storage import Space, Storage, StorageFile
from vfs.limits import MIB

INDEX_FILES = (INDEX_NAME, f"{INDEX_NAME}-wal", f"{INDEX_NAME}-journal")


class DraftStorage:
    """A `Storage` over two others: `below` is the store, `above` takes all changes."""

    def __init__(self, below: Storage, above: Storage, hidden: Iterable[str] = ()) -> None:
        self.path = below.path
        self.below = below
        self.above = above
        self.shared_index = above.shared_index
        self.hidden = set(hidden)
        """Files of the store that are no part of it."""
        self.removed = set(self.hidden)
        """Names of the store that do not show, these among them."""

    # --- what has changed ---------------------------------------------------------------------

    def written(self) -> list[str]:
        """The files that are new, or other than in the store, in order."""
        found = []
        for name in self.above.list(""):
            if is_folder_in(self.above, name):
                found += [f"{name}/{inner}" for inner in self.above.list(name)]
            else:
                found.append(name)
        return sorted(found)

    def folders(self) -> list[str]:
        """The folders that have something of the draft in them."""
        return [name for name in self.above.list("") if is_folder_in(self.above, name)]

    def fetch(self, name: str) -> None:
        """Have a copy of a file of the store above, to be changed."""
        self._make_parent(name)
        with suppress(FileNotFoundError):
            self.above.unlink(name)
        copy_file(self.below, name, self.above, name)

    # --- the Storage protocol -----------------------------------------------------------------

    def create(self, name: str) -> StorageFile:
        if self.exists(name):
            raise FileExistsError(name)
        self._make_parent(name)
        return self.above.create(name)

    def open(self, name: str, *, writable: bool = False) -> StorageFile:
        if self.above_has(name):
            return self.above.open(name, writable=writable)
        if name in self.removed:
            raise FileNotFoundError(name)
        if not writable:
            return self.below.open(name)
        self.fetch(name)
        return self.above.open(name, writable=True)

    def rename(self, old: str, new: str) -> None:
        if not self.above_has(old):
            self.fetch(old)
        self._make_parent(new)
        self.above.rename(old, new)
        self.removed.add(old)

    def unlink(self, name: str) -> None:
        if not self.exists(name):
            raise FileNotFoundError(name)
        if self.above_has(name):
            self.above.unlink(name)
        self.removed.add(name)

    def free(self, step: Callable[[], None]) -> Future[None]:
        return self.above.free(step)

    def wait_until_freed(self) -> None:
        self.above.wait_until_freed()

    def list(self, folder: str) -> list[str]:
        names: set[str] = set()
        missing = 0
        for storage in (self.below, self.above):
            try:
                names.update(storage.list(folder))
            except (FileNotFoundError, NotADirectoryError):
                missing += 1
        if missing == 2:
            raise FileNotFoundError(folder)
        prefix = f"{folder}/" if folder else ""
        return sorted(
            name for name in names if self.above_has(prefix + name) or prefix + name not in self.removed
        )

    def exists(self, name: str) -> bool:
        return self.above_has(name) or (name not in self.removed and exists_in(self.below, name))

    def size(self, name: str) -> int:
        if self.above_has(name):
            return self.above.size(name)
        if name in self.removed:
            raise FileNotFoundError(name)
        return self.below.size(name)

    def make_folder(self, name: str) -> None:
        if self.exists(name):
            raise FileExistsError(name)
        self.above.make_folder(name)

    def sync_folder(self, name: str) -> None:
        """Nothing of a draft has to last."""

    def space(self) -> Space:
        return self.below.space()

    def index_connection(self, name: str, *, read_only: bool) -> apsw.Connection:
        return self.above.index_connection(name, read_only=read_only)

    def close(self) -> None:
        self.above.close()

    # --- two storages -------------------------------------------------------------------------

    def above_has(self, name: str) -> bool:
        """Whether the draft has a file or folder of that name of its own."""
        return exists_in(self.above, name)

    def _make_parent(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        if folder and not exists_in(self.above, folder):
            self.above.make_folder(folder)


def exists_in(storage: Storage, name: str) -> bool:
    """Whether there is such a name; the folder may be missing, or be something else."""
    try:
        return storage.exists(name)
    except OSError:
        return False


def copy_file(source: Storage, name: str, target: Storage, new_name: str) -> None:
    """Copy a file into a new one; the caller syncs."""
    reading = source.open(name)
    try:
        writing = target.create(new_name)
        try:
            at = 0
            while data := reading.pread(MIB, at):
                writing.append((data,))
                at += len(data)
        finally:
            writing.close()
    finally:
        reading.close()


def copy_readable(source: Storage, name: str, target: Storage) -> None:
    """Copy what can be read of a file, zeros for what cannot; nothing where there is no such file."""
    try:
        reading = source.open(name)
    except OSError:
        return  # missing, or no regular file
    try:
        writing = target.create(name)
        try:
            for at in range(0, reading.size(), MIB):
                length = min(MIB, reading.size() - at)
                try:
                    data = reading.pread(length, at)
                except OSError:
                    data = b"".join(_page(reading, start) for start in range(at, at + length, _PAGE_BYTES))
                writing.append((data,))
        finally:
            writing.close()
    finally:
        reading.close()


_PAGE_BYTES = 4096


def _page(file: StorageFile, at: int) -> bytes:
    length = min(_PAGE_BYTES, file.size() - at)
    try:
        return file.pread(length, at)
    except OSError:
        return bytes(length)


def is_folder_in(storage: Storage, name: str) -> bool:
    """Whether a folder has that name."""
    try:
        storage.list(name)
    except OSError:
        return False
    return True
