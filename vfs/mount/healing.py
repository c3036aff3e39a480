"""Mounting where a daemon died: whether a store's mounts are dead, and taking those off.

Promises never to take off a mount that is served, nor one of another store. Whoever clears holds the lock of
the store, and is about to mount: so of several who try at the same time one does it, what it takes off can
only be dead, and the folder below shows for milliseconds. Never waits longer than it says.
"""

import logging
import shlex
import time
from pathlib import Path

from vfs.errors import MountError, StoreBusy
from vfs.mount.detach import detach
from vfs.mount.mountinfo import Mount, mount_at, mounts_of, read_mounts
from vfs.mount.owner import LOOK_SECONDS, find_owner
from vfs.mount.probe import is_dead

log = logging.getLogger("vfs")

DYING_SECONDS = 10.0
"""A killed daemon keeps its lock until the kernel has taken it apart."""


class AlreadyMounted(MountError):
    """The store is mounted and served: where, and by whom."""

    def __init__(self, store: Path, point: Path) -> None:
        self.point = point
        owner = find_owner(store)
        by = f" by {owner}" if owner is not None else ""
        command = f"vfs umount {shlex.quote(str(point))}"
        super().__init__(f"{store} is already mounted at {point}{by}; unmount it first: {command}")


def refuse_living(store: Path) -> None:
    """MountError when a mount of the store is served, or its daemon was killed but is not dead yet. StoreBusy
    when it has a dead mount, and somebody works on it."""
    _wait_for_the_dying(store)
    mounts = read_mounts()
    for mount in mounts_of(store, mounts):
        if _shows(mount, mounts):
            if not is_dead(mount.point):
                raise AlreadyMounted(store, mount.point)
            log.warning("clearing %s: the daemon of this mount has died", mount.point)
            _wait_for_its_end(store, mount.point)
        elif find_owner(store) is not None:
            raise AlreadyMounted(store, mount.point)


def clear_dead(store: Path) -> bool:
    """Detach every mount of the store; the caller owns it, so nobody serves them. True when there was one.

    One that is hidden under somebody else's mount stays: it is in nobody's way.
    """
    found = False
    while (mount := _uppermost(store)) is not None:
        if not is_dead(mount.point):  # of a store that has been moved away from this path
            raise AlreadyMounted(store, mount.point)
        found = True
        detach(mount.point, lazy=True)
    return found


def _shows(mount: Mount, mounts: list[Mount]) -> bool:
    """Whether a look at the mount's path ends at a mount of the same device."""
    shown = mount_at(mount.point, mounts)
    return shown is not None and shown.device == mount.device


def _uppermost(store: Path) -> Mount | None:
    """A mount of the store that can be reached by its path; those under another one wait their turn."""
    mounts = read_mounts()
    for mount in reversed(mounts_of(store, mounts)):
        if mount_at(mount.point, mounts) == mount:
            return mount
    return None


def _wait_for_its_end(store: Path, point: Path) -> None:
    """Wait for a daemon whose connection to a mount is over while its lock is not. Or for whoever owns the
    store by now to mount it there again, which is for others to say. StoreBusy for one who does neither."""
    end = time.monotonic() + DYING_SECONDS
    while (owner := find_owner(store)) is not None and is_dead(point):
        if time.monotonic() > end:
            raise StoreBusy(store, owner.pid)
        time.sleep(LOOK_SECONDS)


def _wait_for_the_dying(store: Path) -> None:
    end = None
    # Who owns it after that may be alive.
    while (owner := find_owner(store)) is not None and owner.is_dying():
        if end is None:
            log.warning("waiting for %s to end: it was killed", owner)
            end = time.monotonic() + DYING_SECONDS
        if time.monotonic() > end:
            raise MountError(
                f"{owner}, the daemon of {store}, was killed, but cannot end while it waits for the disk; "
                "mount again when that answers"
            )
        time.sleep(LOOK_SECONDS)
