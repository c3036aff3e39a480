"""Space comes back: blobs that no tree refers to go, thin packs are rewritten, small ones merged.

Promises that what any committed map names stays readable at every step, for readers that are under way as
well. A blob that nothing refers to can come to be referenced again in two ways only. A pass of the packer may
find it by its hash: passes and collections exclude each other. And a record of the log that is younger than
the index may name it, when a swap has packed that data anew: so a collection begins after a checkpoint that
is younger than the last swap.

Order of writes of a round, and why:
1. a row says that a pack is coming, and reserves its numbers: a cut leaves a file that some row explains.
2. the live blobs of thin packs are copied into the new pack, which is synced and put in its place.
3. one transaction of the index: the new pack is there, its blobs lie in it, dead blobs are forgotten, and
   the old packs are on their way out. Were it before 2, a cut would lose live data.
4. when all readers have ended that may have looked up an old place, or name a blob that is forgotten (until
   then its place is kept in memory), the old files are unlinked and the folder
   is synced. Were it before 3, the same; were it sooner, a reader would find nothing.
5. the rows of the old packs go. Were it before the sync, a file could come back that no row explains.
A cut after 1 or 2 leaves a file, after 3 or 4 files or rows too many, all of which the next opening removes.

A daemon takes the same steps as `collect`, in this order, while nobody else packs: a checkpoint; all slices
of pruning; everything is packed if `log_wants_packing`; `begin_collect`; as long as `run_collect`, in a
thread, says so: `commit_collect`, in a thread and with no capture in flight, and `end_collect`, and then, if
`packing_presses`, whole passes, a checkpoint that is younger than their swaps, and `resume_collect`; then
`roll_log`, a checkpoint which syncs the log, `remove_dead_log`, `shrink_index` in a thread, and
`finish_collect` is the report. After an error `abandon_collect`.
"""

import logging
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

from vfs.backing.garbage import AUTOMATIC, EAGER, DeadBlob, PackFigures, choose_packs, survey_packs
from vfs.backing.orphans import withdraw
from vfs.backing.pack_session import PackSession
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.room import packing_room_bytes, unit_bytes
from vfs.backing.store import Store
from vfs.collection import Collect, Collection, ProgressCall
from vfs.errors import NoSpace, StoreFailed, VfsError
from vfs.limits import KIB, MIB
from vfs.pack_pass import PackPass
from vfs.snapshots.pruning import Pruning
from vfs.unwritten import unwritten

__all__ = ["Collect", "Collecting", "Collection"]

log = logging.getLogger("vfs")

SURVEY_SECONDS = 30.0
"""How often it is looked whether a collection is due."""

SHORT_SURVEY_SECONDS = 5.0
"""The same when the disk is nearly full."""

ROLL_BYTES = 64 * KIB
"""The active chunk of the log is closed when so much of it is dead."""

DEAD_LOG_BYTES = 256 * MIB
"""Dead bytes in the log, held by what little of its chunks is live, that make a collection due."""


EAGER_LOG_BYTES = MIB
"""The same when somebody asks for a collection."""


class Collecting(Pruning):
    """A store that gives space back."""

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self._swapped = False  # since the last checkpoint an extent was packed
        self._worth_collecting = False
        self._surveyed_at = monotonic()
        self._unsurveyed = False  # the last checkpoint came before its time
        self._log_look_at = 0.0
        self._log_is_thin = False
        self._stubborn_bytes = 0  # dead in the log even after the last collection
        self._kept_packs: set[int] = set()
        self._going_lock = threading.Lock()
        self._going: list[tuple[int, list[PackFigures], list[DeadBlob]]] = []
        """Packs and blobs on their way out, with the epoch that has to drain; belongs to `_going_lock`."""

    # --- when ---------------------------------------------------------------------------------

    @property
    def gc_due(self) -> bool:
        """True when a collection in the background would be worth its while."""
        if self.read_only or self.failed is not None:
            return False
        return self._worth_collecting or self.log_is_thin

    @property
    def log_is_thin(self) -> bool:
        """True when much of the log is dead and held by little: packing everything would let it go."""
        now = monotonic()
        if now >= self._log_look_at:
            self._log_look_at = now + SURVEY_SECONDS
            live, dead = self._look_at_log()
            self._log_is_thin = dead - self._stubborn_bytes > DEAD_LOG_BYTES and dead > 3 * live
        return self._log_is_thin

    def log_wants_packing(self, *, eager: bool) -> bool:
        """Whether everything should be packed before a collection, since that lets dead bytes of the log go.

        Right after a checkpoint. Dead bytes that nothing live holds go by themselves.
        """
        if not eager:
            return self.log_is_thin
        live, dead = self._look_at_log()
        return live > 0 and dead - self._stubborn_bytes > EAGER_LOG_BYTES and dead > live

    def _look_at_log(self) -> tuple[int, int]:
        """How much of the log the index refers to, and how much neither it nor a replay needs."""
        live = sum(self.store.index.referenced_chunks().values())
        replayed = self.log.grown_bytes - self._checkpoint_position  # not in the index yet
        return live, max(0, self.log.size_bytes - live - replayed)

    def commit_checkpoint(self) -> None:
        """As before; and look now and then whether a collection is due, since this is a worker's thread."""
        super().commit_checkpoint()
        try:
            self.remove_going_packs()
            self._unsurveyed = not self._time_for_survey
            if not self._unsurveyed:
                self._survey()
        except VfsError as error:
            # The checkpoint itself has succeeded, and that alone is what its caller must hear.
            log.warning("looking for dead data: %s", error)

    def _survey(self) -> None:
        self._surveyed_at = monotonic()
        unit = unit_bytes(self.store.storage.space().total_bytes)
        thresholds = (EAGER if self.low_on_room else AUTOMATIC).on(unit)
        found = [pack for pack in survey_packs(self.store.index) if pack.id not in self._kept_packs]
        self._worth_collecting = bool(choose_packs(found, thresholds)) or self.store.index.is_loose()

    @property
    def _time_for_survey(self) -> bool:
        seconds = SHORT_SURVEY_SECONDS if self.low_on_room else SURVEY_SECONDS
        return monotonic() - self._surveyed_at >= seconds

    @property
    def _survey_due(self) -> bool:
        return self._unsurveyed and self._time_for_survey

    @property
    def checkpoint_due(self) -> bool:
        """As before; also when the last one came too soon for a look at what is dead, and none followed."""
        if super().checkpoint_due:
            return True
        quiet = self.table.tracker.capture is None and not self._swapping and not self.failed
        return quiet and self._survey_due and monotonic() >= self._retry_at

    @property
    def checkpoint_useful(self) -> bool:
        """As before, or when a look at what is dead is due."""
        return super().checkpoint_useful or self._survey_due

    def commit_pack(self, work: PackPass) -> None:
        """As before; blobs may be dead now that the log still names."""
        self._swapped = True
        super().commit_pack(work)

    def end_checkpoint(self) -> None:
        """As before; the log behind it names nothing that was packed anew."""
        super().end_checkpoint()
        self._swapped = False  # no pass commits while a capture is in flight

    @property
    def packing_presses(self) -> bool:
        """True when so much waits to be packed that a collection should let passes in between its rounds."""
        return self.failed is None and self.backlog_bytes > 0 and self._backlog.pressing

    # --- all of it ----------------------------------------------------------------------------

    def collect(
        self, *, eager: bool = True, dry_run: bool = False, progress: ProgressCall | None = None
    ) -> Collection:
        """Give back what no tree refers to, here and now. A dry run takes a checkpoint, and that is all."""
        self.writable()
        log_bytes = self.log.size_bytes
        self.checkpoint()
        pruned = self.begin_prune(large=True)
        if dry_run:
            self.estimate_prune(pruned)
        else:
            self.prune_what_can_be(pruned)
        if not dry_run and self.log_wants_packing(eager=eager):
            try:
                self.flush()
            except NoSpace:  # what is dead goes without, and makes room
                self.checkpoint()
        work = self.begin_collect(eager=eager, dry_run=dry_run, progress=progress)
        work.log_bytes = log_bytes
        try:
            while self.run_collect(work):
                self.commit_collect(work)
                self.end_collect(work)
        except BaseException:
            self.abandon_collect(work)
            raise
        if not dry_run:
            if self.roll_log():
                self.log.sync()
            self.checkpoint()
            self.shrink_index(work)
        return pruned.tell(self.finish_collect(work))

    # --- the steps ------------------------------------------------------------------------------

    def begin_collect(
        self, *, eager: bool, dry_run: bool = False, progress: ProgressCall | None = None
    ) -> Collect:
        """First step, the owner's, after a checkpoint; nobody packs from before that checkpoint to the end.

        `progress` is called by the thread of `run_collect`.
        """
        self._need_no_swaps()
        self._worth_collecting = False
        return Collect(
            eager=eager,
            dry_run=dry_run,
            kept=self._kept_packs,
            progress=progress,
            log_bytes=self.log.size_bytes,
            unit_bytes=unit_bytes(self.store.storage.space().total_bytes),
        )

    def _need_no_swaps(self) -> None:
        if self._swapped and len(self.table.tracker):
            raise RuntimeError("a collection goes on after a checkpoint that is younger than the last pass")

    def resume_collect(self, work: Collect) -> None:
        """The owner's step after passes between two rounds, and a checkpoint: what was dead may be in use."""
        self._need_no_swaps()
        work.look_again()

    def run_collect(self, work: Collect) -> bool:
        """One round of looking and copying, in any thread; False when there is nothing more to do.

        Then the new pack, if there is one, is durable and in its place. NoSpace, PackUnwritten,
        IndexUnwritten and IndexDamaged leave everything as it was, once the collection is abandoned.
        """
        self.remove_going_packs()
        room = packing_room_bytes(self.store.storage.space())
        with unwritten():
            found = work.next_round(self.store.index, self.blobs.packs.open, self._open_session, room)
        if work.cancelled:
            self.abandon_collect(work)
            return False
        return found

    def _open_session(self) -> PackSession:
        return PackSession(
            self.store.storage,
            self.store.superblock.uuid,
            self.store.rows,
            self.blobs,
            compression=self.compression,
            block_bytes=self.creation.block_bytes,
            workers=self._pack_workers,
        )

    def commit_collect(self, work: Collect) -> None:
        """Make the round true in the index; in any thread, while no capture is in flight."""
        found = work.round
        assert found is not None, "run_collect comes first"
        if self.failed is not None:
            raise StoreFailed(str(self.failed))
        self.blobs.keep_places(self.store.rows.dead_places({blob.block for blob in found.dead}))
        work.certain = False
        try:
            with self.store.index.transaction() as transaction:
                if found.sealed is not None:
                    transaction.put_pack(found.sealed)
                transaction.drop_blobs([(blob.id, blob.length) for blob in found.dead])
                transaction.drop_blocks(found.emptied)
                transaction.set_going([pack.id for pack in found.going])
        except NoSpace:
            work.certain = True
            raise
        work.committed = work.certain = True
        self.blobs.forget_places()

    def end_collect(self, work: Collect) -> None:
        """Back in the owner's thread: from now on no reader begins that looks for an old pack."""
        assert work.round is not None, "commit_collect comes first"
        self._room_bytes = 0  # the new pack has taken some of it: the next write looks again
        with self._going_lock:
            self._going.append((self.epochs.advance(), work.round.going, work.round.dead))
        work.count()

    def abandon_collect(self, work: Collect) -> None:
        """After an error: what was not committed goes, and what was is ended; in any thread."""
        if work.committed:
            self.end_collect(work)
            return
        session, work.session = work.session, None
        found, work.round = work.round, None
        try:
            if found is not None and found.sealed is not None:
                withdraw(self.store.storage, self.store.index, found.sealed, doubted=not work.certain)
            elif session is not None:
                session.abandon()
        except (OSError, VfsError) as error:
            log.warning("what an unfinished pack left is removed when the store is opened again: %s", error)

    def finish_collect(self, work: Collect) -> Collection:
        """Last step, the owner's: what came of it."""
        if not work.dry_run:
            self._log_is_thin = False
            _, self._stubborn_bytes = self._look_at_log()
            work.report.log_freed_bytes = max(0, work.log_bytes - self.log.size_bytes)
        return work.report

    # --- what is left behind ----------------------------------------------------------------------

    def remove_going_packs(self) -> int:
        """Unlink packs that nobody reads any more and forget them, in any thread; returns how many."""
        storage = self.store.storage
        with self._going_lock:
            drained = [each for each in self._going if self.epochs.drained(each[0])]
            self._going = [each for each in self._going if each not in drained]
            self.blobs.drop_places(blob.id for _, _, dead in drained for blob in dead)
            packs = [pack for _, packs, _ in drained for pack in packs]
            if not packs:
                return 0
            try:
                for pack in packs:
                    self.blobs.packs.forget(pack.id)
                    with suppress(FileNotFoundError):
                        storage.unlink(f"{PACKS_FOLDER}/{pack.name}")
                storage.sync_folder(PACKS_FOLDER)
            except OSError as error:
                # Their rows stay, so the next opening of the store removes them.
                log.warning("packs that are not needed cannot be removed: %s", error.strerror or error)
                return 0
            self.store.rows.drop_packs([pack.id for pack in packs])
            return len(packs)

    @property
    def packs_may_go(self) -> bool:
        """Whether the readers have ended for whom a pack that is on its way out was kept."""
        return any(self.epochs.drained(epoch) for epoch, _, _ in self._going)

    def give_back(self) -> None:
        """Return when the room of all that goes and that nobody reads is the disk's, in any thread."""
        try:
            self.remove_going_packs()
        except VfsError as error:
            log.warning("packs that are not needed cannot be removed: %s", error)
        self.wait_until_freed()

    def roll_log(self) -> bool:
        """Begin a new chunk of the log when much of the active one is dead; the owner. A sync comes next."""
        place = self.log.last_place
        active = self.log.chunk_numbers()[-1]
        if place is None or place.chunk != active:
            return False
        if place.start - self.store.index.referenced_chunks().get(active, 0) < ROLL_BYTES:
            return False
        with suppress(NoSpace):
            self.log.roll()
            return True
        return False

    def remove_dead_log(self) -> int:
        """Remove chunks that nothing needs, if the index has all that was logged; the owner."""
        if self.store.index.meta()["lsn"] != self.log.last_lsn:
            return 0  # a record may be younger than the index: the next checkpoint does it
        return self.remove_dead_chunks()

    def shrink_index(self, work: Collect) -> None:
        """Give the index's unused room back to the disk; in any thread."""
        before = self.store.index_bytes()
        self.store.index.shrink()
        work.report.index_freed_bytes = max(0, before - self.store.index_bytes())
