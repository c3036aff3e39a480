"""Making the log durable and the index catch up, beside the requests of clients.

Promises that many waiters share one fdatasync, that what is answered is durable at most `commit_seconds`
later, and that a slow disk holds up nobody but those who asked for durability.
Never touches the file system from a thread: workers run only `run_sync` and `commit_checkpoint`.
"""

import logging
from functools import partial
from time import perf_counter_ns

import trio

from vfs.backing.log import SyncTicket
from vfs.errors import NoSpace, StoreFailed, VfsError
from vfs.filesystem import FileSystem
from vfs.mount.logs import tell_once
from vfs.mount.requests import Upkeep
from vfs.mount.sync_thread import SyncThread
from vfs.snapshots.actions import Action

log = logging.getLogger("vfs")

INDEX_THREADS = 1
"""An index transaction has a thread of its own, as a sync has: no slow reads keep either from it."""

GATHER_SHARE = 0.5
GATHER_SECONDS = 0.002
"""How long a sync waits for company, of what the last one took: a wrong guess costs no more than that."""

LOOK_SECONDS = 1.0
"""How often it is looked whether a checkpoint is due."""


class Committer:
    """Group commit, background commit and checkpoints of one file system. Lives in the trio thread.

    INVARIANT: `_syncing` is set exactly while one task waits for a sync in a thread.
    """

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._index_threads = trio.CapacityLimiter(INDEX_THREADS)
        self._thread = SyncThread()
        self._syncing: trio.Event | None = None
        self._waiting = 0  # tasks inside of `commit`
        self._crowd = 0  # how many there were when the last sync ended: what it has served, and the next ones
        self._sync_seconds = 0.0  # how long that took
        self._gathered = trio.Event()
        self._early = trio.Event()
        self._asked = trio.Event()
        self._answered = trio.Event()  # set when what was asked for has been tried
        self.upkeep = Upkeep()
        self._told = ""  # why the last checkpoint was not taken, as it was logged: once is enough
        self.checkpointing = trio.Lock()
        """Held while a capture of the state is in flight, and by whoever needs that there is none."""

    def nudge(self) -> None:
        """A chunk of the log is full: write it out now, not when a whole interval's worth has piled up."""
        self._early.set()

    async def commit(self, *, anyway: bool = False) -> None:
        """Return when everything answered before this call is durable; StoreFailed when that cannot be.

        `anyway`: also when there is no new record, for what waits until a new chunk is durable.
        """
        journal = self._fs.log
        lsn = journal.last_lsn
        self._waiting += 1
        try:
            if self._waiting >= self._crowd:
                self._gathered.set()
            while journal.synced_lsn < lsn or anyway:
                if self._syncing is not None:
                    await self._syncing.wait()  # it may have begun before our last record: look again
                else:
                    anyway = False
                    await self._sync()
        finally:
            self._waiting -= 1
        if journal.failed is not None:
            raise StoreFailed(journal.failed.reason)

    async def _let_join(self) -> None:
        """Let those come back whom the last sync has answered: one that began at once would serve half of a
        crowd that fsyncs all the time, and the other half would wait for two. Alone nobody waits here."""
        if self._waiting < self._crowd:
            self._gathered = trio.Event()
            with trio.move_on_after(min(self._sync_seconds * GATHER_SHARE, GATHER_SECONDS)):
                await self._gathered.wait()

    async def _sync(self) -> None:
        done = self._syncing = trio.Event()
        try:
            await self._let_join()
            # One task at a time: no await stands between begin_sync and the thread's start.
            begin = perf_counter_ns()
            ticket = self._fs.begin_sync()
            error: BaseException | None = None
            try:
                await self._thread.run(partial(self._run_sync, ticket))
            except OSError as failure:
                error = failure
            frames = ticket.lsn - self._fs.log.synced_lsn
            self._fs.end_sync(ticket, error)
            self.upkeep.commit.since(begin)
            self._sync_seconds = (perf_counter_ns() - begin) / 1e9
            self._crowd = self._waiting
            self.upkeep.committed(frames)
            broken = self._fs.log.failed
            if broken is not None:
                self._tell_failure()
                raise StoreFailed(broken.reason) from error
        finally:
            self._syncing = None
            done.set()

    def _run_sync(self, ticket: SyncTicket) -> None:
        with self.upkeep.sync.timed():
            self._fs.run_sync(ticket)

    def _commit_checkpoint(self) -> None:
        with self.upkeep.index.timed():
            self._fs.commit_checkpoint()

    def _gather(self) -> bool:
        with self.upkeep.slice.timed():
            return self._fs.gather_checkpoint()

    def _tidy(self) -> bool:
        with self.upkeep.slice.timed():
            return self._fs.tidy()

    async def checkpoint(self, *, anyway: bool = False, action: Action | None = None) -> None:
        """Take a checkpoint in slices; nothing to do when it would be useless, unless one is wanted `anyway`,
        for what only its end may remove.

        With an action always, after the one that is under way; the action's moment is when its own begins.
        SnapshotError or ReadOnly: it cannot be done, and nothing has changed.
        """
        async with self.checkpointing:
            fs = self._fs
            if action is not None:
                fs.writable()
            elif fs.failed is not None or fs.read_only or not (anyway or fs.checkpoint_useful):
                return
            begin = perf_counter_ns()
            with self.upkeep.slice.timed():
                fs.begin_checkpoint(action=action)
            try:
                while not self._gather():
                    await trio.lowlevel.checkpoint()
                await self.commit(anyway=anyway)
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._commit_checkpoint, limiter=self._index_threads)
            except BaseException:
                fs.abandon_checkpoint()
                raise
            with self.upkeep.slice.timed():
                fs.end_checkpoint()
            while not self._tidy():
                await trio.lowlevel.checkpoint()
            self.upkeep.checkpoint.since(begin)

    async def up_to_date(self) -> None:
        """Have a checkpoint taken in the background; return when it is there or could not be taken.

        Whoever does not want to wait any more disturbs nothing by going.
        """
        answered = self._answered
        self._asked.set()
        await answered.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit and checkpoint whenever due, until cancelled."""
        self._fs.autopilot = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._commit_regularly)
                nursery.start_soon(self._checkpoint_regularly)
                task_status.started()
        finally:
            self._fs.autopilot = True

    async def _commit_regularly(self) -> None:
        while True:
            with trio.move_on_after(self._fs.commit_seconds):
                await self._early.wait()
            self._early = trio.Event()
            if self._fs.failed is None:
                try:
                    await self.commit()
                except StoreFailed:
                    continue  # told where it happened; the mount is read-only from now on
                except Exception:
                    log.exception("unexpected error in a background commit")  # no reason to end the mount

    def _tell(self, level: int, text: str) -> None:
        if text != self._told:  # it is tried again every few seconds
            self._told = text
            log.log(level, "%s", text)

    def _tell_failure(self) -> None:
        """One line for the failure that made the mount read-only, wherever it came to light."""
        if self._fs.failed is not None:
            tell_once(str(self._fs.failed))

    async def _checkpoint_regularly(self) -> None:
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._asked.wait()
            self._tell_failure()  # also one that no request was told of: noting an access time, say
            answered = None
            if self._asked.is_set():
                answered = self._answered
                self._asked, self._answered = trio.Event(), trio.Event()
            if answered is not None or self._fs.checkpoint_due:
                try:
                    await self.checkpoint()
                    self._told = ""
                except NoSpace as error:
                    self._tell(logging.WARNING, f"checkpoint put off: {error}")
                except StoreFailed:
                    self._tell_failure()
                except VfsError as error:
                    self._tell(logging.ERROR, f"checkpoint failed: {error}")
                except Exception:
                    log.exception("unexpected error in a checkpoint; it is tried again")
            if answered is not None:
                answered.set()
