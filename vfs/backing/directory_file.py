"""A file of a store on the real disk: the calls that read, write and sync it.

Promises that each call that may wait for the disk is noted while it waits, and waits without keeping other
threads from running, so that somebody can still say what is waited for. Never decides what a file means.
"""

import errno
import mmap
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from threading import get_ident
from time import monotonic

from vfs.backing.descriptors import told_apart
from vfs.backing.inflight import CALLS, disk_call
from vfs.backing.populate import address_of, are_in_memory, drop_pages, populate

Buffer = bytes | bytearray | memoryview

PREFETCH_STEP_BYTES = 128 * 1024
"""A longer wish is cut off in silence at the disk's read-ahead size, and the rest would come page by page."""

UNMAP_STEP_BYTES = 4 * 1024 * 1024
"""Pages given back at a time: who maps something else meanwhile waits for one step."""

PROBE_BYTES = 128 * 1024
"""So much `resident` reads at a time: no more than the kernel fetches at once of what it does not have."""

_SCRATCH = memoryview(bytearray(PROBE_BYTES))
"""Where that goes; nobody looks at it, so threads need not take turns."""

MOST_PIECES = 1024
"""IOV_MAX: buffers that one writev(2) takes."""


class DirectoryFile:
    """A file of a `DirectoryStorage`.

    The descriptor is closed by `close` or with the last reference, so that a reader which still holds the
    object while another thread lets go of it never reads through a number that has come to mean another file.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._fd = descriptor
        self._name = name
        self._closing = weakref.finalize(self, os.close, descriptor)
        self._closing.atexit = False
        self._mapped: mmap.mmap | None = None
        self._address = 0  # of the mapping
        self._owned = False  # so that the kernel tells which pages of the mapping are there

    def append(self, pieces: Sequence[Buffer]) -> None:
        rest: Buffer
        thread = get_ident()
        CALLS[thread] = ("append to", self._name, monotonic())
        try:
            # O_APPEND: the end is where the kernel says it is, also after a truncate.
            if len(pieces) == 1:
                rest = pieces[0]
                written = os.write(self._fd, rest)
                if written == len(rest):
                    return
            elif len(pieces) > MOST_PIECES or not pieces:
                rest = b"".join(pieces)
                written = os.write(self._fd, rest)
            else:
                written = os.writev(self._fd, pieces)
                if written == sum(map(len, pieces)):
                    return
                rest = b"".join(pieces)
            # A short write is no error by itself: the next one says why (usually ENOSPC) or completes it.
            while written < len(rest):
                rest = memoryview(rest)[written:]
                written = os.write(self._fd, rest)
                if written == 0:
                    raise OSError(errno.EIO, "write of 0 bytes")
        finally:
            del CALLS[thread]

    def pread(self, length: int, offset: int) -> bytes:
        thread = get_ident()
        CALLS[thread] = ("read of", self._name, monotonic())
        try:
            data = os.pread(self._fd, length, offset)
            if len(data) == length or not data:
                return data
            pieces = [data]
            while data and (length := length - len(data)):
                offset += len(data)
                data = os.pread(self._fd, length, offset)
                pieces.append(data)
            return b"".join(pieces)
        finally:
            del CALLS[thread]

    def resident(self, length: int, offset: int) -> bool:
        mapped = self._mapped  # keeps the mapping for as long as this takes
        if mapped is not None and self._owned and offset + length <= len(mapped):
            start = offset - offset % mmap.PAGESIZE
            if are_in_memory(self._address + start, offset + length - start):
                return True
        there = True
        try:
            # All of it: a page here and there would tell nothing of those between (see `expect_jumps`), nor
            # have the disk asked for them.
            for start in range(offset, offset + length, PROBE_BYTES):
                size = min(PROBE_BYTES, offset + length - start)
                try:
                    there &= os.preadv(self._fd, (_SCRATCH[:size],), start, os.RWF_NOWAIT) == size
                except BlockingIOError:
                    there = False
        except OSError:  # EOPNOTSUPP: this file system cannot tell. Any other error shows in the read itself.
            return True
        return there

    def pread_resident(self, length: int, offset: int) -> bytes | memoryview | None:
        data = bytearray(length)
        try:
            # For all of the range at once: the kernel begins to read what it does not have.
            done = os.preadv(self._fd, (data,), offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError:  # as above
            return self.pread(length, offset)
        # Short: the rest is being read, or this is the end of the file, which `pread` can tell.
        return memoryview(data) if done == length else None

    def truncate(self, size_bytes: int) -> None:
        with disk_call("truncation of", self._name):
            os.ftruncate(self._fd, size_bytes)

    def sync(self) -> None:
        with disk_call("sync of", self._name):
            os.fdatasync(self._fd)

    def map(self) -> memoryview:
        status = os.fstat(self._fd)
        length, self._owned = status.st_size, status.st_uid == os.geteuid()
        if length == 0:
            return memoryview(b"")
        with told_apart("a file to map it"):  # a mapping keeps a descriptor of its own
            self._mapped = mmap.mmap(self._fd, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        # The kernel would read 128 KiB around every page it misses; who reads in order asks with `prefetch`.
        self._mapped.madvise(mmap.MADV_RANDOM)
        self.expect_jumps()
        self._address = address_of(self._mapped)
        return memoryview(self._mapped)

    def expect_jumps(self) -> None:
        with suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)

    def fault_in(self, length: int, offset: int) -> None:
        mapped = self._mapped  # keeps the mapping for as long as this takes
        if mapped is None or length <= 0:
            return
        start = offset - offset % mmap.PAGESIZE
        self.prefetch(length, offset)  # one request to the disk instead of one for each page
        thread = get_ident()
        CALLS[thread] = ("read of", self._name, monotonic())
        try:
            if not populate(self._address + start, min(offset + length, len(mapped)) - start):
                os.pread(self._fd, length, offset)  # an old kernel: a plain read fetches the pages, or fails
        finally:
            del CALLS[thread]

    def prefetch(self, length: int, offset: int) -> None:
        with suppress(OSError):
            end = min(offset + length, self.size())  # a wish for all of 64 bits would take for ever
            for start in range(offset, end, PREFETCH_STEP_BYTES):
                step = min(PREFETCH_STEP_BYTES, end - start)
                os.posix_fadvise(self._fd, start, step, os.POSIX_FADV_WILLNEED)

    def unmap(self) -> None:
        # Python would give all pages back at once with the mapping, and keep the interpreter for that long:
        # up to 10 ms for 64 MiB.
        mapped = self._mapped
        if mapped is not None:
            for start in range(0, len(mapped), UNMAP_STEP_BYTES):
                drop_pages(self._address + start, min(UNMAP_STEP_BYTES, len(mapped) - start))

    def drop_cache(self, offset: int) -> None:
        os.posix_fadvise(self._fd, offset, 0, os.POSIX_FADV_DONTNEED)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        # The mapping itself goes with the last view of it: closing it here would pull it away from a reader.
        self._mapped = None
        self._fd = -1
        self._closing()
