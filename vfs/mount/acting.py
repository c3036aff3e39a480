"""Actions on the snapshots of a mounted store: each at one moment, and the kernel hears of it.

Promises that an action's error reaches whoever asked for it, and that nothing has changed then; and that the
kernel was told when it is done. Never waits for requests.
"""

from collections.abc import Callable, Iterable

import trio

from vfs.filesystem import FileSystem
from vfs.mount.committer import Committer
from vfs.mount.kernel_caches import tell_kernel
from vfs.mount.pages import Pages
from vfs.numbers import SNAPSHOTS_INO
from vfs.snapshots.actions import Action, CreateSnapshot
from vfs.snapshots.places import in_words
from vfs.trees.planter import Changed

THREADS = 2


class Acting:
    """Whoever makes, renames and removes snapshots of one mount."""

    def __init__(
        self, fs: FileSystem, committer: Committer, pages: Pages, node: Callable[[int], int]
    ) -> None:
        self._fs = fs
        self._committer = committer
        self._pages = pages
        self._node = node  # under which id the kernel knows an inode
        self._threads = trio.CapacityLimiter(THREADS)

    async def create(self, name: str, comment: str = "", *, automatic: bool = False) -> None:
        """Freeze all that programs have written by now. SnapshotError or MountError: it cannot be."""
        action = CreateSnapshot(name, comment, automatic=automatic)
        with in_words(self._fs):
            self._fs.writable()
        action.check(self._fs.table)  # what is wrong is told at once
        await self._pages.hand_over()
        await self.act(action, [name])

    async def act(self, action: Action, names: Iterable[str] = ()) -> None:
        """Do it together with a checkpoint; `names` of snapshots lead elsewhere after it."""
        try:
            with in_words(self._fs):
                await self._committer.checkpoint(action=action)
        finally:
            # Whoever asked may go when it has just been done; to tell of what was not done does no harm.
            await self.tell_kernel([(SNAPSHOTS_INO, name.encode()) for name in names])

    async def tell_kernel(self, names: Iterable[tuple[int, bytes]]) -> None:
        """Have it ask again for (folder, name), and for the attributes of the folders."""
        changed = [Changed(self._node(folder), name) for folder, name in names]
        await tell_kernel(changed, self._threads)
