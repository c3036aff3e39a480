"""One inode as the model knows it: a descriptor on the host, and what the host cannot show.

It holds the host's inode through an O_PATH descriptor, so that it can be asked as long as the model needs it,
with a name or without. It knows nothing of vfs.
"""

import os
import stat
from typing import NamedTuple

from tests.model.ranges import DataRanges


class Times(NamedTuple):
    """Nanoseconds since 1970."""

    atime: int
    mtime: int
    ctime: int


class Node:
    """An inode that exists on both sides."""

    def __init__(self, ino: int, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.ino = ino
        self.fd = descriptor
        self.host_ino = status.st_ino
        self.kind = stat.S_IFMT(status.st_mode)
        self.links = 1
        self.outside = 0
        """More names that the inode says it has: in parts of a snapshot that are not in the clone."""
        self.lookups = 0
        self.opens = 0
        self.ranges = DataRanges()
        self.xattrs: dict[bytes, bytes] = {}
        self.times = Times(0, 0, 0)
        self.host_times = Times(0, 0, 0)
        self._data_fd = -1

    @property
    def path(self) -> str:
        """A path that leads to this very inode, whatever became of its names."""
        return f"/proc/self/fd/{self.fd}"

    @property
    def is_directory(self) -> bool:
        return self.kind == stat.S_IFDIR

    @property
    def is_file(self) -> bool:
        return self.kind == stat.S_IFREG

    @property
    def held(self) -> bool:
        return self.lookups > 0 or self.opens > 0

    @property
    def data_fd(self) -> int:
        """Open for reading and writing."""
        if self._data_fd < 0:
            self._data_fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self._data_fd

    def status(self) -> os.stat_result:
        return os.fstat(self.fd)

    def size(self) -> int:
        return self.status().st_size

    def names(self) -> dict[bytes, tuple[int, int]]:
        """Of a directory: name -> (host inode number, kind)."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = {}
            for name in os.listdir(descriptor):
                status = os.lstat(name, dir_fd=descriptor)
                found[os.fsencode(name)] = (status.st_ino, stat.S_IFMT(status.st_mode))
            return found
        finally:
            os.close(descriptor)

    def close(self) -> None:
        for descriptor in (self.fd, self._data_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.fd = self._data_fd = -1


def host_times(node: Node) -> Times:
    status = node.status()
    return Times(status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
