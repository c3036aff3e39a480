"""What STORE|MOUNTPOINT on the command line stands for.

Promises to find the store, and its daemon if there is one, without touching a mount. Never opens the store.
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from vfs.cli.output import warn
from vfs.errors import MountError, NotAStore
from vfs.mount.client import ControlClient
from vfs.mount.mountinfo import read_mounts, resolve, vfs_around
from vfs.mount.preconditions import check_store
from vfs.mount.probe import is_dead


class Target(NamedTuple):
    """A store that exists, and a connection to the daemon that serves it, None when none does."""

    store: Path
    daemon: ControlClient | None


def find_target(path: Path) -> Target:
    """Look a STORE|MOUNTPOINT up; StoreError when it is neither, or its daemon is there but silent."""
    mounts = read_mounts()
    resolved = resolve(path, mounts)
    mount = vfs_around(resolved, mounts)
    if mount is not None and mount.point != resolved:
        quoted = shlex.quote(str(mount.point))
        raise MountError(f"{path} lies inside a mount; give the mount point itself: {quoted}")
    store = resolved if mount is None else mount.store
    # The daemon comes first: it answers also while the disk of the store does not.
    daemon = None if mount is None else ControlClient.connect(store)
    if daemon is not None:
        return Target(store, daemon)
    try:
        check_store(store, mounts)
    except NotAStore as error:
        raise NotAStore(store, f"{error.reason}, and no store is mounted there") from error
    daemon = ControlClient.connect(store)
    if mount is not None and daemon is None:
        point = shlex.quote(str(mount.point))
        if not is_dead(mount.point):
            raise MountError(
                f"the daemon of {mount.point} has no control socket in {store}; vfs umount {point}"
            )
        warn(f"the daemon of {mount.point} has died; clear it with: vfs umount {point}")
    return Target(store, daemon)
