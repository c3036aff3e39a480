"""What must hold before a store can be mounted, each with the message that tells how to make it hold.

Promises that whatever passes here fails later only for reasons of the kernel. Never changes anything.
"""

import errno
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from vfs.backing.file_names import INDEX_NAME, SUPERBLOCK_NAME
from vfs.errors import MountError, NotAStore, StoreNotFound, StoreUnreadable, SuperblockDamaged
from vfs.mount.mountinfo import Mount, mount_at, vfs_around, vfs_at
from vfs.mount.probe import is_dead

FUSE_DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
FUSERMOUNT = "fusermount3"
CONTAINER = "in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"


class NotEmpty(MountError):
    """Something lies in the folder that would be hidden by the mount."""


def check_store(store: Path, mounts: Sequence[Mount]) -> None:
    """Refuse what cannot be a store before anything is created in it."""
    mount = vfs_around(store, mounts)
    if mount is not None and mount.point == store:
        raise NotAStore(store, f"it is the mount point of the store {mount.store}")
    try:
        names = os.listdir(store)
    except FileNotFoundError:
        raise StoreNotFound(store) from None
    except NotADirectoryError:
        raise NotAStore(store, "not a directory") from None
    except OSError as error:
        raise StoreUnreadable(store, error.strerror or str(error)) from None
    if SUPERBLOCK_NAME not in names:
        kind = SuperblockDamaged if INDEX_NAME in names else NotAStore
        raise kind(store, f"it has no {SUPERBLOCK_NAME}")


def check_mount(store: Path, point: Path, mounts: Sequence[Mount], *, allow_other: bool) -> None:
    """Everything but the store itself; both paths are resolved."""
    check_apart(store, point)
    shown = vfs_at(point, mounts)
    if shown is None or shown.store != store:  # else it is dead, and hides the folder until it is cleared
        check_point(point, mounts)
    check_device()
    check_fusermount()
    if allow_other:
        check_allow_other()


def check_apart(store: Path, point: Path) -> None:
    """Neither may lie inside the other: the mount would hide the store, or the daemon wait for itself."""
    if store == point:
        raise MountError(f"{point} is the store itself; mount it on another, empty directory")
    if point.is_relative_to(store):
        raise MountError(f"mount point {point} lies inside the store {store}; choose one outside of it")
    if store.is_relative_to(point):
        raise MountError(f"the store {store} lies inside the mount point {point}; choose another mount point")


def check_point(point: Path, mounts: Sequence[Mount]) -> None:
    """The mount point is an empty directory on which nothing is mounted."""
    quoted = shlex.quote(str(point))
    mount = vfs_at(point, mounts)
    if mount is not None and is_dead(point):
        raise MountError(
            f"{point} is the dead mount of another store, {mount.store}, whose daemon has died; "
            f"mount that one again, or clear it with: vfs umount {quoted}"
        )
    other = mount_at(point, mounts)
    if other is not None:
        raise taken_by(other)
    try:
        names = os.listdir(point)
    except FileNotFoundError:
        raise MountError(f"no such mount point: {point}; create it with: mkdir -p {quoted}") from None
    except NotADirectoryError:
        raise MountError(f"mount point {point} is not a directory; give an empty directory") from None
    except PermissionError:
        raise MountError(
            f"no permission to look into the mount point {point}; give one of your own"
        ) from None
    except OSError as error:
        raise MountError(f"cannot use the mount point {point}: {error.strerror}; give another one") from None
    if SUPERBLOCK_NAME in names:
        raise MountError(f"mount point {point} is a store; the order is: vfs mount STORE MOUNTPOINT")
    if names:
        raise NotEmpty(f"mount point {point} is not empty; give an empty directory")
    if os.geteuid() != 0 and not os.access(point, os.W_OK):
        raise MountError(f"no permission to mount on {point}: you cannot write to it; give one of your own")


def taken_by(mount: Mount) -> MountError:
    """What there is to say of a mount that stands where another one is wanted."""
    if mount.is_vfs:
        command = f"vfs umount {shlex.quote(str(mount.point))}"
        return MountError(f"{mount.point} is the mount point of {mount.store}; unmount it first: {command}")
    return MountError(f"{mount.point} is the mount point of {mount.source} ({mount.type}); choose a free one")


def check_device() -> None:
    """The kernel's door is there and opens."""
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise MountError(
            f"there is no {FUSE_DEVICE}; load the module (modprobe fuse), or {CONTAINER}"
        ) from None
    except PermissionError:
        raise MountError(
            f"no permission to open {FUSE_DEVICE}; chmod 666 lets everybody (or be root); {CONTAINER}"
        ) from None
    except OSError as error:
        what = "the module is not loaded" if error.errno in (errno.ENODEV, errno.ENXIO) else error.strerror
        raise MountError(
            f"cannot open {FUSE_DEVICE}: {what}; load it (modprobe fuse), or {CONTAINER}"
        ) from None


def check_fusermount() -> None:
    """Without root, the kernel mounts only for the helper program of fuse3."""
    if os.geteuid() != 0 and shutil.which(FUSERMOUNT) is None:
        raise MountError(f"{FUSERMOUNT} is not installed; install it with: apt install fuse3")


def check_allow_other() -> None:
    """Others may be let in by root, or by anybody where /etc/fuse.conf says so."""
    if os.geteuid() == 0:
        return
    try:
        lines = FUSE_CONF.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" not in (line.strip() for line in lines):
        raise MountError(
            f"-o allow_other needs a line user_allow_other in {FUSE_CONF}; add it, or mount as root"
        )
