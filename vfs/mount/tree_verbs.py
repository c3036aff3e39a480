"""Importing and exporting beside the requests of clients.

Promises that the mount goes on answering meanwhile, that the kernel hears of names that came without it, and
that the daemon never touches its own mount: it would wait for itself. Passes and collections wait while an
import works on a batch, and get their turn between two batches.

Concurrency: lives in the trio thread. Reading, cutting, compressing and writing happen in threads; names are
planted and walked in the owner's thread, in slices.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from vfs.errors import StoreError, VfsError
from vfs.filesystem import FileSystem
from vfs.mount.committer import Committer
from vfs.mount.control import Progress, Verb
from vfs.mount.kernel_caches import tell_kernel
from vfs.mount.mountinfo import VFS_TYPE, read_mounts, resolve
from vfs.mount.packer import Packer
from vfs.mount.pages import Pages
from vfs.trees.exporter import Export, begin_report
from vfs.trees.importer import Batch, Import
from vfs.trees.planter import Planter
from vfs.trees.report import Report
from vfs.trees.so_far import so_far
from vfs.trees.transfer import open_source, open_target, refuse_own
from vfs.trees.walk import Batch as Walked
from vfs.trees.walk import Walk

R = TypeVar("R")


class Cancellable(Protocol):
    """Work in a thread that ends soon when it is told to."""

    cancelled: bool


class TreeVerbs:
    """The verbs `import` and `export` of one mount."""

    def __init__(
        self, fs: FileSystem, store: Path, committer: Committer, packer: Packer, pages: Pages
    ) -> None:
        self._fs = fs
        self._store = store
        self._committer = committer
        self._packer = packer
        self._pages = pages
        self._threads = trio.CapacityLimiter(2)
        self._telling = trio.CapacityLimiter(1)

    def verbs(self) -> dict[str, Verb]:
        """Both by their names."""
        return {"import": Verb(self.import_), "export": Verb(self.export)}

    async def import_(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Bring the folder or archive at `source` of the host into `dest`."""
        fs = self._fs
        fs.writable()
        path, own = self._place(text_of(request, "source"))
        dest = os.fsencode(text_of(request, "dest"))
        source = await self._thread(open_source, path, own)
        report = Report(source)
        planter = Planter(fs, dest, report, in_order=source.in_order)
        work = Import(fs, source, report)
        try:
            async with self._packer.exclusive, _cancelled_in_time(work):
                batch = await self._thread(work.next_batch)
                while batch is not None:
                    batch = await self._plant_and_fetch(planter, work, batch, report, progress)
                for _ in planter.finish():
                    await trio.lowlevel.checkpoint()
                await self._tell_kernel(planter)
            report.tell(progress.set)
        except VfsError as error:
            raise StoreError(f"{error} {so_far(report.text())}") from error
        finally:
            with trio.CancelScope(shield=True):
                await self._thread(work.close)
            planter.close()
        await self._committer.commit()
        return report.fields()

    async def _plant_and_fetch(
        self, planter: Planter, work: Import, batch: Batch, report: Report, progress: Progress
    ) -> Batch | None:
        """Plant a batch while the next one is made, unless others wait to work on packs."""
        if self._packer.exclusive.statistics().tasks_waiting:
            await self._plant(planter, batch, report, progress)
            self._packer.exclusive.release()
            with trio.CancelScope(shield=True):  # whoever holds it is told to end as we are
                await self._packer.exclusive.acquire()
            return await self._thread(work.next_batch)
        fetched: list[Batch | None] = []
        failed: list[VfsError] = []

        async def fetch() -> None:
            try:
                fetched.append(await self._thread(work.next_batch))
            except VfsError as error:
                failed.append(error)  # the batch before it is whole, and is planted first

        async with _one_error(), trio.open_nursery() as nursery:
            nursery.start_soon(fetch)
            try:
                await self._plant(planter, batch, report, progress)
            except BaseException:
                work.cancelled = True
                raise
        if failed:
            raise failed[0]
        return fetched[0]

    async def _plant(self, planter: Planter, batch: Batch, report: Report, progress: Progress) -> None:
        for _ in planter.plant(batch.plans):
            report.tell(progress.set)
            await trio.lowlevel.checkpoint()
        report.tell(progress.set)
        await self._tell_kernel(planter)

    async def _tell_kernel(self, planter: Planter) -> None:
        changed, planter.changed = planter.changed, []
        await tell_kernel(changed, self._telling)

    async def export(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Take the tree at `source` out to the folder or archive at `dest` of the host."""
        fs = self._fs
        path, own = self._place(text_of(request, "dest"))
        source = os.fsencode(text_of(request, "source"))
        if fs.failed is None:  # else nothing is taken any more, and programs have been told so
            await self._pages.hand_over()
        report = begin_report(fs, source)
        walk = Walk(fs, source, report)
        try:
            target = await self._thread(open_target, path, own, report)
            work = Export(fs, target, report)
            try:
                async with _cancelled_in_time(work):
                    await self._export(walk, work, report, progress)
            except VfsError as error:
                raise StoreError(f"{error} {so_far(report.text())}") from error
            finally:
                with trio.CancelScope(shield=True):
                    await self._thread(work.close)
        finally:
            walk.close()
        return report.fields()

    async def _export(self, walk: Walk, work: Export, report: Report, progress: Progress) -> None:
        batches = walk.batches()

        async def advance() -> Walked | None:
            for found in batches:
                await trio.lowlevel.checkpoint()
                if found is not None:
                    return found
            return None

        batch = await advance()
        while batch is not None:
            async with _one_error(), trio.open_nursery() as nursery:
                nursery.start_soon(self._thread, work.write, batch)
                try:
                    coming = await advance()
                except BaseException:
                    work.cancelled = True
                    raise
            walk.done(batch)
            report.tell(progress.set)
            batch = coming
        await self._thread(work.finish)
        report.tell(progress.set)

    def _place(self, text: str) -> tuple[Path, list[Path]]:
        """A path of the host, resolved without touching a mount of ours, and what is ours."""
        if not text.startswith("/"):
            raise StoreError(f"{text!r} is no absolute path")
        mounts = read_mounts()
        ours = [mount.point for mount in mounts if mount.type == VFS_TYPE and mount.store == self._store]
        own = [self._store, *ours]
        path = resolve(Path(text), mounts)
        refuse_own(path, own)
        return path, own

    async def _thread(self, step: Callable[..., R], *arguments: Any) -> R:
        return await trio.to_thread.run_sync(step, *arguments, limiter=self._threads)


@asynccontextmanager
async def _cancelled_in_time(work: Cancellable) -> AsyncIterator[None]:
    """Tell the thread when nobody wants its work any more: a task that waits for it cannot go before it."""

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            work.cancelled = True

    async with _one_error(), trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _one_error() -> AsyncIterator[None]:
    """The one error of a nursery as itself, which is what the client is told."""
    try:
        yield
    except BaseExceptionGroup as group:
        rest = group.split(trio.Cancelled)[1]
        error: BaseException = group if rest is None else rest
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from group


def text_of(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise StoreError(f"bad request: {key} is no path")
    return value
