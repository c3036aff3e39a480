"""The last steps before a mount: where exactly, and whether anything stands in the way.

Promises that what it returns passed every check, and that a dead mount of the same store is out of the
way. Never clears a mount that still answers, or one of another store.
"""

from pathlib import Path
from typing import NamedTuple

from vfs.mount.healing import clear_dead
from vfs.mount.mountinfo import read_mounts, resolve
from vfs.mount.options import MountOptions
from vfs.mount.preconditions import check_mount, check_store


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
