"""The last steps before a mount: where exactly, and whether anything stands in the way.

Promises that what it returns passed every check, and that a dead mount of the same store is out of the
way. Never clears a mount that still answers, or one of another store.
"""

import logging
import shlex
from pathlib import Path
from typing import NamedTuple

from vfs.errors import MountError
from vfs.mount.detach import detach
from vfs.mount.mountinfo import mounts_of, read_mounts, resolve
from vfs.mount.options import MountOptions
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.preconditions import check_mount, check_store
from vfs.mount.probe import is_dead

log = logging.getLogger("vfs")

DYING_SECONDS = 10.0
"""A killed daemon keeps its lock until the kernel has taken it apart."""


class Places(NamedTuple):
    """The resolved paths of a mount to be."""

    store: Path
    point: Path


def prepare(store: Path, point: Path, options: MountOptions) -> Places:
    """Resolve both paths and check all that can be checked; StoreError says what is in the way."""
    mounts = read_mounts()
    places = Places(resolve(store, mounts), resolve(point, mounts))
    check_store(places.store, mounts)
    clear_dead(places.store)
    check_mount(places.store, places.point, options, read_mounts())
    return places


def clear_dead(store: Path) -> None:
    """Detach the mounts that a killed daemon left; MountError when the store is mounted by one that lives."""
    for mount in mounts_of(store, read_mounts()):
        if not is_dead(mount.point):
            raise already_mounted(store, mount.point)
        log.warning("clearing %s: the daemon of this mount has died", mount.point)
        detach(mount.point, lazy=True)
        wait_until_free(store, DYING_SECONDS)


def already_mounted(store: Path, point: Path) -> MountError:
    """The error that tells where, and by whom."""
    owner = find_owner(store)
    by = f" by {owner}" if owner is not None else ""
    command = f"vfs umount {shlex.quote(str(point))}"
    return MountError(f"{store} is already mounted at {point}{by}; unmount it first: {command}")
