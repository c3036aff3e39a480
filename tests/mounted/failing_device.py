"""A program that serves one file, `disk`, through FUSE, and fails its reads, writes and syncs as it is told.

What a loop device needs below it to behave like a disk that dies: started with its mount point and the file
that holds the bytes; told what fails by the attribute `user.faults` of `disk`, `Faults` as JSON. Never fails
by itself.
"""

import errno
import os
import stat
import sys

import msgspec
import pyfuse3
import trio

DISK_INO = 2
FAULTS = b"user.faults"


class Faults(msgspec.Struct, frozen=True):
    """What answers EIO: every write, every sync, and reads that touch one of the ranges (start, stop)."""

    writes: bool = False
    syncs: bool = False
    reads: tuple[tuple[int, int], ...] = ()


class FailingDevice(pyfuse3.Operations):
    """One file in one folder."""

    def __init__(self, backing: str) -> None:
        super().__init__()
        self._fd = os.open(backing, os.O_RDWR)
        self._faults = Faults()

    def _attributes(self, ino: int) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = ino
        entry.st_mode = stat.S_IFDIR | 0o700 if ino == pyfuse3.ROOT_INODE else stat.S_IFREG | 0o600
        entry.st_size = os.fstat(self._fd).st_size if ino == DISK_INO else 0
        entry.st_nlink = 1
        return entry

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return self._attributes(inode)

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        if name != b"disk":
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(DISK_INO)

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=inode, direct_io=True)  # nothing may be answered from a cache of pages

    async def read(self, fh: int, off: int, size: int) -> bytes:
        if any(off < stop and start < off + size for start, stop in self._faults.reads):
            raise pyfuse3.FUSEError(errno.EIO)
        return os.pread(self._fd, size, off)

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if self._faults.writes:
            raise pyfuse3.FUSEError(errno.EIO)
        return os.pwrite(self._fd, buf, off)

    async def fsync(self, fh: int, datasync: bool) -> None:
        if self._faults.syncs:
            raise pyfuse3.FUSEError(errno.EIO)

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext) -> None:
        if name != FAULTS:
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        self._faults = msgspec.json.decode(value, type=Faults)


def main(point: str, backing: str) -> None:
    """Serve until unmounted."""
    pyfuse3.init(FailingDevice(backing), point, {"fsname=failing_device", "default_permissions"})
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
