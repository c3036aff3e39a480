"""The inode table: every inode, wherever it lies, and the primitive changes of them.

Promises that each change is tracked for the next checkpoint and counted in the totals, that an unlinked
inode lives until nobody holds it, and that memory for inodes that nobody changed is bounded.
Never decides whether a change is allowed and never logs: `FileSystem` does the one, records the other.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from vfs.backing.index import Index
from vfs.backing.transaction import InodeRow
from vfs.backing.tree_rows import EntryRow
from vfs.errors import IndexDamaged, NoEntry, Stale
from vfs.inode.after_commit import AfterCommit
from vfs.inode.directory import FIRST_COOKIE, Directory, Entry
from vfs.inode.extents import ChunkRange
from vfs.inode.inode import Inode
from vfs.inode.invariants import check_inode
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.live_trees import LiveTrees
from vfs.inode.lookups import LookupCounts
from vfs.inode.offloaded import OffloadedFile
from vfs.inode.segments import SegmentRows
from vfs.inode.sequence import Sequence
from vfs.inode.tracker import Capture, Tracker
from vfs.inode.xattrs import XattrMemory
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

INODE_BYTES = 1024
"""What an inode in memory takes, roughly: the bound on clean ones follows from it."""

PRELOAD_ENTRIES = 8
"""So many missing inodes of neighbours are worth one query for all of them."""

SWEEP_STEP = 4
"""Inodes that are looked at for each one that comes: two looks let one go, so that half of it keeps up."""


class InodeTable(LiveTrees):
    """Inodes by number.

    INVARIANT: an inode that is held, tracked or dropped-but-uncommitted is in memory.
    """

    def __init__(
        self, index: Index, limiter: MemoryLimiter, settle: Callable[[Inode], None], *, cached_inodes: int
    ) -> None:
        self._index = index
        self._limiter = limiter
        self._cached_inodes = cached_inodes
        self.tracker = Tracker(settle)
        self._xattrs = XattrMemory(index, limiter, self.tracker)
        self._segments = SegmentRows(index, self.tracker)
        self._inodes: dict[int, Inode] = {}
        self._lookups = LookupCounts()  # of inodes that the kernel knows and that are not in memory
        self._hand: list[int] = []
        """Inodes that are still to be looked at in this round of forgetting, the next one last."""
        self.replaying = True  # nobody holds an inode now, and yet later records may name it
        meta = index.meta()
        self._begin_trees(index, meta)
        self.sequences = {name: Sequence(number) for name, number in index.sequences().items()}

    # --- finding ----------------------------------------------------------------------------

    def get(self, ino: int) -> Inode:
        """The inode; NoEntry when there is none of that number."""
        inode = self._inodes.get(ino)
        if inode is not None:
            inode.used = True
            return inode
        row = self._index.inode(ino)
        if row is None or self.tracker.is_held(ino):  # held but not in memory: dropped, its row still there
            raise Stale(f"inode {ino}") if self.is_gone(ino) else NoEntry(f"inode {ino}")
        return self._adopt(row)

    def _keep(self, inode: Inode) -> None:
        self._inodes[inode.ino] = inode
        if len(self._inodes) > self._cached_inodes and not self.replaying:  # replay brings in what it changes
            self.sweep(SWEEP_STEP)

    def preload(self, parent: int, rows: list[EntryRow]) -> None:
        """Bring the inodes of a directory's entries into memory, those that are not there, all at once.

        What is damaged is for whoever asks for that very inode.
        """
        inodes, tree = self._inodes, parent >> TREE_SHIFT
        missing = [row[1] for row in rows if row[1] not in inodes and row[1] >> TREE_SHIFT == tree]
        if len(missing) < PRELOAD_ENTRIES:
            return
        with suppress(IndexDamaged):
            for row in self._index.inode_rows(missing):
                if not self.tracker.is_held(row[0]):
                    self._adopt(row)

    def read_ahead(self, directory: Inode, entry: Entry) -> None:
        """An entry was looked up whose inode is not in memory: bring it there with those that will be looked
        up next, where look-ups come in the order of the directory. What is damaged is as in `preload`."""
        with suppress(IndexDamaged):
            rows = self.directory(directory).read_ahead(entry[1])
            if rows:
                self.preload(directory.ino, rows)

    def _adopt(self, row: InodeRow) -> Inode:
        inode = Inode(row, persisted=True)
        inode.lookups = self._lookups.take(inode.ino)
        self._keep(inode)
        return inode

    def in_memory(self, ino: int) -> Inode | None:
        """The inode if it is here already."""
        return self._inodes.get(ino)

    def file(self, inode: Inode) -> OffloadedFile:
        """The extents of a regular file."""
        file = inode.file
        if file is None:
            file = inode.file = OffloadedFile(
                inode.ino,
                inode.size,
                inode.allocated,
                self._segments,
                self._limiter,
                persisted=inode.persisted,
            )
        return file

    def directory(self, inode: Inode) -> Directory:
        """The entries of a directory."""
        directory = inode.directory
        if directory is None:
            directory = inode.directory = Directory(
                inode.ino,
                self._index,
                self._limiter,
                complete=not inode.persisted,
                entries=inode.size,
            )
        return directory

    def xattrs(self, inode: Inode) -> dict[bytes, bytes]:
        """The extended attributes of an inode, to look at."""
        return self._xattrs.of(inode)

    def shed_xattrs(self, inode: Inode) -> None:
        """Give up those attributes in memory that the index has as well."""
        self._xattrs.shed(inode)

    # --- holding ----------------------------------------------------------------------------

    def remember(self, inode: Inode) -> None:
        """The kernel was told of the inode once more."""
        inode.lookups += 1

    def forget(self, ino: int, count: int) -> None:
        """The kernel forgot so many of the times it was told of the inode."""
        inode = self._inodes.get(ino)
        if inode is None:
            self._lookups.put(ino, max(0, self._lookups.get(ino) - count))
            return
        left = inode.lookups - count
        inode.lookups = left if left > 0 else 0
        if inode.nlink == 0:
            self.drop_if_unheld(inode)

    def drop_if_unheld(self, inode: Inode) -> None:
        """Let an inode without a name go, once nobody holds it."""
        if inode.nlink or inode.lookups > 0 or inode.opens > 0 or inode.dropped or self.replaying:
            return
        inode.dropped = True  # before it is captured: then nothing of its content has to be logged any more
        self.tracker.touch(inode)
        del self._inodes[inode.ino]
        if inode.xattrs is not None:
            self._xattrs.release(inode)
        if inode.file is not None:
            self._limiter.charge(inode.ino, -inode.file.memory_bytes)
            inode.file = None
        if inode.directory is not None:
            inode.directory.release()
        if inode.ino > LOCAL_MASK:
            self._root_dropped(inode)

    def drop_orphans(self) -> None:
        """After recovery nobody holds anything: inodes without a name go."""
        self.replaying = False
        numbers = set(self._index.orphans())
        numbers.update(inode.ino for inode in list(self._inodes.values()) if not inode.nlink)
        for ino in sorted(numbers):
            self.drop_if_unheld(self.get(ino))
        if self.crowded:
            self.sweep()

    def begin_sweep(self) -> None:
        """Have the next `sweep` begin with a new round."""
        self._hand = list(reversed(self._inodes))

    def sweep(self, most: int | None = None) -> bool:
        """Forget inodes that nobody has open or changed, and that were not used since they were looked at the
        last time. Looks at so many, or at all; False when there is nothing more to be done in this round.

        A table can be large, and who adds an inode must not wait for a walk through all of it. An entry
        changes together with its directory's times: a directory with changed entries is held too.
        """
        if most is None or not self._hand:
            self.begin_sweep()
        inodes, hand = self._inodes, self._hand
        spare = len(inodes) - self._cached_inodes // 2
        for _ in range(len(hand) if most is None else min(most, len(hand))):
            if spare <= 0:
                break
            inode = inodes.get(hand.pop())
            if inode is None:
                continue
            if inode.used:
                inode.used = False
            elif not (inode.opens or not inode.nlink or self.tracker.is_held(inode.ino)):
                self._evict(inode)
                spare -= 1
        return spare > 0 and bool(hand)

    def _evict(self, inode: Inode) -> None:
        del self._inodes[inode.ino]
        if inode.lookups:
            self._lookups.put(inode.ino, inode.lookups)
        self._xattrs.release(inode)
        if inode.file is not None:
            self._limiter.charge(inode.ino, -inode.file.memory_bytes)
        if inode.directory is not None:
            inode.directory.release()

    # --- primitive changes, called by the records of vfs/changes.py --------------------------

    def add(
        self,
        ino: int,
        mode: int,
        uid: int,
        gid: int,
        nlink: int,
        rdev: int,
        time_ns: int,
        parent: int,
        target: bytes | None,
    ) -> Inode:
        """A new inode, with a name or (nlink 0) without one yet."""
        size = 0 if target is None else len(target)
        times = time_ns, time_ns, time_ns, time_ns
        row = (ino, mode, uid, gid, nlink, size, 0, rdev, *times, parent, FIRST_COOKIE, target)
        inode = Inode(row, persisted=False)
        self.tracker.inodes.setdefault(ino, inode)  # no capture can be about to take what did not exist
        self._keep(inode)
        if nlink:
            self.totals_of(ino).linked(inode, 1)
        return inode

    def put_entry(self, parent: Inode, name: bytes, ino: int, cookie: int, mode: int) -> None:
        """A new name in a directory."""
        self.tracker.touch_entry(parent, name)
        if parent.ino not in self.tracker.inodes:
            self.tracker.touch(parent)
        (parent.directory or self.directory(parent)).put(name, (ino, cookie, mode >> 12))
        parent.size += 1
        if cookie >= parent.cookie:
            parent.cookie = cookie + 1

    def drop_entry(self, parent: Inode, name: bytes) -> None:
        """A name less in a directory."""
        self.tracker.touch_entry(parent, name)
        if parent.ino not in self.tracker.inodes:
            self.tracker.touch(parent)
        (parent.directory or self.directory(parent)).drop(name)
        parent.size -= 1

    def stamp_directory(self, parent: Inode, time_ns: int, nlink: int) -> None:
        """The entries of a directory changed."""
        if parent.ino not in self.tracker.inodes:
            self.tracker.touch(parent)
        parent.mtime_ns = parent.ctime_ns = time_ns
        parent.nlink = nlink
        parent.version += 1

    def set_links(self, inode: Inode, nlink: int, time_ns: int) -> None:
        """The number of names; at zero the inode goes as soon as nobody holds it."""
        if inode.ino not in self.tracker.inodes:
            self.tracker.touch(inode)
        if not nlink and inode.nlink:
            self.totals_of(inode.ino).linked(inode, -1)
        elif nlink and not inode.nlink:
            self.totals_of(inode.ino).linked(inode, 1)
        inode.nlink = nlink
        inode.ctime_ns = time_ns
        inode.version += 1
        if not nlink:
            self.drop_if_unheld(inode)

    def move(self, inode: Inode, parent: int, time_ns: int) -> None:
        """The inode lies in another directory."""
        self.tracker.touch(inode)
        inode.parent = parent
        inode.ctime_ns = time_ns
        inode.version += 1

    def set_attributes(
        self, inode: Inode, mode: int, uid: int, gid: int, atime_ns: int, mtime_ns: int, ctime_ns: int
    ) -> None:
        """Mode, owner, times."""
        self.tracker.touch(inode)
        inode.mode, inode.uid, inode.gid = mode, uid, gid
        inode.atime_ns, inode.mtime_ns, inode.ctime_ns = atime_ns, mtime_ns, ctime_ns
        inode.version += 1

    def content_changes(self, inode: Inode) -> None:
        """The content is about to change."""
        self.tracker.touch(inode)

    def content_changed(self, inode: Inode, mode: int, time_ns: int) -> None:
        """The content has changed: size, allocated bytes and times follow."""
        file = inode.file
        assert file is not None, "its content changed through it"
        if inode.nlink:
            self.totals_of(inode.ino).logical_bytes += file.size - inode.size
        inode.size = file.size
        inode.allocated = file.allocated
        inode.mode = mode
        inode.mtime_ns = inode.ctime_ns = time_ns
        inode.version += 1

    def settle(self, inode: Inode, offset: int, extent: ChunkRange) -> None:
        """Bytes in memory also lie in the log now; the content is what it was."""
        if self.replaying:
            self.tracker.touch(inode)
        self.file(inode).settle(offset, extent)

    def set_xattr(self, inode: Inode, name: bytes, value: bytes | None, time_ns: int) -> None:
        """One extended attribute; None removes it."""
        self.tracker.touch(inode)
        self._xattrs.put(inode, name, value)
        inode.ctime_ns = time_ns
        inode.version += 1

    # --- checkpoints ------------------------------------------------------------------------

    def begin_capture(self, lsn: int, meta: dict[str, int], *, closing: bool) -> None:
        """This moment is the state of a checkpoint at `lsn`; after a closing one no number is handed out."""
        sequences = {name: s.next if closing else s.ahead for name, s in self.sequences.items()}
        generation, chains, clones = self._begin_trees_capture()
        meta = {**meta, **self.totals.to_meta(), "generation": generation, "next_tree": self.trees.next_id}
        self.tracker.begin(Capture(lsn, meta, sequences, generation, chains, clones))

    def after_commit(self) -> AfterCommit:
        """The index has the capture: what only mirrored it may go, in slices, before the next one begins."""
        return AfterCommit(self, self.tracker.committed())

    def shrink_directory(self, inode: Inode, held: set[bytes]) -> None:
        """Keep of a directory only what the index does not have; `held` is what the tracker says of that."""
        directory = inode.directory
        if directory is None or not inode.persisted:
            return
        if directory.ahead or not directory.names.keys() <= held:
            directory.forget_clean(held)

    def shed_if_over(self) -> None:
        """Give back memory without logging anything, as replay must: what already has a place in the log."""
        if not self._limiter.over:
            return
        for ino in self._limiter.owners():
            if self._limiter.relieved:
                return
            inode = self._inodes.get(ino)
            if inode is None:
                continue
            self._xattrs.shed(inode)
            if inode.file is not None:
                inode.file.shed()
                inode.file.drop_clean_segments()
        self._limiter.wait()

    @property
    def crowded(self) -> bool:
        """Whether there are more inodes in memory than wanted."""
        return len(self._inodes) > self._cached_inodes

    def loaded(self) -> Iterator[Inode]:
        """All inodes in memory (checks and tests)."""
        return iter(list(self._inodes.values()))

    def check_invariants(self) -> None:
        """Raise AssertionError where memory contradicts itself; tests call it after every step."""
        for inode in self.loaded():
            check_inode(inode, self._limiter.held_by(inode.ino))
