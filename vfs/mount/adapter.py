"""The kernel's requests as calls of the file system, and back.

Promises that every request is answered, an unexpected exception with EIO, and that the kernel may cache
names, attributes and pages for as long as the mount option says, since one daemon owns the store.
Never holds a rule of POSIX, and never waits for the disk in the trio thread where that can be told.

Concurrency: everything runs in the trio thread; a handler without `await` is atomic. The only awaits are
around syncs and cold reads, and before a write or an attribute that is slowed down; no state is carried
across them but a node id and a read plan, since a rollback may come in between.
The kernel speaks of node ids, which are inode numbers but for what a rollback has changed (nodes.py). File
handles are node ids: the file system counts opens itself.
"""

import errno
import os
from collections.abc import Sequence
from time import perf_counter_ns
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

from vfs.errors import VfsError
from vfs.filesystem import FileSystem
from vfs.mount.ahead import ReadAhead
from vfs.mount.answers import Answers, statvfs_data
from vfs.mount.cold_reads import ColdReads
from vfs.mount.committer import Committer
from vfs.mount.cycles import Cycles
from vfs.mount.handlers import atomic, atomic_by_node, waiting
from vfs.mount.listings import READDIR_ROWS, Listings
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.options import MountOptions
from vfs.mount.packer import Packer
from vfs.mount.requests import Requests
from vfs.mount.throttle import Throttle
from vfs.mount.turns import watch_turns


class Adapter(pyfuse3.Operations):
    """pyfuse3's handlers over one `FileSystem`."""

    enable_writeback_cache = True
    supports_dot_lookup = True

    def __init__(self, fs: FileSystem, options: MountOptions) -> None:
        super().__init__()
        self.fs = fs
        self.nodes = NodeIds(fs)
        self.open_files = OpenFiles(fs, self.nodes)
        self.requests = Requests()
        self.listings = Listings(fs)
        self.committer = Committer(fs)
        self.packer = Packer(fs, self.committer, automatic=options.pack)
        self._ahead = ReadAhead(fs)
        self._throttle = Throttle()
        self._cold_reads = ColdReads(fs)
        self.waiting = 0
        """Requests that may wait for the disk and are not answered yet; any thread may look."""
        self._slows_down = options.pack  # waiting for what nobody does would be for ever
        self._noxattr = options.noxattr
        answers = Answers(fs, self.nodes, options.attr_timeout_seconds)
        self._attributes, self._told, self._unreadable = answers.attributes, answers.told, answers.unreadable
        self._missing, self._passing = answers.missing, answers.passing

    async def background(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, checkpoint, pack and read ahead until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.committer.run)
            await nursery.start(self.packer.run)
            nursery.start_soon(self._ahead.run)
            nursery.start_soon(watch_turns, self.requests, self.committer.upkeep)
            nursery.start_soon(Cycles().run)
            task_status.started()

    def activity(self) -> dict[str, Any]:
        """What was asked and what was done beside it, for `info`; any thread may ask."""
        return {
            "read_bytes": self.requests.read_bytes,
            "written_bytes": self.requests.written_bytes,
            "requests": self.requests.figures(),
            "upkeep": self.committer.upkeep.figures(),
        }

    # --- attributes -------------------------------------------------------------------------

    @atomic
    def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        inode = self.fs.find(parent_inode, name)
        if inode is None:
            if name not in self.open_files.names:
                return self._missing(parent_inode)
            inode = self.open_files.find(parent_inode, name, ctx.uid)
            return self._passing(inode)
        inode.lookups += 1
        return self._attributes(inode)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        begin = perf_counter_ns()
        forget = self.nodes.forget if self.nodes.renumbered else self.fs.table.forget
        for node, count in inode_list:
            forget(node, count)
        self.requests["forget"].since(begin)

    @atomic
    def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self._attributes(self.fs.get(inode))

    @atomic_by_node
    def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        # Sizes and times of modification come from the kernel's cache: see `NodeIds.written`.
        from_cache = fields.update_size or fields.update_mtime
        inode = self.nodes.written(inode) if from_cache else self.nodes.number(inode)
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
        told = [name for name, value in changes.items() if value is not None]
        if told == ["ctime_ns"]:
            # Only chown(2) with neither an owner nor a group says so little.
            self.fs.chown_to_nobody_else(inode, ctx.uid, ctime_ns=attr.st_ctime_ns)
        elif told:
            self.fs.set_attributes(inode, **changes)
        elif not fields.update_size:
            # Nor does anything but the write that comes next, of somebody who may not keep set-id bits.
            self.fs.clear_set_ids(inode, ctx.gid)
        return self._attributes(self.fs.get(inode))

    @atomic
    def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        return self.fs.readlink(inode)

    # --- names ------------------------------------------------------------------------------

    @atomic
    def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        return self._told(self.fs.mknod(parent_inode, name, mode, rdev, (ctx.uid, ctx.gid)))

    @atomic
    def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        return self._told(self.fs.mkdir(parent_inode, name, mode, (ctx.uid, ctx.gid)))

    @atomic
    def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        return self._told(self.fs.symlink(parent_inode, name, target, (ctx.uid, ctx.gid)))

    @atomic
    def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        return self._told(self.fs.link(inode, self.nodes.number(new_parent_inode), new_name))

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
        new_parent = self.nodes.number(parent_inode_new)
        self.fs.rename(parent_inode_old, name_old, new_parent, name_new, flags)

    # --- directories ------------------------------------------------------------------------

    @atomic
    def opendir(self, inode: int, ctx: RequestContext) -> int:
        self.fs.open(inode)
        return self.nodes.node(inode)

    @atomic
    def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        listings = self.listings
        listed = 0  # an answer without entries would be the end
        # Until the kernel's buffer is full, since each one is a request; but a program may have a large one.
        while listed < READDIR_ROWS:
            try:
                rows = listings.rows(fh, start_id)
            except VfsError:
                if listed:
                    return  # they are told of, and counted; whoever goes on is told of this
                raise
            if not rows:
                break
            for name, ino, cookie, kind in rows:
                start_id = cookie
                inode = listings.known(ino)
                if inode is not None and cookie > 2 and not listings.fits(fh, inode, cookie, kind):
                    continue
                entry = self._unreadable(ino, kind) if inode is None else self._attributes(inode)
                if not pyfuse3.readdir_reply(token, name, entry, cookie):
                    return
                listed += 1
                if inode is not None and cookie > 2:  # the kernel does not count `.` and `..`
                    inode.lookups += 1
        if not listed:
            listings.end(fh)

    @atomic_by_node
    def releasedir(self, fh: int) -> None:
        self.listings.close(fh)
        self.nodes.release(fh)

    # --- files ------------------------------------------------------------------------------

    @atomic
    def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        mode = self.fs.get(inode).mode if flags & os.O_TRUNC else 0
        opened = self.fs.open(inode, flags)
        node = self.nodes.node(inode)
        self.open_files.opened(node, flags)
        if mode and mode != opened.mode:
            _show_mode(node)
        return FileInfo(fh=node, keep_cache=True)

    @atomic
    def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        inode = self.fs.mknod(parent_inode, name, mode, 0, (ctx.uid, ctx.gid))
        inode.opens += 1
        self.open_files.opened(inode.ino, flags)
        return FileInfo(fh=inode.ino, keep_cache=True), self._told(inode)

    @waiting
    async def read(self, fh: int, off: int, size: int) -> Any:
        number = self.nodes.number(fh)
        data = self.fs.read_resident(number, off, size)
        if data is not None:
            self.requests.read_bytes += len(data)
            ahead = self.fs.begin_ahead()
            if ahead is not None:
                self._ahead.want(ahead)
            return data
        plan = self.fs.begin_read(number, off, size)
        try:
            self._ahead.follow(plan)
            # A plan is of the moment at which it was made, and stays readable until it is ended. A rollback
            # in between drops the page that it fills: the kernel keeps that locked until it has the answer.
            data = await self._cold_reads.run(plan)
            self.requests.read_bytes += len(data)
            return data
        finally:
            self.fs.end_read(plan)

    @waiting
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if self._slows_down:
            delay = self.fs.write_delay_seconds(len(buf))
            if delay > 0:
                # What the handle stands for is asked after it.
                await self._throttle.hold(delay, self.fs.packing_seconds)
        number = self.nodes.written(fh)
        inode = self.fs.get(number)
        mode = inode.mode
        # With its write-back cache the kernel keeps the times of a written file itself, and sends them
        # after the data unless we have them already: a stamp of ours would replace what programs saw.
        written = self.fs.write(number, off, buf, stamp_ns=max(inode.mtime_ns, inode.ctime_ns))
        self.requests.written_bytes += written
        if self.fs.log.has_unsynced_chunks:
            self.committer.nudge()
        if inode.mode != mode:
            _show_mode(fh)
        return written

    @atomic_by_node
    def flush(self, fh: int) -> None:
        # Nothing is held back, so nothing is to be done: the kernel does not ask again.
        raise FUSEError(errno.ENOSYS)

    @atomic_by_node
    def release(self, fh: int) -> None:
        self.nodes.release(fh)
        self.open_files.closed(fh)

    @waiting
    async def fsync(self, fh: int, datasync: bool) -> None:
        self.nodes.number(fh)
        await self.committer.commit()  # of everything answered: true whatever the handle stands for after it

    @waiting
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        self.nodes.number(fh)
        await self.committer.commit()  # the same

    @atomic_by_node
    def statfs(self, ctx: RequestContext) -> StatvfsData:
        return statvfs_data(self.fs.statistics())

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
            await self.committer.up_to_date()  # which inode it is about is asked after it
        self.fs.set_xattr(self.nodes.number(inode), name, value)

    @atomic
    def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        self._need_xattrs()
        self.fs.remove_xattr(inode, name)


def _show_mode(node: int) -> None:
    """Have the kernel ask for the mode of a node whose set-id bits have gone with a request that has no mode
    in its answer: it would show them, and obey them. Takes no lock that the request at hand could hold."""
    pyfuse3.invalidate_inode(node, attr_only=True)
