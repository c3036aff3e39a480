"""The operations of `python -m bench requests`, as calls of each layer.

Promises the same requests in the same order as the kernel makes for the workload of that name on a mount
(workloads_requests.py). It never measures.
"""

import mmap
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyfuse3

from bench.layers import CALLER, LISTED, PIECE, Harness, Page, Steps, names

WRITTEN_BYTES = 1 << 20
"""What the kernel's cache hands over at a time."""


class _Operation:
    """What most of them are like."""

    def warm(self) -> None:
        """Nothing is read from the disk."""

    def replies(self) -> None:
        """The answer is a number, or bytes that are there."""

    def own(self) -> None:
        """Nothing."""


class _Lookup(_Operation):
    """A name that the kernel has forgotten, the daemon not."""

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.folder = harness.new_folder()
        self.inodes = [harness.fs.get(ino) for ino in harness.files(self.folder, count)]
        self.names = names(count)

    async def handlers(self) -> None:
        lookup, folder, context = self.h.adapter.lookup, self.folder, self.h.context
        for name in self.names:
            await lookup(folder, name, context)

    def core(self) -> None:
        find, folder = self.h.fs.find, self.folder
        for name in self.names:
            find(folder, name)

    def replies(self) -> None:
        told = self.h.answers.told
        for inode in self.inodes:
            told(inode)


class _GetAttributes(_Operation):
    """Of a file that is known to all."""

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.count = count
        (self.ino,) = harness.files(harness.new_folder(), 1)

    async def handlers(self) -> None:
        getattr_, ino, context = self.h.adapter.getattr, self.ino, self.h.context
        for _ in range(self.count):
            await getattr_(ino, context)

    def core(self) -> None:
        get, ino = self.h.fs.get, self.ino
        for _ in range(self.count):
            get(ino)

    def replies(self) -> None:
        attributes, inode = self.h.answers.attributes, self.h.fs.get(self.ino)
        for _ in range(self.count):
            attributes(inode)


class _Create(_Operation):
    """A new file, opened and closed: the kernel asks for the folder, looks the name up, and at last releases
    the file. The folder is another one after each file."""

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.folder = harness.new_folder()
        self.names = names(count)
        self.made = [harness.fs.get(ino) for ino in harness.files(harness.new_folder(), count)]

    async def handlers(self) -> None:
        adapter, folder, context = self.h.adapter, self.folder, self.h.context
        getattr_, lookup, create, release = adapter.getattr, adapter.lookup, adapter.create, adapter.release
        for name in self.names:
            await getattr_(folder, context)
            await lookup(folder, name, context)
            info, _ = await create(folder, name, 0o100644, os.O_WRONLY, context)
            await release(info.fh)

    def core(self) -> None:
        fs, folder = self.h.fs, self.folder
        get, find, mknod, release = fs.get, fs.find, fs.mknod, fs.release
        for name in self.names:
            get(folder)
            find(folder, name)
            inode = mknod(folder, name, 0o100644, 0, CALLER)
            inode.opens += 1
            release(inode.ino)

    def replies(self) -> None:
        attributes, missing, told = self.h.answers.attributes, self.h.answers.missing, self.h.answers.told
        folder = self.h.fs.get(self.folder)
        for inode in self.made:
            folder.view = None
            attributes(folder)
            missing(self.folder)
            inode.view = None  # as it is of a new one
            told(inode)


class _Write(_Operation):
    """4 KiB behind those before."""

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.offsets = range(0, count * len(PIECE), len(PIECE))
        (self.ino,) = harness.files(harness.new_folder(), 1)
        harness.fs.open(self.ino, os.O_WRONLY)

    async def handlers(self) -> None:
        write, ino = self.h.adapter.write, self.ino
        for offset in self.offsets:
            await write(ino, offset, PIECE)

    def core(self) -> None:
        fs, ino = self.h.fs, self.ino
        get, write, delay = fs.get, fs.write, fs.write_delay_seconds
        for offset in self.offsets:
            delay(len(PIECE))
            inode = get(ino)
            write(ino, offset, PIECE, stamp_ns=max(inode.mtime_ns, inode.ctime_ns))


class _Read(_Operation):
    """4 KiB that lie in the log and in the page cache."""

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.offsets = range(0, count * len(PIECE), len(PIECE))
        (self.ino,) = harness.files(harness.new_folder(), 1)
        data = PIECE * count
        for offset in range(0, len(data), WRITTEN_BYTES):
            harness.fs.write(self.ino, offset, data[offset : offset + WRITTEN_BYTES])
        harness.fs.open(self.ino)

    def warm(self) -> None:
        for offset in self.offsets:
            self.h.fs.read(self.ino, offset, len(PIECE))
        # Somebody may have the kernel drop its caches at any moment: what is mapped stays.
        self.held = [_mapped(path) for path in (self.h.fs.store.storage.path / "log").iterdir()]

    async def handlers(self) -> None:
        read, ino = self.h.adapter.read, self.ino
        for offset in self.offsets:
            await read(ino, offset, len(PIECE))

    def core(self) -> None:
        fs, ino = self.h.fs, self.ino
        read, ahead = fs.read_resident, fs.begin_ahead
        for offset in self.offsets:
            read(ino, offset, len(PIECE))
            ahead()


def _mapped(path: Path) -> mmap.mmap:
    """All pages of a file, in memory for as long as this is."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)


class _List(_Operation):
    """A directory of a thousand entries, of which a page of the kernel's takes so many."""

    def __init__(self, page_entries: int) -> None:
        self._page_entries = page_entries

    def prepare(self, harness: Harness, count: int) -> None:
        self.h = harness
        self.count = count
        self.folder = harness.new_folder()
        self.inodes = [harness.fs.get(ino) for ino in harness.files(self.folder, LISTED)]

    async def handlers(self) -> None:
        adapter, context, page = self.h.adapter, self.h.context, Page(self._page_entries)
        token: Any = None
        with patch.object(pyfuse3, "readdir_reply", page):
            for _ in range(self.count):
                handle = await adapter.opendir(self.folder, context)
                page.cookie, last = 0, -1
                while page.cookie != last:
                    last = page.cookie
                    page.turn()
                    await adapter.readdir(handle, last, token)
                await adapter.releasedir(handle)

    def core(self) -> None:
        fs, folder = self.h.fs, self.folder
        for _ in range(self.count):
            fs.open(folder)
            cookie = 0
            while rows := fs.readdir(folder, cookie, 256):
                for _, ino, _, _ in rows:
                    fs.get(ino)  # of a file no more is asked
                cookie = rows[-1][2]
            fs.release(folder)

    def replies(self) -> None:
        attributes = self.h.answers.attributes
        for _ in range(self.count):
            for inode in self.inodes:
                attributes(inode)

    def own(self) -> None:
        page = Page(LISTED)
        for _ in range(self.count):
            page.turn()
            for cookie in range(LISTED):
                page(None, b"", None, cookie)


def operations(page_entries: int) -> dict[str, Steps]:
    """All of them by name; a page of a listing holds so many entries."""
    return {
        "lookup": _Lookup(),
        "getattr": _GetAttributes(),
        "create": _Create(),
        "write": _Write(),
        "read": _Read(),
        "readdir": _List(page_entries),
    }
