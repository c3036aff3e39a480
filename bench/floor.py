"""The floor: an in-memory pyfuse3 file system that does as little as a correct one can.

Promises the kernel options and xattr answers of vfs, so that a ratio against it is the price of vfs alone.
It never touches a disk, and with --forget it keeps only the size of a file and serves zeros.
"""

import argparse
import errno
import itertools
import signal
import stat
import time
from collections.abc import Sequence

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, ReaddirToken, RequestContext, SetattrFields

from bench.processes import die_with_parent
from vfs.mount.handshake import sessions, shake_hands

TIMEOUT_SECONDS = 3600
"""How long the kernel may trust an entry, an attribute or a missing name: one daemon owns everything."""

SET_IDS = stat.S_ISUID | stat.S_ISGID
"""The kernel leaves it to the file system to clear them, as the handshake of vfs agrees with it."""

LARGEST_REQUEST = 1 << 20
ZEROS = memoryview(bytes(LARGEST_REQUEST))

Directory = dict[bytes, EntryAttributes]


def _missing() -> EntryAttributes:
    attributes = EntryAttributes()
    attributes.st_ino = 0
    attributes.entry_timeout = TIMEOUT_SECONDS
    return attributes


MISSING = _missing()
"""The cached answer for a name that does not exist."""


class Floor(pyfuse3.Operations):
    """Inodes are EntryAttributes in a dict: the reply is the stored object, nothing is copied."""

    supports_dot_lookup = True
    enable_writeback_cache = True

    def __init__(self) -> None:
        self._numbers = itertools.count(pyfuse3.ROOT_INODE)
        self._handles = itertools.count(1)
        self._inodes: dict[int, EntryAttributes] = {}
        self._directories: dict[int, Directory] = {}
        # Open directory to its inode and what it held when it was listed from the start.
        self._listings: dict[int, tuple[int, list[tuple[bytes, EntryAttributes]]]] = {}
        self._parents: dict[int, int] = {}
        self._content: dict[int, bytearray] = {}
        self._symlinks: dict[int, bytes] = {}
        # INVARIANT: an inode without links stays while the kernel holds look-ups of it.
        self._lookups: dict[int, int] = {}
        self._new_inode(stat.S_IFDIR | 0o777, 0, 0)
        self._parents[pyfuse3.ROOT_INODE] = pyfuse3.ROOT_INODE

    # -- inodes ------------------------------------------------------------------------------

    def _new_inode(self, mode: int, uid: int, gid: int) -> EntryAttributes:
        attributes = EntryAttributes()
        ino = next(self._numbers)
        attributes.st_ino = ino
        attributes.st_mode = mode
        attributes.st_uid = uid
        attributes.st_gid = gid
        attributes.entry_timeout = TIMEOUT_SECONDS
        attributes.attr_timeout = TIMEOUT_SECONDS
        attributes.st_blksize = 4096
        now = time.time_ns()
        attributes.st_atime_ns = attributes.st_mtime_ns = attributes.st_ctime_ns = now
        if stat.S_ISDIR(mode):
            attributes.st_nlink = 2
            self._directories[ino] = {}
        else:
            attributes.st_nlink = 1
        self._inodes[ino] = attributes
        self._lookups[ino] = 0
        return attributes

    def _add(self, parent: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        entries = self._directories[parent]
        if name in entries:
            raise FUSEError(errno.EEXIST)
        attributes = self._new_inode(mode, ctx.uid, ctx.gid)
        entries[name] = attributes
        self._touch(parent)
        self._lookups[attributes.st_ino] = 1
        return attributes

    def _touch(self, directory: int) -> None:
        attributes = self._inodes[directory]
        attributes.st_mtime_ns = attributes.st_ctime_ns = time.time_ns()

    def _take(self, parent: int, name: bytes) -> EntryAttributes:
        """Remove the entry and its link; the inode goes when the kernel has forgotten it, too."""
        try:
            attributes = self._directories[parent].pop(name)
        except KeyError:
            raise FUSEError(errno.ENOENT) from None
        self._touch(parent)
        return attributes

    def _drop_if_unused(self, attributes: EntryAttributes) -> None:
        ino = attributes.st_ino
        if attributes.st_nlink == 0 and self._lookups[ino] == 0:
            del self._inodes[ino], self._lookups[ino]
            self._content.pop(ino, None)
            self._symlinks.pop(ino, None)
            self._directories.pop(ino, None)
            self._parents.pop(ino, None)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for ino, count in inode_list:
            self._lookups[ino] -= count
            self._drop_if_unused(self._inodes[ino])

    # -- names -------------------------------------------------------------------------------

    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        found = self._directories[parent_inode].get(name)
        if found is None:
            if name not in (b".", b".."):
                return MISSING
            found = self._inodes[parent_inode if name == b"." else self._parents[parent_inode]]
        self._lookups[found.st_ino] += 1
        return found

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        attributes = self._add(parent_inode, name, mode, ctx)
        attributes.st_rdev = rdev
        return attributes

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        attributes = self._add(parent_inode, name, mode, ctx)
        self._inodes[parent_inode].st_nlink += 1
        self._parents[attributes.st_ino] = parent_inode
        return attributes

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        attributes = self._add(parent_inode, name, mode, ctx)
        return FileInfo(fh=attributes.st_ino, keep_cache=True), attributes

    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        attributes = self._take(parent_inode, name)
        attributes.st_nlink -= 1
        attributes.st_ctime_ns = time.time_ns()
        self._drop_if_unused(attributes)

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        attributes = self._add(parent_inode, name, stat.S_IFLNK | 0o777, ctx)
        attributes.st_size = len(target)
        self._symlinks[attributes.st_ino] = target
        return attributes

    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        return self._symlinks[inode]

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        entries = self._directories[new_parent_inode]
        if new_name in entries:
            raise FUSEError(errno.EEXIST)
        attributes = entries[new_name] = self._inodes[inode]
        attributes.st_nlink += 1
        attributes.st_ctime_ns = time.time_ns()
        self._touch(new_parent_inode)
        self._lookups[inode] += 1
        return attributes

    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        found = self._directories[parent_inode].get(name)
        if found is not None and self._directories[found.st_ino]:
            raise FUSEError(errno.ENOTEMPTY)
        attributes = self._take(parent_inode, name)
        attributes.st_nlink = 0
        self._inodes[parent_inode].st_nlink -= 1
        self._drop_if_unused(attributes)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        if flags:
            raise FUSEError(errno.EINVAL)
        target = self._directories[parent_inode_new].get(name_new)
        if target is not None and target is self._directories[parent_inode_old].get(name_old):
            return  # two names of one file: POSIX wants both to stay
        if target is not None:
            if self._directories.get(target.st_ino):
                raise FUSEError(errno.ENOTEMPTY)
            remove = self.rmdir if target.st_ino in self._directories else self.unlink
            await remove(parent_inode_new, name_new, ctx)
        attributes = self._take(parent_inode_old, name_old)
        self._directories[parent_inode_new][name_new] = attributes
        self._touch(parent_inode_new)
        attributes.st_ctime_ns = time.time_ns()
        if attributes.st_ino in self._directories and parent_inode_old != parent_inode_new:
            self._inodes[parent_inode_old].st_nlink -= 1
            self._inodes[parent_inode_new].st_nlink += 1
            self._parents[attributes.st_ino] = parent_inode_new

    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        handle = next(self._handles)
        self._listings[handle] = (inode, [])
        return handle

    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        inode, listing = self._listings[fh]
        if start_id == 0:
            listing = list(self._directories[inode].items())
            self._listings[fh] = (inode, listing)
        lookups = self._lookups
        for position in range(start_id, len(listing)):
            name, attributes = listing[position]
            if attributes.st_ino not in lookups:
                continue  # removed and forgotten since the listing began
            if not pyfuse3.readdir_reply(token, name, attributes, position + 1):
                return
            lookups[attributes.st_ino] += 1

    async def releasedir(self, fh: int) -> None:
        del self._listings[fh]

    # -- attributes --------------------------------------------------------------------------

    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self._inodes[inode]

    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        mine = self._inodes[inode]
        if fields.update_size:
            self._resize(inode, attr.st_size)
        if fields.update_mode:
            mine.st_mode = attr.st_mode
        elif mine.st_mode & SET_IDS and (fields.update_uid or fields.update_gid or fields.update_size):
            mine.st_mode &= ~SET_IDS
        if fields.update_uid:
            mine.st_uid = attr.st_uid
        if fields.update_gid:
            mine.st_gid = attr.st_gid
        if fields.update_atime:
            mine.st_atime_ns = attr.st_atime_ns
        if fields.update_mtime:
            mine.st_mtime_ns = attr.st_mtime_ns
        mine.st_ctime_ns = attr.st_ctime_ns if fields.update_ctime else time.time_ns()
        return mine

    def _resize(self, inode: int, size_bytes: int) -> None:
        content = self._content.setdefault(inode, bytearray())
        del content[size_bytes:]
        content.extend(bytes(size_bytes - len(content)))
        self._inodes[inode].st_size = size_bytes

    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        raise FUSEError(pyfuse3.ENOATTR)

    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        return ()

    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        figures = pyfuse3.StatvfsData()
        figures.f_bsize = figures.f_frsize = 4096
        figures.f_blocks = figures.f_bfree = figures.f_bavail = 1 << 28
        figures.f_namemax = 255
        return figures

    # -- data (flush is left to the base class, which answers ENOSYS once) ---------------------

    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        return FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        return bytes(memoryview(self._content.get(fh, b""))[off : off + size])

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        content = self._content.setdefault(fh, bytearray())
        if off > len(content):
            content.extend(bytes(off - len(content)))
        content[off : off + len(buf)] = buf
        attributes = self._inodes[fh]
        attributes.st_size = len(content)
        if attributes.st_mode & SET_IDS:
            attributes.st_mode &= ~SET_IDS
        return len(buf)

    async def release(self, fh: int) -> None:
        pass

    async def fsync(self, fh: int, datasync: bool) -> None:
        pass

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        pass


class ForgetfulFloor(Floor):
    """Takes data and drops it: the price of the binding for bulk data, without even a copy into a file."""

    async def read(self, fh: int, off: int, size: int) -> bytes:
        length = max(0, min(size, self._inodes[fh].st_size - off))
        return ZEROS[:length]  # type: ignore[return-value]  # the binding takes any contiguous buffer

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        attributes = self._inodes[fh]
        attributes.st_size = max(attributes.st_size, off + len(buf))
        return len(buf)

    def _resize(self, inode: int, size_bytes: int) -> None:
        self._inodes[inode].st_size = size_bytes


async def _serve() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal)
        # The binding's own number of tasks: a single one would be 8 % faster, but then an fsync that
        # waits would hold up everybody, so no real file system can use it.
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


async def _stop_on_signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            pyfuse3.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("mountpoint")
    parser.add_argument("--forget", action="store_true", help="drop file data, serve zeros")
    parser.add_argument("--noxattr", action="store_true", help="answer ENOSYS to xattr requests once")
    arguments = parser.parse_args()
    die_with_parent(signal.SIGTERM)
    floor = ForgetfulFloor() if arguments.forget else Floor()
    if arguments.noxattr:
        # The base class answers ENOSYS, after which the kernel stops asking.
        for request in ("getxattr", "listxattr"):
            setattr(floor, request, getattr(super(Floor, floor), request))
    before = sessions()
    pyfuse3.init(floor, arguments.mountpoint, {*pyfuse3.default_options, "fsname=bench-floor"})
    try:
        shake_hands(sessions() - before)
        trio.run(_serve)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main()
