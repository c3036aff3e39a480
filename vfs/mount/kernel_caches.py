"""What the kernel keeps of the mount, and the daemon has changed behind its back.

Promises that the kernel asks again for what it is told of. Always in a thread: the kernel may wait for
answers of ours meanwhile. Never touches the file system.
"""

from collections.abc import Iterable
from contextlib import suppress

import pyfuse3

from vfs.trees.planter import Changed


def invalidate(changed: Iterable[Changed]) -> None:
    """Make the kernel ask again for names, and for the folders that they are in."""
    changed = list(changed)
    for change in changed:
        if change.name:
            pyfuse3.invalidate_entry_async(change.ino, change.name, ignore_enoent=True)
    for ino in {change.ino for change in changed}:
        with suppress(OSError):  # it does not know that inode
            pyfuse3.invalidate_inode(ino)
