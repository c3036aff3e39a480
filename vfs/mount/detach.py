"""Takes a mount off the tree.

Promises that it is gone from the tree when `detach` returns. The system call is always made by another
program: a thread of the daemon that waits in the kernel for the daemon itself could keep the daemon from
dying, and the mount with it. Never touches what lies under the mount point.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from vfs.errors import MountError
from vfs.mount.flushing import FLUSHER
from vfs.mount.holders import Holder, find_holders
from vfs.mount.mountinfo import Mount, mount_at, read_mounts
from vfs.mount.preconditions import FUSERMOUNT
from vfs.mount.programs import run

LAZY_SECONDS = 60.0

PASSING_SECONDS = 30.0
"""How long programs are waited for that only have the kernel hand over its pages: the daemon itself starts
them, for a snapshot or a rollback, and they end by themselves."""

UNSEEN_SECONDS = 10.0
"""How long in a row a mount is tried again that is busy and has no user when we look: it has just ended, or
closes a file whose pages the kernel hands over first."""

LOOK_SECONDS = 0.05


class MountBusy(MountError):
    """Some process uses the mount, so that only a lazy detach can take it off."""

    def __init__(self, point: Path, users: list[str]) -> None:
        self.point = point
        self.users = users
        who = f"by {', '.join(users)}" if users else "by a process that /proc does not show to you"
        super().__init__(f"{point} is in use {who}; end that, or detach it with --lazy")


def detach(point: Path, *, lazy: bool = False) -> None:
    """Unmount what shows at `point` (resolved). What the kernel still holds of it is written first.

    `lazy` takes it from the tree although it is in use; the users keep what they have open. MountBusy
    when it is in use and does not become free by itself, MountError when it cannot be done.
    """
    before = mount_at(point, read_mounts())
    busy_at = seen_at = 0.0  # since when somebody uses it, and when that was last somebody whom we see
    while before is not None:
        tried_at = time.monotonic()
        if not _is_busy(point, before, lazy=lazy):
            return
        users = _users(point)
        busy_at = busy_at or tried_at
        seen_at = tried_at if users or not seen_at else seen_at
        if users and (not _are_passing(users) or tried_at > busy_at + PASSING_SECONDS):
            raise MountBusy(point, [str(user) for user in users])
        if tried_at > seen_at + UNSEEN_SECONDS:
            raise MountBusy(point, [])
        time.sleep(LOOK_SECONDS)


def _is_busy(point: Path, before: Mount, *, lazy: bool) -> bool:
    """Try once: False when the mount has gone, True when somebody uses it."""
    try:
        done = run(_command(point, lazy), LAZY_SECONDS if lazy else None)
    except TimeoutError:
        raise MountError(
            f"{point} cannot be detached: the kernel waits for its daemon; kill that daemon"
        ) from None
    now = mount_at(point, read_mounts())
    if now is None or now.number != before.number:
        return False  # also when somebody else was faster
    said = done.words.strip().replace("\n", "; ")
    if "busy" in said:
        return True
    raise MountError(f"cannot unmount {point}: {said or f'exit code {done.code}'}; try as its owner or root")


def _command(point: Path, lazy: bool) -> list[str]:
    helper = shutil.which(FUSERMOUNT)
    if helper is not None:
        return [helper, "-u", *(["-z"] if lazy else []), "--", str(point)]
    umount = shutil.which("umount") if os.geteuid() == 0 else None
    if umount is not None:
        # -c: do not look at the path, which a mount that hangs would not survive.
        return [umount, "-i", "-n", "-c", *(["-l"] if lazy else []), "--", str(point)]
    raise MountError(f"{FUSERMOUNT} is not installed; install it with: apt install fuse3")


def _users(point: Path) -> Sequence[Holder | str]:
    inner = [mount for mount in read_mounts() if point in mount.point.parents]
    return [f"a mount at {mount.point}" for mount in inner] or find_holders(point)


def _are_passing(users: Sequence[Holder | str]) -> bool:
    return all(isinstance(user, Holder) and user.name == FLUSHER for user in users)
