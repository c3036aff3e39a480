"""What STORE|MOUNTPOINT, or a path inside a mount, on the command line stands for.

Promises to find the store, and its daemon if there is one, without touching a mount. Never opens the store.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vfs.cli.output import warn
from vfs.errors import MountError, NotAStore, SuperblockDamaged
from vfs.mount.client import ControlClient
from vfs.mount.mountinfo import Mount, mount_at, mounts_of, read_mounts, resolve, vfs_around
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
    except SuperblockDamaged:
        raise
    except NotAStore as error:
        raise NotAStore(store, f"{error.reason}, and no store is mounted there") from error
    daemon = ControlClient.connect(store) if mount is None else _reach(mount)
    if mount is not None and daemon is None:
        warn(_died(mount))
    return Target(store, daemon)


def _reach(mount: Mount) -> ControlClient | None:
    """The daemon that serves a mount, None when it has died; MountError when it does not listen."""
    daemon = ControlClient.connect(mount.store)
    if daemon is not None or is_dead(mount.point):
        return daemon
    daemon = ControlClient.connect(mount.store)  # one that has just begun listens before it answers
    if daemon is None:
        point = shlex.quote(str(mount.point))
        raise MountError(
            f"the daemon of {mount.point} has no control socket in {mount.store}; vfs umount {point}"
        )
    return daemon


def _died(mount: Mount) -> str:
    return f"the daemon of {mount.point} has died; clear it with: vfs umount {shlex.quote(str(mount.point))}"


class Inside(NamedTuple):
    """Paths inside one mount, as seen from its root, which shows at `top`; and the daemon that serves it."""

    store: Path
    daemon: ControlClient
    top: str
    paths: list[str]


def find_inside(paths: Sequence[str]) -> Inside:
    """Look up what lies inside a mount; MountError when it does not, or not all of it inside the same."""
    mounts = read_mounts()
    found: list[tuple[Mount, str]] = []
    for path in paths:
        resolved = resolve(Path(path), mounts)
        around = (mount_at(folder, mounts) for folder in (resolved, *resolved.parents))
        mount = next((mount for mount in around if mount is not None), None)
        if mount is None or not mount.is_vfs:
            raise MountError(f"{path} does not lie inside a mounted store; for other files use cp")
        inner = os.path.join("/", os.path.relpath(resolved, mount.point))
        found.append((mount, inner + ("/" if path.endswith("/") else "")))
    if len({mount.store for mount, _ in found}) > 1:
        raise MountError(f"{' and '.join(paths)} lie in different stores; use cp -a for that")
    mount = found[0][0]
    daemon = _reach(mount)
    if daemon is None:
        raise MountError(_died(mount))
    return Inside(mount.store, daemon, str(mount.point), [inner for _, inner in found])


class PathInside(NamedTuple):
    """A path from the root of a store, which shows at `top`."""

    path: str
    top: str


def find_path(target: Path, text: str) -> PathInside:
    """A path from the root of a STORE|MOUNTPOINT: where the text leads below its mount point, if it does so,
    from the current folder or as it is; else the text itself."""
    mounts = read_mounts()
    resolved = resolve(target, mounts)
    mount = vfs_around(resolved, mounts)
    store = resolved if mount is None else mount.store
    seen = resolve(Path(text), mounts)
    for shown in mounts_of(store, mounts):
        if seen != shown.point and seen.is_relative_to(shown.point):
            return PathInside(f"/{seen.relative_to(shown.point)}", str(shown.point))
    return PathInside(text, "/")
