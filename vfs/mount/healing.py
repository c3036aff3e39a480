"""Clears the mounts that a dead daemon of a store left behind, so that the store can be mounted again.

Promises never to take off a mount that still answers, nor one of another store, and that of several who do
this at the same time one does it and the others find it done. Never waits longer than it says.

The claim is an flock on the store's folder, held from looking at the mounts to the end of detaching. A mount
is detached by its path, and nobody can put a living one into the place of the dead one meanwhile.
"""

import fcntl
import logging
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfs.errors import MountError
from vfs.mount.detach import detach
from vfs.mount.mountinfo import Mount, mount_at, mounts_of, read_mounts
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.probe import is_dead

log = logging.getLogger("vfs")

DYING_SECONDS = 10.0
"""A killed daemon keeps its lock until the kernel has taken it apart."""

CLAIM_SECONDS = 60.0
"""Detaching takes that long at most, and somebody may be at it."""

LOOK_SECONDS = 0.05


def clear_dead(store: Path) -> None:
    """Detach the mounts of a store whose daemon is dead; MountError when one lives, or is not dead yet."""
    if not mounts_of(store, read_mounts()):
        _wait_for_the_dying(store)
        return
    with _claim(store):
        _wait_for_the_dying(store)
        while (mount := _uppermost(store)) is not None:
            if not is_dead(mount.point):
                raise already_mounted(store, mount.point)
            log.warning("clearing %s: the daemon of this mount has died", mount.point)
            detach(mount.point, lazy=True)
        if not wait_until_free(store, DYING_SECONDS):
            raise MountError(
                f"{store} is in use by {find_owner(store)}, which does not serve a mount; end it"
            )


def already_mounted(store: Path, point: Path) -> MountError:
    """The error that tells where, and by whom."""
    owner = find_owner(store)
    by = f" by {owner}" if owner is not None else ""
    command = f"vfs umount {shlex.quote(str(point))}"
    return MountError(f"{store} is already mounted at {point}{by}; unmount it first: {command}")


def _uppermost(store: Path) -> Mount | None:
    """A mount of the store that can be reached by its path; those that lie under another one wait their turn.

    One that stays hidden under somebody else's mount is in nobody's way, unless its daemon lives.
    """
    mounts = read_mounts()
    ours = mounts_of(store, mounts)
    for mount in reversed(ours):
        if mount_at(mount.point, mounts) == mount:
            return mount
    if ours:
        if find_owner(store) is not None:
            raise already_mounted(store, ours[-1].point)
        log.warning("a dead mount of this store lies under another mount at %s", ours[-1].point)
    return None


def _wait_for_the_dying(store: Path) -> None:
    owner = find_owner(store)
    if owner is None or not owner.is_dying():
        return
    log.warning("waiting for %s to end: it was killed", owner)
    if not wait_until_free(store, DYING_SECONDS):
        raise MountError(
            f"{owner}, the daemon of {store}, was killed, but cannot end while it waits for the disk; "
            "mount again when that answers"
        )


@contextmanager
def _claim(store: Path) -> Iterator[None]:
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + CLAIM_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise MountError(
                        f"another program keeps {store} locked to clear its mount; try again"
                    ) from None
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)
