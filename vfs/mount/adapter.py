"""The kernel's requests as calls of the file system, and back.

Promises that every request is answered, an unexpected exception with EIO, and that the kernel may cache
names, attributes and pages for as long as the mount option says, since one daemon owns the store.
Never holds a rule of POSIX, and never waits for the disk in the trio thread where that can be told.

Concurrency: everything runs in the trio thread; a handler without `await` is atomic. The only awaits are
around syncs and cold reads, and before a write or an attribute that is slowed down; no state is carried
across them but an inode number and a read plan.
File handles are inode numbers: the file system counts opens itself.
"""

import errno
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pyfuse3
import trio
from pyfuse3 import (
    EntryAttributes,
    FileInfo,
    FUSEError,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
)

from vfs.backing.tree_rows import EntryRow
from vfs.errors import IndexDamaged, NoEntry
from vfs.filesystem import FileSystem
from vfs.inode.directory import Entry
from vfs.inode.inode import Inode
from vfs.mount.ahead import ReadAhead
from vfs.mount.committer import Committer
from vfs.mount.errno_table import fuse_error
from vfs.mount.handlers import atomic, waiting
from vfs.mount.options import MountOptions
from vfs.mount.packer import Packer
from vfs.mount.throttle import Throttle
from vfs.namespace import Caller

READING_THREADS = 32
"""Cold reads at a time; more of them wait for one of these, and for nothing that others need."""

READDIR_ROWS = 256
"""Entries fetched at a time; the kernel's buffer holds some 25, the rest waits for its next request."""


LISTINGS = 64
"""Directories being listed of which those rows are kept: with more open than that they are fetched anew."""


class Adapter(pyfuse3.Operations):
    """pyfuse3's handlers over one `FileSystem`."""

    enable_writeback_cache = True
    supports_dot_lookup = True

    def __init__(self, fs: FileSystem, options: MountOptions) -> None:
        super().__init__()
        self.fs = fs
        self.committer = Committer(fs)
        self.packer = Packer(fs, self.committer, automatic=options.pack)
        self._ahead = ReadAhead(fs)
        self._throttle = Throttle()
        self._reading = trio.CapacityLimiter(READING_THREADS)
        self.waiting = 0
        """Requests that may wait for the disk and are not answered yet; any thread may look."""
        self._slows_down = options.pack  # waiting for what nobody does would be for ever
        self._timeout = options.attr_timeout_seconds
        self._noxattr = options.noxattr
        # directory -> (version, cookie, rows after it); INVARIANT: of at most LISTINGS directories
        self._rest: OrderedDict[int, tuple[int, int, list[EntryRow]]] = OrderedDict()
        self._unlisted: dict[int, IndexDamaged] = {}  # directory -> why not all of it was listed
        self._missing = EntryAttributes()
        self._missing.st_ino = 0
        self._missing.entry_timeout = self._timeout
        self._missing.attr_timeout = self._timeout

    async def background(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, checkpoint, pack and read ahead until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.committer.run)
            await nursery.start(self.packer.run)
            nursery.start_soon(self._ahead.run)
            task_status.started()

    # --- attributes -------------------------------------------------------------------------

    def _attributes(self, inode: Inode) -> EntryAttributes:
        view = inode.view
        if view is not None and view[0] == inode.version:
            known: EntryAttributes = view[1]
            return known
        entry = EntryAttributes()
        entry.st_ino = inode.ino
        entry.st_mode = inode.mode
        entry.st_nlink = inode.nlink
        entry.st_uid = inode.uid
        entry.st_gid = inode.gid
        entry.st_rdev = inode.rdev
        entry.st_size = inode.size
        entry.st_blksize = 4096
        entry.st_blocks = (inode.allocated + 511) >> 9
        entry.st_atime_ns = inode.atime_ns
        entry.st_mtime_ns = inode.mtime_ns
        entry.st_ctime_ns = inode.ctime_ns
        entry.entry_timeout = self._timeout
        entry.attr_timeout = self._timeout
        inode.view = (inode.version, entry)
        return entry

    def _told(self, inode: Inode) -> EntryAttributes:
        """Attributes in an answer that makes the kernel know the inode."""
        inode.lookups += 1
        return self._attributes(inode)

    @atomic
    def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        inode = self.fs.find(parent_inode, name)
        if inode is None:
            return self._missing
        inode.lookups += 1
        return self._attributes(inode)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for ino, count in inode_list:
            self.fs.table.forget(ino, count)

    @atomic
    def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self._attributes(self.fs.get(inode))

    @atomic
    def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        if fields.update_size:
            self.fs.truncate(inode, attr.st_size)
        changes = {
            "mode": attr.st_mode if fields.update_mode else None,
            "uid": attr.st_uid if fields.update_uid else None,
            "gid": attr.st_gid if fields.update_gid else None,
            "atime_ns": attr.st_atime_ns if fields.update_atime else None,
            "mtime_ns": attr.st_mtime_ns if fields.update_mtime else None,
            "ctime_ns": attr.st_ctime_ns if fields.update_ctime else None,
        }
        if any(value is not None for value in changes.values()):
            self.fs.set_attributes(inode, **changes)
        return self._attributes(self.fs.get(inode))

    @atomic
    def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        return self.fs.readlink(inode)

    # --- names ------------------------------------------------------------------------------

    @atomic
    def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        return self._told(self.fs.mknod(parent_inode, name, mode, rdev, Caller(ctx.uid, ctx.gid)))

    @atomic
    def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        return self._told(self.fs.mkdir(parent_inode, name, mode, Caller(ctx.uid, ctx.gid)))

    @atomic
    def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        return self._told(self.fs.symlink(parent_inode, name, target, Caller(ctx.uid, ctx.gid)))

    @atomic
    def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        return self._told(self.fs.link(inode, new_parent_inode, new_name))

    @atomic
    def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        self.fs.unlink(parent_inode, name)

    @atomic
    def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        self.fs.rmdir(parent_inode, name)

    @atomic
    def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        self.fs.rename(parent_inode_old, name_old, parent_inode_new, name_new, flags)

    # --- directories ------------------------------------------------------------------------

    @atomic
    def opendir(self, inode: int, ctx: RequestContext) -> int:
        self.fs.open(inode)
        return inode

    @atomic
    def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        listed = False  # an answer without entries would be the end
        while not listed and (rows := self._rows(fh, start_id)):
            for name, ino, cookie, kind in rows:
                start_id = cookie
                inode = self._known(ino)
                if inode is not None and cookie > 2 and not self._fits(fh, (ino, cookie, kind)):
                    continue
                entry = self._unknown(ino, kind) if inode is None else self._attributes(inode)
                if not pyfuse3.readdir_reply(token, name, entry, cookie):
                    return
                listed = True
                if inode is not None and cookie > 2:  # the kernel does not count `.` and `..`
                    inode.lookups += 1
        if not listed and fh in self._unlisted:
            raise self._unlisted.pop(fh)

    def _known(self, ino: int) -> Inode | None:
        try:
            return self.fs.get(ino)
        except (IndexDamaged, NoEntry) as error:
            fuse_error(error)  # tells the log
        return None

    def _fits(self, fh: int, entry: Entry) -> bool:
        """False where an entry and its inode contradict each other: told at the listing's end only."""
        try:
            return bool(self.fs.named(self.fs.get(fh), entry))
        except IndexDamaged as error:
            self._unlisted[fh] = error
        return False

    def _unknown(self, ino: int, kind: int) -> EntryAttributes:
        """What is said of a listed inode that cannot be read: nothing that lasts, so whoever wants to know
        more asks again, and gets the error."""
        entry = EntryAttributes()
        entry.st_ino = ino
        entry.st_mode = kind << 12
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def _rows(self, ino: int, cookie: int) -> list[EntryRow]:
        # Rows fetched earlier stand only while the directory is as it was: the kernel would believe a
        # stale name.
        version = self.fs.get(ino).version
        rest = self._rest.get(ino)
        if rest is not None and rest[0] == version and rest[1] <= cookie:
            rows = [row for row in rest[2] if row[2] > cookie]
            if rows:
                return rows
        rows = self.fs.readdir(ino, cookie, READDIR_ROWS)
        self._rest[ino] = (version, cookie, rows)
        if len(self._rest) > LISTINGS:
            self._rest.popitem(last=False)
        return rows

    @atomic
    def releasedir(self, fh: int) -> None:
        self._rest.pop(fh, None)
        self._unlisted.pop(fh, None)
        self.fs.release(fh)

    # --- files ------------------------------------------------------------------------------

    @atomic
    def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        self.fs.open(inode, flags)
        return FileInfo(fh=inode, keep_cache=True)

    @atomic
    def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        inode = self.fs.mknod(parent_inode, name, mode, 0, Caller(ctx.uid, ctx.gid))
        inode.opens += 1
        return FileInfo(fh=inode.ino, keep_cache=True), self._told(inode)

    @waiting
    async def read(self, fh: int, off: int, size: int) -> Any:
        data = self.fs.read_resident(fh, off, size)
        if data is not None:
            ahead = self.fs.begin_ahead()
            if ahead is not None:
                self._ahead.want(ahead)
            return data
        plan = self.fs.begin_read(fh, off, size)
        try:
            self._ahead.follow(plan)
            return await trio.to_thread.run_sync(self.fs.run_read, plan, limiter=self._reading)
        finally:
            self.fs.end_read(plan)

    @waiting
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if self._slows_down:
            delay = self.fs.write_delay_seconds(len(buf))
            if delay > 0:
                await self._throttle.hold(delay)
        inode = self.fs.get(fh)
        mode = inode.mode
        # With its write-back cache the kernel keeps the times of a written file itself, and sends them
        # after the data unless we have them already: a stamp of ours would replace what programs saw.
        written = self.fs.write(fh, off, buf, stamp_ns=max(inode.mtime_ns, inode.ctime_ns))
        if self.fs.log.has_unsynced_chunks:
            self.committer.nudge()
        if inode.mode != mode:
            # The kernel still shows the set-id bits that the write has cleared. Only attributes: this
            # takes no lock that the request at hand could hold.
            pyfuse3.invalidate_inode(fh, attr_only=True)
        return written

    async def flush(self, fh: int) -> None:
        # Nothing is held back, so nothing is to be done: the kernel does not ask again.
        raise FUSEError(errno.ENOSYS)

    @atomic
    def release(self, fh: int) -> None:
        self.fs.release(fh)

    @waiting
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self.committer.commit()

    @waiting
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        await self.committer.commit()

    @atomic
    def statfs(self, ctx: RequestContext) -> StatvfsData:
        figures = self.fs.statistics()
        data = StatvfsData()
        data.f_bsize = data.f_frsize = figures.block_bytes
        data.f_blocks = figures.blocks
        data.f_bfree, data.f_bavail = figures.unused_blocks, figures.free_blocks
        data.f_files = figures.files
        data.f_ffree = data.f_favail = figures.free_files
        data.f_namemax = figures.name_bytes
        return data

    # --- extended attributes ----------------------------------------------------------------

    def _need_xattrs(self) -> None:
        if self._noxattr:
            raise FUSEError(errno.ENOSYS)  # the kernel does not ask again

    @atomic
    def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        self._need_xattrs()
        return self.fs.get_xattr(inode, name)

    @atomic
    def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        self._need_xattrs()
        return self.fs.list_xattrs(inode)

    @waiting
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        self._need_xattrs()
        if self.fs.memory_overdrawn:  # one request may bring a megabyte that only a checkpoint gives back
            await self.committer.up_to_date()
        self.fs.set_xattr(inode, name, value)

    @atomic
    def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        self._need_xattrs()
        self.fs.remove_xattr(inode, name)
