"""What programs have written to the mount and the kernel has not handed over yet.

Promises that all of it has come when `hand_over` returns, or an error that says that it has not, after a
minute at the latest. Never waits in the trio thread, which has to take what comes.
"""

from pathlib import Path

import trio

from vfs.errors import MountError
from vfs.mount.detach import flush_pages
from vfs.mount.mountinfo import mount_at, mounts_of, read_mounts
from vfs.mount.open_files import OpenFiles

FLUSHES = 4
"""At a time; each is a program that runs as long as the kernel has something to write."""


class Pages:
    """The kernel's write-back cache of one mount."""

    def __init__(self, store: Path, files: OpenFiles) -> None:
        self._store = store
        self._files = files
        self._threads = trio.CapacityLimiter(FLUSHES)

    async def hand_over(self) -> None:
        """Have the kernel hand over what was written before this call. MountError when it does not."""
        async with self._threads:
            with self._files.reachable() as names:
                come = await trio.to_thread.run_sync(_flush, self._store, names, abandon_on_cancel=True)
        if not come:
            raise MountError(
                "the kernel did not hand over all that programs have written; see vfs info, then try again"
            )


def _flush(store: Path, names: list[str]) -> bool:
    mounts = read_mounts()
    for mount in reversed(mounts_of(store, mounts)):
        if mount_at(mount.point, mounts) == mount:  # else something else shows there
            return flush_pages(mount.point, names)
    return False
