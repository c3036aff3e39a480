"""What the kernel keeps of the mount, and the daemon has changed behind its back.

Promises that the kernel asks again for what it was told of, from the moment on that `tell_kernel` returns,
and that nothing waits for it for ever: a kernel that nobody answers any more may hold what it needs.
Never touches the file system.
"""

from collections.abc import Iterable
from contextlib import suppress

import pyfuse3
import trio

from vfs.trees.planter import Changed

TELL_SECONDS = 10.0
"""What takes longer goes on by itself. Much longer than any answer of ours, which the kernel may wait for."""


async def tell_kernel(changed: Iterable[Changed], threads: trio.CapacityLimiter) -> None:
    """Make the kernel ask again for names, for the folders that they are in, and for attributes of files.

    Whoever is cancelled meanwhile has it told all the same.
    """
    changed = list(changed)
    if changed:
        with trio.move_on_after(TELL_SECONDS, shield=True):
            await trio.to_thread.run_sync(_invalidate, changed, limiter=threads, abandon_on_cancel=True)


def _invalidate(changed: list[Changed]) -> None:
    # In a thread: the kernel may wait for answers of ours. The pages of a file stay: to wait for them could
    # keep a killed daemon from dying.
    inodes = set()
    for change in changed:
        inodes.add((change.ino, change.is_file))
        if change.name:
            with suppress(OSError):  # it does not know that name, or there is no kernel to tell any more
                pyfuse3.invalidate_entry(change.ino, change.name)
    for ino, is_file in inodes:
        with suppress(OSError):  # the same
            pyfuse3.invalidate_inode(ino, attr_only=is_file)
