"""The last steps before a mount: where exactly, and whether anything stands in the way.

Promises that what it returns passed every check that can be made without owning the store; dead mounts of the
same store do not count as being in the way. Never changes anything.
"""

from pathlib import Path
from typing import NamedTuple

from vfs.errors import MountError
from vfs.mount.healing import AlreadyMounted, refuse_living
from vfs.mount.mountinfo import read_mounts, resolve
from vfs.mount.options import MountOptions
from vfs.mount.preconditions import NotEmpty, check_mount, check_store


class Places(NamedTuple):
    """The resolved paths of a mount to be."""

    store: Path
    point: Path


def prepare(store: Path, point: Path, options: MountOptions, *, again: bool = False) -> Places:
    """Resolve both paths and check all that can be checked; StoreError says what is in the way.

    `again`: for a supervisor's next daemon, which hides what programs have written while none served."""
    mounts = read_mounts()
    places = Places(resolve(store, mounts), resolve(point, mounts))
    check_store(places.store, mounts)
    try:
        refuse_living(places.store)
    except AlreadyMounted as error:
        if options.snapshot is None:
            raise
        shown = error.point / ".snapshots" / options.snapshot
        raise MountError(
            f"{places.store} is mounted at {error.point}; {shown} shows that snapshot"
        ) from error
    try:
        check_mount(places.store, places.point, read_mounts(), allow_other=options.allow_other)
    except NotEmpty:
        if not again:
            raise
    return places
