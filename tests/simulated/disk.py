"""`SimulatedStorage`: a store's directory in memory, which can lose power, be killed, fill up and fail.

Follows the Storage protocol and gives the errors of the real one. Deterministic from its seed: the same calls
with the same faults leave the same disk. Never touches the real disk; time and threads play no part.
"""

import copy
import errno
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import apsw

from tests.simulated.faults import Fault, Stopped, failure
from tests.simulated.medium import FileNode, FolderNode, Name, survivors
from tests.simulated.sqlite import SimulatedConnection, SimulatedVFS
from vfs.backing.storage import Buffer, Space

DEFAULT_SPACE_BYTES = 1 << 40


class SimulatedFile:
    """One open file of a `SimulatedStorage`."""

    def __init__(self, storage: "SimulatedStorage", name: str, node: FileNode, *, writable: bool) -> None:
        self._storage = storage
        self._name = name
        self._node = node
        self._writable = writable
        self._closed = False

    def append(self, pieces: Sequence[Buffer]) -> None:
        self.write_at(len(self._node.content), b"".join(pieces), "append")

    def write_at(self, offset: int, data: bytes, kind: str = "write") -> None:
        """Write anywhere: what SQLite does, and the store's own files never."""
        with self._storage.lock:
            self._check(writing=True)
            fault, stop = self._storage.call(kind, self._name)
            grown = max(0, offset + len(data) - len(self._node.content))
            fitting = len(data) - max(0, grown - max(0, self._storage.room()))
            if stop and self._storage.stop_partial is not None:
                data = data[: min(self._storage.stop_partial, fitting)]
            elif fault is not None:
                data = data[: min(fault.partial, fitting, len(data) - 1)]
            elif fitting < len(data):
                fault = Fault(errno.ENOSPC)
                data = data[:fitting]
            if data:
                self._node.write(offset, data)
            if stop:
                raise Stopped
            if fault is not None:
                raise failure(fault.code, self._name)

    def pread(self, length: int, offset: int) -> bytes:
        with self._storage.lock:
            self._check()
            self._storage.check_read(self._name, self._node)
            return bytes(self._node.content[offset : offset + length])

    def resident(self, length: int, offset: int) -> bool:
        return not self._storage.cold

    def pread_resident(self, length: int, offset: int) -> bytes | None:
        return None if self._storage.cold else self.pread(length, offset)

    def truncate(self, size_bytes: int) -> None:
        with self._storage.lock, self._storage.changing("truncate", self._name):
            self._check(writing=True)
            self._node.resize(size_bytes)

    def sync(self) -> None:
        with self._storage.lock:
            self._check()
            fault, stop = self._storage.call("sync", self._name)
            if stop:
                raise Stopped
            if fault is not None:
                self._node.fail_sync(self._storage.rng)
                self._storage.lost_pages.add(self._name)
                raise failure(fault.code, self._name)
            self._node.sync()

    def map(self) -> memoryview:
        with self._storage.lock:
            self._check()
            return memoryview(bytes(self._node.content))

    def unmap(self) -> None:
        pass  # nothing is mapped here

    def expect_jumps(self) -> None:
        pass

    def fault_in(self, length: int, offset: int) -> None:
        with self._storage.lock:
            self._storage.check_read(self._name, self._node)

    def prefetch(self, length: int, offset: int) -> None:
        pass

    def drop_cache(self, offset: int) -> None:
        with self._storage.lock:
            self._check()
            self._node.drop_cache(offset)

    def size(self) -> int:
        return len(self._node.content)

    def close(self) -> None:
        self._closed = True

    def _check(self, *, writing: bool = False) -> None:
        if self._closed or (writing and not self._writable):
            raise failure(errno.EBADF, self._name)


class SimulatedStorage:
    """A store directory on a simulated disk. `crash` and `kill` give the disk that the next life finds."""

    shared_index = False

    def __init__(self, seed: int = 0, *, root: FolderNode | None = None) -> None:
        self.path = Path("/simulated/store")
        self.rng = random.Random(seed)
        self.lock = threading.RLock()
        self.root = root if root is not None else FolderNode()

        self.calls = 0
        """Calls so far that change the disk; syncs are among them."""
        self.history: list[tuple[str, str]] = []
        """Kind and name of each of these calls."""
        self.faults: list[Fault] = []
        self.stop_at: int | None = None
        """The machine stops in the middle of this call (numbered from 0 like `calls`), and stays so."""
        self.stop_partial: int | None = None
        """So many bytes of the write in which the machine stops have reached the cache; None: all. A large
        write is carried out in parts, and a killed process leaves what was carried out."""
        self.lost_pages: set[str] = set()
        """Files of which a failed sync may have lost something that the cache still shows."""
        self.space_bytes = DEFAULT_SPACE_BYTES
        """What all files together may take."""
        self.cold = False
        """True: every read would wait for the disk."""
        self._index_vfs: SimulatedVFS | None = None

    # --- the next life ----------------------------------------------------------------------

    def crash(self, rng: random.Random | None = None) -> "SimulatedStorage":
        """Return the disk after a power cut now. This one is left as it is, for other ways to end."""
        rng = rng if rng is not None else self.rng
        after = SimulatedStorage(rng.getrandbits(32), root=survivors(self.root, rng))
        after.space_bytes = self.space_bytes
        return after

    def kill(self) -> "SimulatedStorage":
        """Return the disk after the process was killed now: all that was written shows, synced or not."""
        after = SimulatedStorage(self.rng.getrandbits(32), root=copy.deepcopy(self.root))
        after.space_bytes = self.space_bytes
        return after

    # --- damage -----------------------------------------------------------------------------

    def content(self, name: str) -> bytes:
        """Return what a file shows, past every fault."""
        return bytes(self._file(name).content)

    def flip(self, name: str, offset: int, bit: int = 0) -> None:
        """Flip one bit of a file, in the cache and on the medium."""
        self._file(name).flip(offset, 1 << bit)

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace a file's bytes, in the cache and on the medium."""
        node = self._file(name)
        node.content, node.durable, node.pending = bytearray(content), bytearray(content), []

    # --- the Storage protocol ---------------------------------------------------------------

    def create(self, name: str) -> SimulatedFile:
        with self.lock, self.changing("create", name):
            folder, last = self._locate(name)
            if last in folder.names:
                raise failure(errno.EEXIST, name)
            node = FileNode()
            folder.change(Name(last, node))
            return SimulatedFile(self, name, node, writable=True)

    def open(self, name: str, *, writable: bool = False) -> SimulatedFile:
        with self.lock:
            if self.stopped:
                raise Stopped
            for fault in self.faults:
                if fault.kind == "open" and fault.strikes("open", name):
                    raise failure(fault.code, name)
            return SimulatedFile(self, name, self._file(name), writable=writable)

    def rename(self, old: str, new: str) -> None:
        with self.lock, self.changing("rename", old):
            folder, old_last = self._locate(old)
            new_folder, new_last = self._locate(new)
            if old_last not in folder.names:
                raise failure(errno.ENOENT, old)
            if folder is new_folder:
                folder.change(Name(new_last, folder.names[old_last], old_last))
                return
            # Two folders, each made durable by itself: both names may show afterwards, or none.
            new_folder.change(Name(new_last, folder.names[old_last]))
            folder.change(Name(old_last, None))

    def unlink(self, name: str) -> None:
        with self.lock, self.changing("unlink", name):
            self._file(name)
            folder, last = self._locate(name)
            folder.change(Name(last, None))

    def free(self, step: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        try:
            step()
            done.set_result(None)
        except OSError as error:
            done.set_exception(error)
        return done

    def wait_until_freed(self) -> None:
        pass  # it was done at once

    def list(self, folder: str) -> list[str]:
        return sorted(self._folder(folder).names)

    def exists(self, name: str) -> bool:
        try:
            folder, last = self._locate(name)
        except FileNotFoundError:
            return False
        return last in folder.names

    def size(self, name: str) -> int:
        return self.open(name).size()

    def make_folder(self, name: str) -> None:
        with self.lock, self.changing("make_folder", name):
            folder, last = self._locate(name)
            if last in folder.names:
                raise failure(errno.EEXIST, name)
            folder.change(Name(last, FolderNode()))

    def sync_folder(self, name: str) -> None:
        with self.lock:
            fault, stop = self.call("sync_folder", name)
            if stop:
                raise Stopped
            if fault is not None:
                raise failure(fault.code, name)
            self._folder(name).sync()

    def space(self) -> Space:
        return Space(self.space_bytes, max(0, self.room()), 1 << 20, 1 << 19)

    def index_connection(self, name: str, *, read_only: bool) -> apsw.Connection:
        """Open an SQLite database on this disk. Tell it `locking_mode=EXCLUSIVE` before anything else."""
        if self._index_vfs is None:
            self._index_vfs = SimulatedVFS(self)
        writing = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        flags = apsw.SQLITE_OPEN_READONLY if read_only else writing
        return SimulatedConnection(name, flags=flags, vfs=self._index_vfs.vfs_name)

    def close(self) -> None:
        """Forget the VFS; an index connection must be closed before."""
        if self._index_vfs is not None:
            self._index_vfs.unregister()
            self._index_vfs = None

    # --- bookkeeping ------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether the machine stands still."""
        return self.stop_at is not None and self.calls > self.stop_at

    def call(self, kind: str, name: str) -> tuple[Fault | None, bool]:
        """Count a call that changes the disk: the fault that strikes, and whether the machine stops in it."""
        if self.stopped:
            raise Stopped
        stop = self.calls == self.stop_at
        self.calls += 1
        self.history.append((kind, name))
        fault = next((fault for fault in self.faults if fault.strikes(kind, name)), None)
        return fault, stop

    def changing(self, kind: str, name: str) -> "_Change":
        """Return the context of a call that fails before it changes anything, or stops after it did."""
        return _Change(self, kind, name)

    def check_read(self, name: str, node: FileNode) -> None:
        """Let a read fail when it is to."""
        if self.stopped:
            raise Stopped
        struck = any(fault.kind == "read" and fault.strikes("read", name) for fault in self.faults)
        if struck or node.damaged_reads:
            raise failure(errno.EIO, name)

    def room(self) -> int:
        """Bytes that may still be written."""
        return self.space_bytes - sum(len(node.content) for node in _files(self.root))

    def _file(self, name: str) -> FileNode:
        folder, last = self._locate(name)
        node = folder.names.get(last)
        if not isinstance(node, FileNode):
            raise failure(errno.ENOENT if node is None else errno.EISDIR, name)
        return node

    def _locate(self, name: str) -> tuple[FolderNode, str]:
        folder, _, last = name.rpartition("/")
        if last in ("", ".", "..") or name[0] == "/":
            raise ValueError(f"bad name in a store: {name!r}")
        return self._folder(folder), last

    def _folder(self, name: str) -> FolderNode:
        folder = self.root
        for part in name.split("/") if name else ():
            node = folder.names.get(part)
            if not isinstance(node, FolderNode):
                raise failure(errno.ENOENT if node is None else errno.ENOTDIR, name)
            folder = node
        return folder


class _Change:
    """A call that changes the disk and is not a write or a sync, as a context manager."""

    def __init__(self, storage: SimulatedStorage, kind: str, name: str) -> None:
        self._storage = storage
        self._call = (kind, name)
        self._stop = False

    def __enter__(self) -> None:
        fault, self._stop = self._storage.call(*self._call)
        if fault is not None:
            raise failure(fault.code, self._call[1])

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._stop:
            raise Stopped


def _files(folder: FolderNode) -> "Sequence[FileNode]":
    nodes: list[FileNode] = []
    for node in folder.names.values():
        if isinstance(node, FileNode):
            nodes.append(node)
        else:
            nodes.extend(_files(node))
    return nodes
