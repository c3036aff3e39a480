"""Checkpoints: bringing the index up to an LSN beside live operations, so that the log before it can go.

Promises that the index holds exactly the state at the checkpoint's LSN, that it never names bytes of the
log that are not durable, and that no chunk goes which anything may still need.

Order of writes, and why:
1. gather: rows of the moment of `begin`; what merged in memory is put into the log on the way.
2. sync the log: every record and every byte that the rows name is durable. Were the index first, a power
   cut could leave an extent that points at bytes which never reached the disk.
3. commit the index (one durable transaction with the LSN). Replay now starts behind that LSN.
4. remove sealed chunks whose records all lie at or before that LSN and that no extent map references.
   Were they first, a cut would lose acknowledged changes.
   A thread of the storage unlinks them, some time after: later is as right.
A cut between any two leaves the older index and the whole log, or the newer index and chunks too many,
which the next checkpoint removes.
"""

import logging
from contextlib import suppress
from time import monotonic
from typing import Any

from vfs.backing.log import Place
from vfs.backing.store import Store
from vfs.backing.transaction import Transaction
from vfs.contents import Contents
from vfs.errors import DataDamaged, IndexUnwritten, NoSpace, StoreFailed, VfsError
from vfs.inode.after_commit import AfterCommit
from vfs.inode.tracker import Capture
from vfs.limits import MIB
from vfs.references import References
from vfs.snapshots.actions import Action, Rollback

log = logging.getLogger("vfs")

LOG_BYTES = 256 * MIB
"""A checkpoint is due after so much log: what a mount after a crash has to replay."""

CHANGES = 50_000
"""A checkpoint is due after so many changed inodes and entries: what they take in memory is bounded by it."""

AGE_SECONDS = 60.0
"""A checkpoint is due when changes are older than this."""

SLICE = 500
"""Things captured between two looks at what clients want: about a millisecond."""

TIDY_SLICE = 2_000
"""Things let go of after the commit, between two looks at what clients want: the same."""


class Checkpoints(Contents):
    """A journal that knows when its index should catch up, and how."""

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self._checkpoint_position = 0  # how much of the log there was when the last one began
        self._checkpoint_at = monotonic()
        self._retry_at = 0.0
        self._captured_bytes = 0  # of `unindexed_bytes`, what the checkpoint under way brings into the index
        self._action: Action | None = None  # of the checkpoint under way
        self._in_doubt = False  # nobody knows what became of the action
        self._swapped_bytes = 0  # that packing took out of chunks since the last checkpoint
        self._after_commit: AfterCommit | None = None  # of the last one, while there is something left to do

    @property
    def checkpoint_due(self) -> bool:
        """True when a checkpoint should be taken."""
        changes = len(self.table.tracker)
        if self.table.tracker.capture is not None or not changes or self.read_only or self.failed:
            return False
        now = monotonic()
        if now < self._retry_at:
            return False
        grown = self.log.grown_bytes - self._checkpoint_position
        return (
            self.memory_wants_checkpoint
            or self.short_of_room
            or changes > CHANGES
            or grown > LOG_BYTES
            or now - self._checkpoint_at > AGE_SECONDS
        )

    def steer(self) -> None:
        """Without a daemon: commit and checkpoint when they are due."""
        super().steer()
        if self.checkpoint_due:
            # Nobody asked for it, and what led here has been done: a failure only puts it off.
            with suppress(NoSpace, IndexUnwritten):
                self.checkpoint()

    def checkpoint(self, *, closing: bool = False, action: Action | None = None) -> None:
        """Take a whole checkpoint here and now. A full disk raises NoSpace and changes nothing."""
        self.begin_checkpoint(closing=closing, action=action)
        try:
            while not self.gather_checkpoint():
                pass
            self.log.sync()
            self.commit_checkpoint()
        except VfsError:
            self.abandon_checkpoint()
            raise
        self.end_checkpoint()
        self._finish_tidying()
        if self.autopilot:
            self.wait_until_freed()

    def wait_until_freed(self) -> None:
        """Return when the room of chunks and packs that were removed is the disk's again; any thread."""
        self.store.storage.wait_until_freed()

    # --- the steps, for a daemon that lets clients in between them ---------------------------

    def begin_checkpoint(self, *, closing: bool = False, action: Action | None = None) -> None:
        """This moment's state is the one to bring into the index; with it the action, if it can be."""
        self._finish_tidying()
        if action is not None:
            action.begin(self.table)
        if closing or isinstance(action, Rollback):
            # Before the LSN is taken: what the gathering logs stands behind it, to be replayed by the next
            # mount. After a clean end there should be nothing to replay, and what has become another file
            # must not get the bytes that this one had.
            for inode in list(self.table.tracker.inodes.values()):
                self._settle(inode)
        self._checkpoint_position = self.log.grown_bytes
        self._checkpoint_at = monotonic()
        self._captured_bytes = self.unindexed_bytes
        place = self.log.last_place or NO_PLACE
        meta = {"chunk": place.chunk, "frame": place.frame, "start": place.start}
        self.table.begin_capture(self.log.last_lsn, meta, closing=closing)
        self._action = action

    @property
    def checkpoint_useful(self) -> bool:
        """False when a checkpoint would change nothing and let no chunk go."""
        return len(self.table.tracker) > 0 or self._swapped_bytes > 0

    def gather_checkpoint(self) -> bool:
        """Capture one slice; True when all is captured. Then the log must be synced."""
        return self.table.tracker.gather(SLICE)

    def commit_checkpoint(self) -> None:
        """Write the capture to the index; for a worker thread, after the log was synced.

        NoSpace or IndexUnwritten leave the index as it was.
        """
        capture = self.table.tracker.capture
        assert capture is not None, "begin_checkpoint comes first"
        try:
            with self.store.index.transaction() as transaction:
                write_capture(transaction, capture)
                if self._action is not None:
                    self._action.write(transaction)
        except VfsError as error:
            if self._action is None or not self._shows(self._action):
                raise
            log.warning("a checkpoint counts although its commit failed: %s", error)

    def _shows(self, action: Action) -> bool:
        """Whether readers see what an action has written although its commit failed; then it is made durable.

        Rows that are written from now on would otherwise be of a generation that a snapshot has frozen.
        """
        self._in_doubt = True
        with self.store.index.checking(writable=False) as view:
            shows = action.shows(dict(view.query("SELECT id, name FROM snapshot")))
        if shows:
            with self.store.index.transaction() as transaction:
                transaction.put_meta({"next_tree": self.table.trees.next_id})
        self._in_doubt = False
        return shows

    def end_checkpoint(self) -> None:
        """The index has it: let go of chunks and of memory, which a daemon does in slices (`tidy`)."""
        self._after_commit = self.table.after_commit()
        action, self._action = self._action, None
        if action is not None:
            if isinstance(action, Rollback):
                self._finish_tidying()  # what is in memory becomes another state
            action.end(self.table)
        self.memory_wants_checkpoint = False
        self.unindexed_bytes -= self._captured_bytes
        self._room_bytes = 0  # the index has grown
        self._swapped_bytes = 0
        self.limiter.stop_waiting()
        self._to_relieve.clear()  # all can be asked anew: what they hold may be in the index now
        self.remove_dead_chunks()
        if self.autopilot:
            self._finish_tidying()

    def tidy(self) -> bool:
        """Let go of some of what memory held for the last checkpoint; True when all of that has gone."""
        work = self._after_commit
        if work is not None:
            if not work.step(TIDY_SLICE):
                return False
            self._after_commit = None
        self.relieve()
        return not self.limiter.over

    def _finish_tidying(self) -> None:
        work, self._after_commit = self._after_commit, None
        if work is not None:
            work.finish()
            self.relieve()

    def abandon_checkpoint(self) -> None:
        """The commit failed: all stays in the log and in memory, and is tried again later."""
        self._retry_at = monotonic() + 5.0
        self._action = None
        if self._in_doubt:
            self.log.poison(StoreFailed("the index does not say whether a snapshot was made or removed"))
        self.table.tracker.abandon()
        self.table.trees.restore()
        self.table.tracker.keep_trees(lambda tree: self.table.trees.get(tree) is not None)

    def remove_dead_chunks(self) -> int:
        """Remove chunks that neither replay nor any extent needs; returns how many went.

        No live extent can point into a chunk that the committed index does not reference and that ends
        before the checkpoint: a new reference to old bytes is only ever made from an extent that the
        captured state had too. Plans in flight are the exception: a chunk goes when those have ended that
        began before. Only right after a checkpoint: before its end a record may be younger than the index
        and name an extent that was packed meanwhile.
        """
        if self.read_only or self.failed:
            return 0
        lsn = self.store.index.meta()["lsn"]
        referenced = self.store.index.referenced_chunks()
        doomed = {number for _, numbers in self._doomed for number in numbers}
        dead = []
        for number in self.log.chunk_numbers()[:-1]:
            if number not in referenced and number not in doomed:
                with suppress(DataDamaged):  # a header that cannot be read: what only it tells stays
                    if self.log.chunk_bounds(number)[1] <= lsn:
                        dead.append(number)
        if dead:
            self._doomed.append((self.epochs.advance(), dead))
        return self.remove_drained_chunks()


NO_PLACE = Place(0, 0, 0)
"""Stands for the last record's place while there is none."""


def write_capture(transaction: Transaction, capture: Capture) -> None:
    """Put the rows of a capture into the index, and keep account of what chunks and blobs are referenced."""
    references = References()
    transaction.write_as(capture.generation, capture.chains)
    transaction.drop_entries(iter(capture.dropped_entries))
    # They were gathered newest first. In the order of the changes they mostly come in that of their keys, and
    # take a fifth less time so; sorting them would hold up the owner's thread.
    transaction.put_entries(reversed(capture.entries))
    for ino in capture.dropped:
        _void(transaction, ino, 0, references, hide=False)  # with their inode what shows below is gone
    transaction.drop_inodes(capture.dropped)
    transaction.put_inodes(reversed(capture.inodes))
    for ino, attributes in capture.xattrs:
        transaction.put_xattrs(ino, attributes)
    _write_segments(transaction, capture, references)
    references.write(transaction)
    transaction.put_clones(capture.trees)
    transaction.put_sequences(capture.sequences)
    transaction.put_meta({**capture.meta, "lsn": capture.lsn})


def _write_segments(transaction: Transaction, capture: Capture, references: References) -> None:
    rows = []
    for ino, captured in capture.segments.items():
        if captured.voided_from is not None:
            _void(transaction, ino, captured.voided_from, references, hide=True)
        is_new = ino in capture.new_files
        for number, encoded in captured.segments.items():
            if not is_new:
                for old in transaction.replaced_segments(ino, number):
                    references.take_out(old)
            segment = references.put_in(encoded)
            rows.append((ino, number, segment.allocated, encoded, segment.lowest_chunk()))
    transaction.put_segments(rows)


def _void(transaction: Transaction, ino: int, number: int, references: References, *, hide: bool) -> None:
    for _, encoded in transaction.segments_from(ino, number):
        references.take_out(encoded)
    transaction.drop_segments_from(ino, number, hide=hide)
