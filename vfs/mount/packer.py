"""Packing and collecting beside the requests of clients.

Promises that passes, collections and imports never overlap; that an unmount waits for no more than the block
that is being worked on; and that what failed (a full disk, damaged data) is put off, never tried again in a
hurry. Never takes the threads that reads and syncs need: it has its own.

Concurrency: lives in the trio thread. Of a pass and of a round of a collection the first and the last step
belong to the owner, running goes on in a thread beside everybody, and committing in a thread while no
checkpoint is being taken, which is shielded: once it has begun, it comes to its end. Whoever works on packs
holds `exclusive`, and takes checkpoints while holding it; nobody asks for it while a checkpoint waits.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

from vfs.collecting import Collect, Collection
from vfs.errors import MountError, NoSpace
from vfs.filesystem import FileSystem
from vfs.mount.background import Background
from vfs.mount.committer import Committer
from vfs.mount.giving_way import GivingWay
from vfs.mount.pruner import Pruner
from vfs.pack_pass import PackPass
from vfs.snapshots.pruning import Prune

R = TypeVar("R")
W = TypeVar("W", PackPass, Collect)

LOOK_SECONDS = 0.5
"""How often it is looked whether there is something to pack or to collect."""

PASSES_IN_BETWEEN = 4
"""Passes that a collection lets in after each of its rounds, when writers would have to wait: both get on."""

READERS_SECONDS = 10.0
"""Whoever asked for room waits so long for those who read what goes; behind longer ones it goes by itself."""

READERS_LOOK_SECONDS = 0.02

OnProgress = Callable[[int, int, str], None]


class Packer:
    """The background packer of one file system, and packing on demand.

    INVARIANT: `_work` is set exactly while somebody holds `exclusive` and works on packs.
    """

    def __init__(self, fs: FileSystem, committer: Committer, *, automatic: bool) -> None:
        # dependencies
        self._fs = fs
        self._committer = committer
        # constant
        self._automatic = automatic and not fs.read_only
        self._threads = trio.CapacityLimiter(1)
        self.exclusive = trio.Lock()
        """Held by whoever makes or removes packs."""
        # mutable
        self._work: PackPass | Collect | None = None
        self._stopping = False
        self._background = Background("packing", self._work_while_due)
        self._pruner = Pruner(fs, committer)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pack, collect and prune whenever due, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_in_time)
            if self._automatic:
                nursery.start_soon(self._background.run, LOOK_SECONDS)
                nursery.start_soon(self._pruner.run)
            task_status.started()

    async def _stop_in_time(self) -> None:
        # The end waits for the thread of a pass, whoever asked for it: tell that thread.
        try:
            await trio.sleep_forever()
        finally:
            self._stopping = self._background.stopping = True
            if self._work is not None:
                self._work.cancelled = True

    async def _work_while_due(self) -> None:
        self._fs.remove_drained_chunks()
        if self._fs.packs_may_go:
            await self._give_back()
        try:
            await self._pack_while_due()
        except NoSpace:
            await self._collect_when_due()  # what is dead takes the room that is missing
            raise
        await self._collect_when_due()

    async def _pack_while_due(self) -> None:
        fs = self._fs
        packed = False
        while fs.failed is None:
            if fs.pack_wants_checkpoint:  # what waits to be packed is not in the index yet
                await self._committer.checkpoint()
            async with self.exclusive:
                if not fs.pack_due or not await self._pass(everything=False, gives_way=True):
                    break
            packed = True
            await self._make_room()
        if packed and fs.failed is None and fs.roll_log():
            # A chunk goes when nothing points into it, but never the one that is being written.
            await self._committer.checkpoint(anyway=True)

    async def _make_room(self) -> None:
        if self._fs.low_on_room:  # the chunks that are empty now have to go before the next pass
            await self._committer.checkpoint(anyway=True)

    async def _collect_when_due(self) -> None:
        if self._fs.failed is None and self._fs.gc_due:
            async with self.exclusive:
                await self._collect(asked=False, eager=self._fs.low_on_room, dry_run=False, on_progress=None)

    # --- on demand --------------------------------------------------------------------------

    async def flush(self, on_progress: OnProgress) -> int:
        """Pack everything that is stored at this moment; returns the bytes that left the log."""
        async with self.exclusive:
            packed = await self._pack_everything(on_progress)
        await self._freed()
        return packed

    async def collect(self, *, dry_run: bool, on_progress: OnProgress) -> Collection:
        """Give back what no file refers to; what came of it."""
        async with self.exclusive:
            report = await self._collect(asked=True, eager=True, dry_run=dry_run, on_progress=on_progress)
        await self._freed()
        return report

    async def _freed(self) -> None:
        """Whoever has asked for it finds the room on the disk, also that of what was being read."""
        fs = self._fs
        readers = fs.epochs.advance()
        with trio.move_on_after(READERS_SECONDS):
            while not fs.epochs.drained(readers):  # noqa: ASYNC110 -- some of them leave in threads
                await trio.sleep(READERS_LOOK_SECONDS)
        fs.remove_drained_chunks()
        await self._give_back()

    async def _give_back(self) -> None:
        await trio.to_thread.run_sync(self._fs.give_back, limiter=self._threads)

    async def _pack_everything(self, on_progress: OnProgress | None) -> int:
        fs = self._fs
        fs.writable()
        await self._committer.checkpoint()
        last_chunk = fs.seal_log()
        total = fs.backlog_bytes
        packed = 0
        while (work := await self._pass(everything=True, last_chunk=last_chunk)) is not None:
            packed += work.packed_bytes
            if on_progress is not None:
                on_progress(packed, max(total, packed), "")
            if not work.swapped_rows:
                break  # all of it changes faster than it is packed: what is left is younger than this call
            await self._make_room()
        self._refuse_when_stopping()
        await self._committer.checkpoint(anyway=True)  # with it the chunks go
        return packed

    # --- a pass -----------------------------------------------------------------------------

    async def _pass(
        self, *, everything: bool, last_chunk: int | None = None, gives_way: bool = False
    ) -> PackPass | None:
        """One pass; None when there was nothing to pack. Needs `exclusive`.

        It `gives_way` to clients where nobody waits for its end."""
        if self._stopping:
            return None
        fs = self._fs
        self._work = work = fs.begin_pack(everything=everything, last_chunk=last_chunk)
        if gives_way:
            work.give_way = GivingWay(_processor_time(), self._leisure).step
        try:
            if not await self._thread(fs.run_pack, work):
                return None
            async with self._committer.checkpointing:
                with trio.CancelScope(shield=True):
                    await self._thread(fs.commit_pack, work)
                    while not fs.follow_pack(work):
                        await trio.lowlevel.checkpoint()
                    fs.end_pack(work)
            return work
        finally:
            self._work = None
            with trio.CancelScope(shield=True):
                await self._thread(fs.abandon_pack, work)  # nothing to do for one that has ended

    def _leisure(self) -> float:
        return 0.0 if self.exclusive.statistics().tasks_waiting else self._fs.pack_leisure

    # --- a collection -----------------------------------------------------------------------

    async def _collect(
        self, *, asked: bool, eager: bool, dry_run: bool, on_progress: OnProgress | None
    ) -> Collection:
        """All rounds of a collection; `asked`: all is pruned before, which goes on by itself else. Needs
        `exclusive`."""
        fs = self._fs
        fs.writable()
        await self._committer.checkpoint(anyway=True)
        log_bytes = fs.log.size_bytes
        pruned = await self._pruned(dry_run=dry_run) if asked else None
        if not dry_run and fs.log_wants_packing(eager=eager):
            try:
                await self._pack_everything(None)
            except NoSpace:  # what is dead goes without, and makes room
                await self._committer.checkpoint(anyway=True)
        self._work = work = fs.begin_collect(eager=eager, dry_run=dry_run, progress=on_progress)
        work.log_bytes = log_bytes
        try:
            while await self._thread(fs.run_collect, work):
                async with self._committer.checkpointing:
                    with trio.CancelScope(shield=True):
                        await self._thread(fs.commit_collect, work)
                        fs.end_collect(work)
                if self._automatic and fs.packing_presses:
                    await self._pack_in_between(work, gives_way=not asked)
            self._refuse_when_stopping()
            if not dry_run:
                fs.roll_log()
                await self._committer.checkpoint(anyway=True)
                fs.remove_dead_log()
                # A rollback commits in the owner's thread, and would wait there for what this writes anew.
                async with self._committer.checkpointing:
                    await self._thread(fs.shrink_index, work)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._thread(fs.abandon_collect, work)
            raise
        finally:
            self._work = None
        report = fs.finish_collect(work)
        return report if pruned is None else pruned.tell(report)

    async def _pruned(self, *, dry_run: bool) -> Prune:
        return await (self._pruner.estimate() if dry_run else self._pruner.prune_all())

    async def _pack_in_between(self, collect: Collect, *, gives_way: bool) -> None:
        """Some passes between two rounds, so that writers need not wait for the end of all of it."""
        fs = self._fs
        packed = 0
        try:
            await self._committer.checkpoint()  # what waits to be packed is not in the index yet
            while packed < PASSES_IN_BETWEEN and fs.packing_presses:
                if not await self._pass(everything=False, gives_way=gives_way):
                    break
                packed += 1
        except NoSpace:
            pass  # the collection makes some
        finally:
            self._work = collect
            collect.cancelled = collect.cancelled or self._stopping
        if packed:
            await self._committer.checkpoint(anyway=True)
            fs.resume_collect(collect)

    def _refuse_when_stopping(self) -> None:
        # What was asked for is not done: nobody may be told that it is.
        if self._stopping:
            raise MountError("the store is being closed; what is left is done when it is asked for again")

    async def _thread(self, step: Callable[[W], R], work: W) -> R:
        return await trio.to_thread.run_sync(step, work, limiter=self._threads)


def _processor_time() -> Callable[[], float]:
    """What tells any thread the processor time that this one has had, in seconds."""
    return partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))
