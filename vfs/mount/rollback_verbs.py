"""Rolling the mounted tree back, beside the programs that use it.

Promises that it happens at one moment, between two requests; that what programs had written until then is in
the automatic snapshot; that nothing has changed when it fails; and that the kernel shows nothing of before
when it is answered.

Concurrency: lives in the trio thread. Order, and why:
1. the kernel writes what it keeps, so that the automatic snapshot has it, and a checkpoint beside the clients
   makes the moment short
2. the moment: no capture is in flight and no pass between its commit and its end (`checkpointing`), and no
   await stands between the rollback and the node ids, so no request sees the one without the other
3. the kernel is told in a thread. No lock that a request could wait for is held meanwhile: the kernel waits
   for programs that wait for us
From 2 on it goes to its end, whoever has stopped waiting; only the end of the mount ends it.
"""

from contextlib import suppress
from typing import Any

import trio

from vfs.errors import IndexUnwritten, MountError, NoSpace, StoreError
from vfs.filesystem import FileSystem
from vfs.mount.committer import Committer
from vfs.mount.control import Progress, Verb
from vfs.mount.invalidation import Invalidation
from vfs.mount.listings import Listings
from vfs.mount.nodes import NodeIds
from vfs.mount.pages import Pages
from vfs.mount.sentinel import Sentinel
from vfs.snapshots.places import in_words
from vfs.snapshots.rolled_back import RolledBack


class RollbackVerbs:
    """The verb `rollback` of one mount.

    INVARIANT: `_telling` is set exactly while the kernel is being told, in `_scope`.
    """

    def __init__(
        self,
        fs: FileSystem,
        device: str | None,
        *,
        pages: Pages,
        committer: Committer,
        nodes: NodeIds,
        listings: Listings,
    ) -> None:
        # dependencies
        self._fs = fs
        self._committer = committer
        self._nodes = nodes
        self._listings = listings
        self._pages = pages
        # constant
        self._device = device
        self._threads = trio.CapacityLimiter(1)
        # mutable
        self._one_at_a_time = trio.Lock()
        self._telling: Invalidation | None = None
        self._scope = trio.CancelScope()

    def verbs(self) -> dict[str, Verb]:
        """By its name."""
        return {"rollback": Verb(self.rollback)}

    def end(self) -> None:
        """The mount is about to go: nobody answers the kernel any more, so it may never be done."""
        if self._telling is not None:
            self._telling.end()
            self._scope.cancel()

    async def rollback(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Make the tree what it was when the snapshot `name` was taken."""
        name = request.get("name")
        if not isinstance(name, str):
            raise StoreError("bad request: name is no text")
        with in_words(self._fs):
            self._fs.writable()
        self._fs.snapshot(name)  # or it says that there is none, before anything is done
        async with self._one_at_a_time:
            await self._make_ready()
            async with self._committer.checkpointing:
                rolled, telling = self._roll_back(name)
            try:
                with trio.CancelScope(shield=True) as self._scope:
                    await trio.to_thread.run_sync(telling.run, limiter=self._threads, abandon_on_cancel=True)
            finally:
                self._telling = None
            await self._hand_over()
        return {"kept_as": rolled.kept_as}

    async def _make_ready(self) -> None:
        if not await self._hand_over():
            await self._pages.hand_over()
        with suppress(NoSpace, IndexUnwritten):  # then the rollback says so
            await self._committer.checkpoint()

    async def _hand_over(self) -> bool:
        """Have the kernel write what it keeps. Of pages that were refused it tells once, whoever asks next:
        so this comes after a rollback too, which refuses some."""
        try:
            await self._pages.hand_over()
        except MountError:
            return False
        return True

    def _roll_back(self, name: str) -> tuple[RolledBack, Invalidation]:
        """The moment. Needs `checkpointing`."""
        rolled = self._fs.rollback(name)
        outdated = self._nodes.follow(rolled)
        self._listings.clear()
        self._telling = Invalidation(outdated, self._nodes, Sentinel.start(self._device))
        return rolled, self._telling
