"""Where a change becomes true: logged first, then applied. The ground that the POSIX rules stand on.

Promises G1: a change is in the operating system's hands before it is visible or answered; and that log
and memory never disagree: when applying fails, nothing more is acknowledged.
Never decides what is allowed: the operations do, before they record.
"""

from contextlib import suppress
from time import monotonic

from vfs.backing.room import reserve_bytes
from vfs.backing.store import Store
from vfs.changes import NOWHERE, AnyChange, DataPlace, Reserve, SetAttributes, Settle, encode
from vfs.clock import now_ns
from vfs.errors import READ_ONLY, NoSpace, ReadOnly, Stale, StoreFailed
from vfs.inode.extents import ChunkRange
from vfs.inode.inode import Inode
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.table import INODE_BYTES, InodeTable
from vfs.limits import MIB
from vfs.numbers import LOCAL_MASK, SNAPSHOTS_INO, number_of, tree_of

ROOM_STEP_BYTES = 64 * MIB
"""The free space of the disk is asked for at least once for so many bytes written."""

INDEX_SHARE = 4
ROW_BYTES = 64
"""A record becomes rows of the index, and SQLite's own log has them once more."""

CACHE_BYTES = 64 * MIB
"""Memory for what can be read again: half of it what files hold, a quarter each inodes and decoded blocks."""

RELIEF_OWNERS = 100
"""Owners of memory that one operation asks to give some up: some milliseconds where each has to log it."""

INO_SEQUENCE = "ino"

RELATIME_NS = 24 * 3600 * 10**9
"""An access time older than this is brought up to date by any read."""


class Journal:
    """Log, index and inode table of one open store, and the one way to change them.

    Owned by one thread. `failed` is the reason why nothing more is acknowledged, None while all is well.
    """

    def __init__(
        self,
        store: Store,
        *,
        read_only: bool = False,
        commit_seconds: float = 5.0,
        cache_bytes: int = CACHE_BYTES,
        noatime: bool = False,
    ) -> None:
        self.store = store
        self.log = store.log
        self.read_only = read_only
        self.commit_seconds = commit_seconds
        self.noatime = noatime
        self.autopilot = True  # commit and checkpoint between operations; a daemon does it beside them
        self.limiter = MemoryLimiter(cache_bytes // 2)
        self.table = InodeTable(
            store.index, self.limiter, self._settle, cached_inodes=max(1000, cache_bytes // 4 // INODE_BYTES)
        )
        self.memory_wants_checkpoint = False
        self._to_relieve: list[int] = []  # owners of memory still to be asked, the coldest last
        self.short_of_room = False  # a checkpoint may free chunks of the log
        self.unindexed_bytes = 0  # room that the next checkpoint may need for what was recorded
        self._room_bytes = 0  # may be written before the free space is asked for again
        self._committed_at = monotonic()

    @property
    def failed(self) -> BaseException | None:
        """Why the store no longer takes changes, None while it does."""
        return self.log.failed

    def writable(self, *numbers: int) -> None:
        """Raise ReadOnly unless changes are taken, also of the trees that these inodes lie in."""
        if self.read_only or self.log.failed is not None:
            raise ReadOnly(str(self.log.failed or READ_ONLY))
        for number in numbers:
            if number > LOCAL_MASK and self.is_frozen(number):
                raise ReadOnly("snapshots do not change")

    def is_frozen(self, number: int) -> bool:
        """Whether an inode lies in a snapshot; Stale when it lies in a tree that is gone."""
        if number == SNAPSHOTS_INO:
            return True
        tree = self.table.trees.get(tree_of(number))
        if tree is None:
            raise Stale(f"inode {number}")
        return not tree.live

    # --- recording --------------------------------------------------------------------------

    def record(self, change: AnyChange) -> None:
        """Log a change without data and apply it."""
        command = encode(change)
        self.log.append(command)
        grown = INDEX_SHARE * (len(command) + ROW_BYTES)
        self.unindexed_bytes += grown
        self._room_bytes -= grown
        try:
            change.apply(self.table, NOWHERE)
        except BaseException as error:
            self._diverged(change, error)
            raise
        if self.autopilot:
            self.steer()

    def record_data(self, change: AnyChange, data: bytes | memoryview) -> None:
        """Log a change with its data (at most FRAME_DATA_BYTES) and apply it."""
        place = self.log.append(encode(change), data)
        try:
            change.apply(self.table, DataPlace(self.log.last_lsn, *place, data))
        except BaseException as error:
            self._diverged(change, error)
            raise
        if self.limiter.over:
            self.relieve()
        if self.autopilot:
            self.steer()

    def _diverged(self, change: AnyChange, error: BaseException) -> None:
        # The log says that the change happened, memory has perhaps half of it. Recovery makes it whole.
        self.log.poison(StoreFailed(f"applying {type(change).__name__} failed: {error!r}"))

    def steer(self) -> None:
        """Without a daemon: commit and checkpoint when they are due."""
        now = monotonic()
        if now - self._committed_at > self.commit_seconds:
            self._committed_at = now
            self.log.sync()

    # --- access times --------------------------------------------------------------------------

    def accessed(self, inode: Inode) -> None:
        """relatime: note an access when the noted one is older than the last change, or than a day."""
        if self.noatime:
            return
        atime = inode.atime_ns
        if atime > inode.mtime_ns and atime > inode.ctime_ns and now_ns() - atime < RELATIME_NS:
            return
        now = now_ns()
        if now <= atime or self.read_only or self.log.failed is not None:
            return
        if inode.ino > LOCAL_MASK and self.is_frozen(inode.ino):
            return
        # Reading goes on where there is no room to note it, and on a store that fails just now.
        with suppress(NoSpace, StoreFailed):
            self.table.tracker.before_logging(inode)
            self.record(
                SetAttributes(
                    inode.ino, inode.mode, inode.uid, inode.gid, now, inode.mtime_ns, inode.ctime_ns
                )
            )

    # --- room -------------------------------------------------------------------------------

    def need_room(self, size_bytes: int) -> None:
        """Raise NoSpace when the disk has no room for so many bytes beside what deletes may need."""
        self._room_bytes -= size_bytes
        if self._room_bytes < 0:
            space = self.store.storage.space()
            room = space.free_bytes - reserve_bytes(space.total_bytes) - self.unindexed_bytes
            if room < size_bytes:
                self._room_bytes = 0
                self.short_of_room = True
                raise NoSpace
            self._room_bytes = min(room, ROOM_STEP_BYTES) - size_bytes  # this write takes its part of it
            self.short_of_room = False

    # --- memory -----------------------------------------------------------------------------

    def _settle(self, inode: Inode) -> None:
        file = inode.file
        if file is None:
            return
        for offset, memory in file.unlogged_memory():
            data = bytes(memory.data)
            place = self.log.append(encode(Settle(inode.ino, offset)), data)
            self.table.settle(inode, offset, ChunkRange(len(data), *place))

    @property
    def memory_overdrawn(self) -> bool:
        """Whether so much can only be given up after a checkpoint that what is large should wait for one."""
        return self.memory_wants_checkpoint and self.limiter.used_bytes > 2 * self.limiter.limit_bytes

    def relieve(self) -> None:
        """Bring memory well under its bound again, the coldest first; what is left wants a checkpoint.

        In a daemon it asks a few owners, and leaves the others to whoever comes next: asking them all would
        take as long as some hundred requests.
        """
        limiter, asked = self.limiter, self._to_relieve
        if not limiter.over:
            return
        if not asked or self.autopilot:
            asked = self._to_relieve = limiter.owners()[::-1]
        directories: dict[int, Inode] = {}
        for _ in range(len(asked) if self.autopilot else min(RELIEF_OWNERS, len(asked))):
            if limiter.relieved:
                asked.clear()
                return
            inode = self.table.in_memory(asked.pop())
            if inode is None:
                continue
            self.table.shed_xattrs(inode)
            if inode.file is not None:
                # Where nothing can be logged memory stays as it is: what called for relief has been done.
                with suppress(NoSpace, ReadOnly, StoreFailed):
                    self._settle(inode)
                inode.file.shed()
                inode.file.drop_clean_segments()
            elif inode.directory is not None and inode.persisted:
                directories[inode.ino] = inode
        self._shrink(directories)
        if not asked and limiter.over:
            limiter.wait()
            self.memory_wants_checkpoint = True

    def _shrink(self, directories: dict[int, Inode]) -> None:
        if directories:
            held = self.table.tracker.held_names(directories)
            for ino, inode in directories.items():
                if not self.limiter.relieved:
                    self.table.shrink_directory(inode, held[ino])

    # --- numbers ----------------------------------------------------------------------------

    def new_ino(self, parent: int) -> int:
        """An inode number in the tree of `parent` that was never used and never will be again."""
        sequence = self.table.sequences[INO_SEQUENCE]
        if sequence.next + (1 << 19) > sequence.end:
            if sequence.wants_reservation:
                change = Reserve(INO_SEQUENCE, sequence.next_range_end())
                self.log.append(encode(change))
                change.apply(self.table, DataPlace(self.log.last_lsn, 0, 0, 0, b""))
            if sequence.exhausted:
                # A number must not get out before its reservation is durable, or a power cut could
                # make it be handed out a second time.
                if self.log.synced_lsn < sequence.ahead_lsn:
                    self.log.sync()
                sequence.switch()
        number = sequence.take()
        if number > LOCAL_MASK:
            raise NoSpace("all numbers of inodes are used")
        return number if parent <= LOCAL_MASK else number_of(tree_of(parent), number)
