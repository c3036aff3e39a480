"""What programs have written to the mount and the kernel has not handed over yet.

Promises that all of it has come when `hand_over` returns, or an error that says that it has not, at most a
minute after its turn came; FLUSHES have theirs at a time. Never waits in the trio thread, which has to take
what comes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from vfs.errors import MountError
from vfs.mount.flushing import FORGET_SECONDS, flush_pages, forget_names
from vfs.mount.mountinfo import mount_at, mounts_of, read_mounts
from vfs.mount.open_files import OpenFiles

R = TypeVar("R")

FLUSHES = 4
"""At a time; each is a program that runs as long as the kernel has something to write."""


class Pages:
    """The kernel's write-back cache of one mount."""

    def __init__(self, store: Path, files: OpenFiles) -> None:
        self._store = store
        self._files = files
        self._turns = trio.CapacityLimiter(FLUSHES)
        # Not the same: whoever is cancelled leaves its turn, and a thread that still waits for its program.
        self._threads = trio.CapacityLimiter(2 * FLUSHES)

    async def hand_over(self) -> None:
        """Have the kernel hand over what was written before this call. MountError when it does not."""
        names: list[str] = []
        async with self._turns:
            try:
                with self._files.reachable() as names:
                    come = await self._run(_flush, names)
            finally:
                if names:
                    with trio.move_on_after(FORGET_SECONDS, shield=True):
                        await self._run(_forget, names)
        if not come:
            raise MountError(
                "the kernel did not hand over all that programs have written; see vfs info, then try again"
            )

    async def _run(self, step: Callable[[Path, list[str]], R], names: list[str]) -> R:
        return await trio.to_thread.run_sync(
            step, self._store, names, limiter=self._threads, abandon_on_cancel=True
        )


def _flush(store: Path, names: list[str]) -> bool:
    point = _point(store)
    return point is not None and flush_pages(point, names)


def _forget(store: Path, names: list[str]) -> None:
    point = _point(store)
    if point is not None:
        forget_names(point, names)


def _point(store: Path) -> Path | None:
    """Where the mount shows; None when something else does there."""
    mounts = read_mounts()
    for mount in reversed(mounts_of(store, mounts)):
        if mount_at(mount.point, mounts) == mount:
            return mount.point
    return None
