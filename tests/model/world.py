"""Both sides of the model: a FileSystem under test, and the same operations on a directory of the host.

Every step is done on both and the outcomes are compared, down to the errno. What the host cannot show (inode
numbers, holes, cookies, totals) is kept in plain Python. Never looks at how vfs stores anything.
"""

import ctypes
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.model.bounds import Bounds
from tests.model.listing import Listing
from tests.model.node import Node, Times, host_times
from tests.model.snapshots import Snapshots
from vfs.checker import Report, check, check_committed
from vfs.contents import ReadPlan
from vfs.errors import NoEntry, OperationError, ReadOnly, Stale
from vfs.filesystem import FileSystem, mkfs, open_filesystem
from vfs.inode.inode import Inode
from vfs.inode.xattrs import xattr_bytes
from vfs.limits import ROOT_INO
from vfs.mount.errno_table import ERRNO
from vfs.namespace import Caller
from vfs.numbers import MAIN_TREE, local_of, tree_of

LONG = os.environ.get("VFS_TESTS") == "long"
"""Whether the model may take its time, on a host that is known to stamp each change."""

ME = Caller(os.geteuid(), os.getegid())

_libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> None:
    """renameat2(2), which the standard library does not offer."""
    if _libc.renameat2(old_fd, old, new_fd, new, flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class World:
    """The store, the host directory, and the nodes that both have."""

    def __init__(self, store: Path, host: Path, bounds: Bounds) -> None:
        self.store = store
        self.bounds = bounds
        mkfs(store, bounds.creation)
        host.chmod(0o755)
        self.fs = self._open()
        self.root = Node(ROOT_INO, os.open(host, os.O_PATH | os.O_CLOEXEC))
        self.nodes: dict[int, Node] = {
            ROOT_INO: self.root
        }  # by inode number; also unlinked ones that are held
        self.numbers = {ROOT_INO}  # every number ever given to a new inode, without its tree
        self.snapshots = Snapshots(self)
        self.listings: list[Listing] = []
        self.reads: list[tuple[ReadPlan, bytes]] = []  # begun and not ended, with what they must give
        self.exact_times = LONG and host_has_exact_times(host)
        self.note(self.root)

    def _open(self) -> FileSystem:
        return open_filesystem(
            self.store,
            cache_bytes=self.bounds.cache_bytes,
            backlog_limit_bytes=self.bounds.backlog_limit_bytes,
            pack_workers=0,
        )

    # --- doing the same twice ---------------------------------------------------------------

    def both(
        self, ours: Callable[[], Any], hosts: Callable[[], Any], *, any_reason: bool = False
    ) -> tuple[Any, Any] | None:
        """The two results, or None when both refused for the same reason.

        `any_reason`: several things are wrong at once, and which of them is told is free.
        """
        result, errno = outcome(ours)
        host_result, host_errno = outcome(hosts)
        if any_reason and errno and host_errno:
            return None
        assert errno == host_errno, f"vfs: {_said(errno, result)}, host: {_said(host_errno, host_result)}"
        return None if errno else (result, host_result)

    def refused(self, ours: Callable[[], Any], errno: int) -> None:
        """For what the host has no call for."""
        result, found = outcome(ours)
        assert found == errno, f"vfs: {_said(found, result)}, expected {_said(errno, None)}"

    # --- nodes ------------------------------------------------------------------------------

    def adopt(self, inode: Inode, directory: Node, name: bytes) -> Node:
        """A new inode on both sides."""
        assert local_of(inode.ino) not in self.numbers, f"inode number {inode.ino} was used before"
        assert tree_of(inode.ino) == tree_of(directory.ino)
        self.numbers.add(local_of(inode.ino))
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        node = self.nodes[inode.ino] = Node(inode.ino, descriptor)
        self.note(node, directory)
        return node

    def make(self, directory: Node, name: bytes, mode: int) -> Node:
        """A new file or directory."""
        if stat.S_ISDIR(mode):
            inode = self.fs.mkdir(directory.ino, name, mode, ME)
            os.mkdir(name, stat.S_IMODE(mode), dir_fd=directory.fd)
        else:
            inode = self.fs.mknod(directory.ino, name, mode, 0, ME)
            os.mknod(name, mode, dir_fd=directory.fd)
        return self.adopt(inode, directory, name)

    def write(self, node: Node, offset: int, data: bytes) -> None:
        assert self.fs.write(node.ino, offset, data) == len(data)
        if data:
            self.check_memory()
        os.pwrite(node.data_fd, data, offset)
        node.ranges.write(offset, data, self.bounds.frame_bytes)

    def entries(self) -> list[tuple[Node, bytes]]:
        """Every name there is, with its directory."""
        directories = [node for node in self.nodes.values() if node.is_directory]
        return [(node, name) for node in directories for name in sorted(node.names())]

    def under(self, directory: Node, name: bytes) -> Node | None:
        """The node under a name, as the host says."""
        try:
            host_ino = os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_ino
        except OSError:
            return None
        return next((node for node in self.nodes.values() if node.host_ino == host_ino), None)

    def unnamed(self, node: Node, directory: Node, name: bytes) -> None:
        """A name of the node went away."""
        node.links -= 1
        self.entry_gone(directory, name)
        self.release_if_gone(node)

    def release_if_gone(self, node: Node) -> None:
        if node.links == 0 and not node.held:
            if not node.outside:
                self.refused(lambda: self.fs.get(node.ino), ERRNO[self.gone(node.ino)])
            del self.nodes[node.ino]
            node.close()

    def gone(self, number: int) -> type[NoEntry]:
        """How who asks for an inode is told that it is gone."""
        return Stale if self.fs.table.is_gone(number) else NoEntry

    def entry_gone(self, directory: Node, name: bytes) -> None:
        for listing in self.listings:
            if listing.ino == directory.ino:
                listing.removed(name)

    def note(self, *nodes: Node, exact: bool = True) -> None:
        """These were touched: what the host stamped, vfs stamped too; remember the new times.

        `exact`: and vfs stamped nothing else, as far as the host can tell times that close apart.
        """
        now = time.time_ns()
        for node in nodes:
            if node.fd < 0:
                continue
            times, stamped = self.times(node), host_times(node)
            for which in ("mtime", "ctime"):
                moved = getattr(times, which) != getattr(node.times, which)
                host_moved = getattr(stamped, which) != getattr(node.host_times, which)
                if host_moved or (exact and self.exact_times):
                    assert moved == host_moved, f"{which} of {node.ino}: changed {moved}, host {host_moved}"
            assert times.ctime <= now
            node.times, node.host_times = times, stamped

    def times(self, node: Node) -> Times:
        inode = self.fs.get(node.ino)
        return Times(inode.atime_ns, inode.mtime_ns, inode.ctime_ns)

    # --- comparing --------------------------------------------------------------------------

    def read(self, ino: int, offset: int, length: int) -> bytes:
        """Bytes of a file without touching its access time."""
        file = self.fs.table.file(self.fs.get(ino))
        return bytes(self.fs.run_read(ReadPlan(file.plan(offset, length), length)))

    def compare(self) -> None:
        """Everything, both ways."""
        for node in list(self.nodes.values()):
            self.compare_node(node)
        info = self.fs.info()
        named = [node for node in self.nodes.values() if node.links and tree_of(node.ino) == MAIN_TREE]
        assert info["directories"] == sum(node.is_directory for node in named)
        assert info["files"] == sum(not node.is_directory for node in named)
        assert info["logical_bytes"] == sum(node.size() for node in named if node.is_file)
        self.snapshots.compare()

    def compare_node(self, node: Node) -> None:
        inode, status = self.fs.get(node.ino), node.status()
        assert (inode.mode, inode.uid, inode.gid) == (status.st_mode, status.st_uid, status.st_gid)
        assert self.times(node) == node.times, f"times of inode {node.ino}"
        assert {
            name: self.fs.get_xattr(node.ino, name) for name in self.fs.list_xattrs(node.ino)
        } == node.xattrs
        if node.is_directory:
            self.compare_directory(node)
            return
        assert status.st_nlink == node.links
        assert inode.nlink == node.links + node.outside
        if node.is_file:
            self.compare_content(node)
        elif stat.S_ISLNK(node.kind):
            assert self.fs.readlink(node.ino) == os.readlink(b"", dir_fd=node.fd)
        elif node.kind in (stat.S_IFCHR, stat.S_IFBLK):
            assert inode.rdev == status.st_rdev

    def compare_directory(self, node: Node) -> None:
        names = node.names()
        listed = {}
        cookie = 1  # behind `.`, since starting a listing is an access
        while rows := self.fs.readdir(node.ino, cookie, 3):
            cookie = rows[-1][2]
            for name, ino, _, kind in rows:
                assert name not in listed, f"{name!r} is listed twice"
                listed[name] = (ino, kind << 12)
        assert listed.pop(b"..")[1] == stat.S_IFDIR
        assert listed.keys() == names.keys()
        for name, (ino, kind) in listed.items():
            assert (self.nodes[ino].host_ino, kind) == names[name]
            assert self.fs.lookup(node.ino, name).ino == ino
        subdirectories = sum(kind == stat.S_IFDIR for _, kind in names.values())
        assert self.fs.get(node.ino).nlink == (2 + subdirectories if node.links else 0)

    def compare_content(self, node: Node) -> None:
        inode, size = self.fs.get(node.ino), node.size()
        assert inode.size == size
        assert inode.allocated == node.ranges.total_bytes, f"allocated bytes of inode {node.ino}"
        at: int | None = 0
        data = []
        while at is not None and (at := self.fs.seek_data(node.ino, at)) is not None:
            end = self.fs.seek_hole(node.ino, at)
            data.append((at, end))
            at = end
        assert data == node.ranges.ranges, f"data and holes of inode {node.ino}"
        for start, stop in node.ranges.ranges:
            low, high = max(0, start - 9), min(size, stop + 9)
            expected = os.pread(node.data_fd, high - low, low)
            assert self.read(node.ino, low, high - low) == expected, f"inode {node.ino} at {low}"

    # --- invariants -------------------------------------------------------------------------

    def check_memory(self) -> None:
        """Memory is within its bound, but for what only a checkpoint can free."""
        limiter = self.fs.limiter
        needed = sum(_needed_bytes(self.fs, inode) for inode in self.fs.table.loaded())
        assert limiter.used_bytes <= limiter.limit_bytes * 9 // 8 + needed, "memory is bounded"

    def check_index(self) -> None:
        """The last commit holds together; only right after it."""
        epoch = self.fs.epochs.enter()
        assert_clean(check_committed(self.fs))
        self.fs.epochs.leave(epoch)

    def check_chunks(self) -> None:
        """Right after a checkpoint: chunks that nothing needs are gone, all others are there."""
        if not self.reads and self.fs._pass is None:
            index, chunks = self.fs.store.index, self.fs.log.chunk_numbers()
            assert index.referenced_chunks().keys() <= set(chunks)
            for number in chunks[:-1]:
                is_replayed = self.fs.log.chunk_bounds(number)[1] > index.meta()["lsn"]
                assert is_replayed or number in index.referenced_chunks(), f"chunk {number} is of no use"

    # --- life -------------------------------------------------------------------------------

    def leave(self, *, clean: bool) -> None:
        """Close in order, or let go of everything as a killed process does."""
        if clean:
            if self.snapshots.committed:
                self.fs.end_checkpoint()
            elif self.fs.table.tracker.capture is not None:
                # Also right for one that was committed: its rows are only written once more.
                self.fs.abandon_checkpoint()
            self.fs.close()
        else:
            self.fs._closed = True
            self.fs.store.close()
        self.snapshots.action_over(happened=self.snapshots.committed)

    def restart(self, *, clean: bool) -> None:
        """Leave, check, and come back: everything answered is there."""
        self.leave(clean=clean)
        self.reads.clear()
        assert_clean(check(self.store))
        if not clean:
            self.look_without_writing()
        self.fs = self._open()
        if clean:
            assert self.fs.replayed_records == 0
        self.forget_handles()
        self.compare()

    def look_without_writing(self) -> None:
        """What has to be replayed shows in a read-only file system as well, and stays to be replayed."""
        self.fs = open_filesystem(self.store, read_only=True)
        self.forget_handles()
        self.compare()
        self.refused(lambda: self.fs.mkdir(ROOT_INO, b"new", 0o755), ERRNO[ReadOnly])
        self.fs.close()

    def forget_handles(self) -> None:
        """Nobody holds anything any more: what has no name is gone."""
        for node in list(self.nodes.values()):
            node.lookups = node.opens = 0
            self.release_if_gone(node)

    def close(self, *, compare: bool) -> None:
        """End of a run: the last comparison unless it failed already, and nothing left open."""
        if compare:
            self.restart(clean=True)
        self.leave(clean=compare)
        for node in self.nodes.values():
            node.close()


def assert_clean(report: Report) -> None:
    assert report.clean, report.problems


def outcome(call: Callable[[], Any]) -> tuple[Any, int]:
    """Result and errno, 0 for none."""
    try:
        return call(), 0
    except OperationError as error:
        return None, ERRNO[type(error)]
    except OSError as error:
        return None, error.errno or -1


def _said(number: int, result: Any) -> str:
    return os.strerror(number) if number else f"success ({result!r})"


def _needed_bytes(fs: FileSystem, inode: Inode) -> int:
    """What of an inode cannot be let go before a checkpoint."""
    attributes = xattr_bytes(inode.xattrs or {})
    needed = attributes if fs.table.tracker.holds_xattrs(inode) else 0
    if inode.file is not None:
        needed += sum(
            segment.memory_bytes - segment.buffered_bytes for segment in inode.file._segments.values()
        )
    if inode.directory is not None:
        names = fs.limiter.held_by(inode.ino) - attributes
        needed += names if fs.table.tracker.is_held(inode.ino) else 0
    return needed


def host_has_exact_times(folder: Path) -> bool:
    """True where the host stamps each change with a time of its own once it was looked at."""
    seen = set()
    for mode in (0o700, 0o755) * 5:
        folder.chmod(mode)
        seen.add(folder.stat().st_ctime_ns)
    return len(seen) == 10
