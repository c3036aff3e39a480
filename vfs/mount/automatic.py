"""Automatic snapshots of a mounted store, as its policy says.

Promises a look at the clock at each full minute, and that a snapshot which could not be taken is told once
and tried again at the next one. Requests never wait for it. Never removes what a policy has not made.

Concurrency: one task in the trio thread, which waits only for the kernel to hand over its pages and for the
checkpoint that takes a snapshot.
"""

import logging

import trio

from vfs.clock import now_ns
from vfs.errors import StoreFailed, VfsError
from vfs.filesystem import FileSystem
from vfs.mount.acting import Acting
from vfs.mount.pages import Pages
from vfs.snapshots.actions import DeleteSnapshots
from vfs.snapshots.policy import SECOND_NS

log = logging.getLogger("vfs")

LOOK_SECONDS = 60.0


class Automatic:
    """Takes and removes the automatic snapshots of one mount."""

    def __init__(self, fs: FileSystem, acting: Acting, pages: Pages) -> None:
        # dependencies
        self._fs = fs
        self._acting = acting
        self._pages = pages
        # mutable
        self._looked_ns: int | None = None  # when the last plan was carried out
        self._told = ""  # why one was put off, as it was logged: once is enough
        self._looking = trio.Lock()

    async def run(self) -> None:
        """Do what is due until cancelled."""
        while not self._fs.read_only:
            await trio.sleep(_seconds_to_wait(now_ns()))
            await self._try()

    async def policy_changed(self) -> None:
        """Do at once what is due by the new one; what cannot be done is tried again at the next minute."""
        self._looked_ns = None
        await self._try()

    async def _try(self) -> None:
        async with self._looking:
            try:
                await self.look()
                self._told = ""
            except StoreFailed:
                return  # told where it happened; the mount is read-only from now on
            except VfsError as error:
                if str(error) != self._told:
                    self._told = str(error)
                    log.warning("automatic snapshots put off: %s", error)
            except Exception:
                log.exception("unexpected error in an automatic snapshot; it is tried again")

    async def look(self) -> None:
        """Take and remove what is to be taken and removed at this moment; VfsError when that cannot be."""
        fs, now = self._fs, now_ns()
        policy = fs.policy
        if fs.failed is not None or not fs.may_be_due(policy, now, self._looked_ns):
            return
        # Before it is asked what has changed: what the kernel keeps has changed as well.
        await self._pages.hand_over()
        create, delete = fs.plan_snapshots(policy, now, self._looked_ns)
        for name in create:
            await self._acting.create(name, automatic=True)
            log.info("automatic snapshot %s", name)
        known = [name for name in delete if name in fs.table.trees.snapshots]
        if known:
            await self._acting.act(DeleteSnapshots(known), known)
            log.info("%d automatic snapshots have had their time: %s", len(known), ", ".join(known))
        self._looked_ns = now


def _seconds_to_wait(time_ns: int) -> float:
    """Up to the next full minute, so that what is due at an hour is taken as it begins."""
    look_ns = int(LOOK_SECONDS * SECOND_NS)
    return (look_ns - time_ns % look_ns) / SECOND_NS
