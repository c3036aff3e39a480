"""What the daemon of a mounted store can be asked over its control socket.

Promises that the mount goes on answering while a verb works. One method a verb; a new one needs its line
in `verbs`. Never closes the store: it only asks for that, and waits.
"""

import logging
from pathlib import Path
from typing import Any

import msgspec
import trio

from vfs.backing.sums import Sums
from vfs.checker import Report, check_committed, check_storage
from vfs.checks.report import report_fields
from vfs.errors import NoSpace, StoreError
from vfs.filesystem import FileSystem
from vfs.mount.acting import Acting
from vfs.mount.automatic import Automatic
from vfs.mount.committer import Committer
from vfs.mount.control import Progress, Verb
from vfs.mount.copy_verbs import CopyVerbs
from vfs.mount.diff_verb import DiffVerb
from vfs.mount.nodes import NodeIds
from vfs.mount.packer import Packer
from vfs.mount.pages import Pages
from vfs.mount.rollback_verbs import RollbackVerbs
from vfs.mount.snapshot_verbs import SnapshotVerbs
from vfs.mount.tree_verbs import TreeVerbs
from vfs.mount.watch import disk_is_slow

log = logging.getLogger("vfs")

FIGURES_SECONDS = 2.0
"""How long `info` waits at most for the checkpoint that makes its figures exact."""

READS = 3
"""How often the index is added up at most until its figures are of the same checkpoint as all others."""

LOOK_SECONDS = 0.1

THREADS = 4
"""Of verbs that look at much: they wait for each other, never for requests."""


class Ending:
    """The end of a mount, for those who wait for it."""

    def __init__(self) -> None:
        self._closed = trio.Event()
        self._error: str | None = None

    def closed(self, error: str | None = None) -> None:
        """The store is closed, cleanly unless there is an error."""
        self._error = error
        self._closed.set()

    async def wait(self) -> str | None:
        """Return when the store is closed: what went wrong, None when nothing did."""
        await self._closed.wait()
        return self._error


class Verbs:
    """The verbs of one mount."""

    def __init__(
        self,
        fs: FileSystem,
        store: Path,
        *,
        committer: Committer,
        packer: Packer,
        rollbacks: RollbackVerbs,
        acting: Acting,
        automatic: Automatic,
        nodes: NodeIds,
        pages: Pages,
        ending: Ending,
    ) -> None:
        self._fs = fs
        self._store = store
        self._committer = committer
        self._packer = packer
        self._rollbacks = rollbacks
        self._acting = acting
        self._automatic = automatic
        self._nodes = nodes
        self._pages = pages
        self._ending = ending
        self._threads = trio.CapacityLimiter(THREADS)

    def verbs(self) -> dict[str, Verb]:
        """Every verb by its name."""
        return {
            "info": Verb(self.info),
            "sync": Verb(self.sync),
            "flush": Verb(self.flush),
            "gc": Verb(self.gc),
            "fsck": Verb(self.fsck),
            **TreeVerbs(self._fs, self._store, self._committer, self._packer, self._pages).verbs(),
            **CopyVerbs(self._fs, self._committer, self._nodes, self._pages).verbs(),
            **self._rollbacks.verbs(),
            **SnapshotVerbs(self._fs, self._committer, self._acting, self._automatic.policy_changed).verbs(),
            **DiffVerb(self._fs, self._pages, self._committer).verbs(),
            "await_close": Verb(self.await_close, outlives=True),
        }

    async def info(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Figures of the store and of its mount."""
        await self._catch_up()  # so that all figures are of this moment
        fs = self._fs
        try:
            return fs.info(await self._sums())
        except (OSError, StoreError) as error:
            # A disk that cannot be read any more is when people ask: what is known without it is told.
            return {**fs.state(), "no_figures": str(error)}

    async def _sums(self) -> Sums:
        fs, reads = self._fs, 0
        while True:
            sums = await trio.to_thread.run_sync(fs.sums, limiter=self._threads)
            reads += 1
            if sums.lsn == fs.store.index.meta()["lsn"] or reads == READS:
                return sums  # else a checkpoint has come to its end meanwhile, which all else is of by now

    async def _catch_up(self) -> None:
        """Have a checkpoint taken, if that goes as quickly as somebody who asks for figures may wait."""
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + FIGURES_SECONDS
            nursery.start_soon(_leave_a_slow_disk, nursery.cancel_scope)
            await self._committer.up_to_date()
            nursery.cancel_scope.cancel()

    async def flush(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Pack everything that is stored at this moment."""
        return {"packed_bytes": await self._packer.flush(progress.set)}

    async def gc(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Give back what no file refers to."""
        dry_run = request.get("dry_run") is True
        found = await self._packer.collect(dry_run=dry_run, on_progress=progress.set)
        return {"dry_run": dry_run, **msgspec.to_builtins(found)}

    async def sync(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Everything answered before is durable when this is answered."""
        await self._committer.commit()
        return {}

    async def fsck(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Check the store beside its clients, as of a checkpoint that is taken for it; all data if asked."""
        fs = self._fs
        data = request.get("data") is True
        older = ""
        try:
            await self._committer.checkpoint()
        except NoSpace as error:
            older = f"what changed since the last checkpoint was not looked at: {error}"

        def report(done: int, total: int, what: str) -> None:
            trio.from_thread.check_cancelled()
            progress.set(done, total, what)

        def check() -> Report:
            if fs.read_only:  # what was replayed is in memory only, and no checkpoint was taken
                return check_storage(fs.store.storage, report, data=data)
            return check_committed(fs, report, data=data)

        epoch = fs.epochs.enter()  # keeps the chunks and packs that the check looks into
        try:
            found = await trio.to_thread.run_sync(check, limiter=self._threads)
        finally:
            fs.epochs.leave(epoch)
        if older:
            found.note(older)
        return report_fields(found)

    async def await_close(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Answer when the store is closed, whoever unmounts it; `error` is what went wrong, if anything."""
        return {"error": await self._ending.wait()}


async def _leave_a_slow_disk(scope: trio.CancelScope) -> None:
    while not disk_is_slow():  # noqa: ASYNC110 -- what waits for the disk cannot tell
        await trio.sleep(LOOK_SECONDS)
    scope.cancel()
