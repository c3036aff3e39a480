"""Pruning beside the requests of clients.

Promises that what only deleted snapshots showed goes by itself soon after, in slices between which clients,
checkpoints and snapshots have their turn; and all of it at once, but still in slices, when somebody asks for
a collection.

Concurrency: lives in the trio thread; a slice runs in a thread of its own. It holds `checkpointing` for its
20 ms, since rows are pruned between two checkpoints and never during one, and is shielded: once it has begun,
memory follows.
"""

from time import monotonic

import trio

from vfs.errors import IndexDamaged, NoSpace
from vfs.filesystem import FileSystem
from vfs.mount.background import Background
from vfs.mount.committer import Committer
from vfs.snapshots.pruning import Prune, log, not_pruned

LOOK_SECONDS = 1.0
"""How often it is looked whether there is something to prune."""

HIDDEN_PAUSES = 20
"""What branches hide is looked for by itself when that was so many times as long ago as it took."""

PAUSES = 2
"""After a slice so many times as long as it took are for others, when nobody waits for it."""


class Pruner:
    """The background pruner of one file system, and pruning on demand."""

    def __init__(self, fs: FileSystem, committer: Committer) -> None:
        self._fs = fs
        self._committer = committer
        self._threads = trio.CapacityLimiter(1)
        self._hidden_look_at = 0.0

    async def run(self) -> None:
        """Prune whenever due, until cancelled."""
        await Background("pruning", self._prune_while_due).run(LOOK_SECONDS)

    async def _prune_while_due(self) -> None:
        fs = self._fs
        if not fs.prune_due:
            return
        first = began = monotonic()
        hidden = first >= self._hidden_look_at
        work = fs.begin_prune(hidden=hidden)
        while await self._slice(work):
            await trio.sleep(PAUSES * (monotonic() - began))
            began = monotonic()
        if hidden:
            self._hidden_look_at = monotonic() + HIDDEN_PAUSES * (monotonic() - first)
        if work.rows and fs.failed is None:
            # A chunk goes when nothing points into it, but never the one that is being written.
            fs.roll_log()
            await self._committer.checkpoint(anyway=True)

    async def _slice(self, work: Prune) -> bool:
        fs = self._fs
        async with self._committer.checkpointing:
            with trio.CancelScope(shield=True):
                fs.begin_slice(work)
                more = await trio.to_thread.run_sync(fs.run_slice, work, limiter=self._threads)
                fs.end_slice(work)
        return more

    # --- on demand --------------------------------------------------------------------------

    async def prune_all(self) -> Prune:
        """Remove all rows that nobody sees any more, after a checkpoint and before a collection.

        That one goes on without what cannot be pruned for want of room, or for damage.
        """
        work = self._fs.begin_prune()
        try:
            while await self._slice(work):
                await trio.lowlevel.checkpoint()
        except (NoSpace, IndexDamaged) as error:
            log.warning("%s", not_pruned(error))
        return work

    async def estimate(self) -> Prune:
        """What `prune_all` would do, about; it writes nothing."""
        work = self._fs.begin_prune()
        await trio.to_thread.run_sync(self._fs.estimate_prune, work, limiter=self._threads)
        return work
