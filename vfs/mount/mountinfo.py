"""What is mounted where, read from /proc/self/mountinfo.

Promises to find the store of a mount point, and the mount points of a store, without touching either: a
mount whose daemon hangs would hang whoever touches it. Never changes anything.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from vfs.errors import MountError

MOUNTINFO = Path("/proc/self/mountinfo")
SUBTYPE = "vfs"
"""The kernel shows our mounts as of the type fuse.vfs."""

VFS_TYPE = f"fuse.{SUBTYPE}"
MOST_SYMLINKS = 40
"""As many as the kernel follows in one path."""


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: int
    parent: int
    device: str  # "major:minor"
    root: str  # which directory of the file system is mounted, "/" unless it is a bind mount of a part
    point: Path
    type: str
    source: str

    @property
    def is_vfs(self) -> bool:
        """True for the mount of a whole store."""
        return self.type == VFS_TYPE and self.root == "/"

    @property
    def store(self) -> Path:
        """The store that a vfs mount shows; see `options.quote_store`."""
        return Path(os.fsdecode(unquote_to_bytes(self.source)))


def read_mounts() -> list[Mount]:
    """Every mount that this process sees, in the order in which they were made."""
    return parse_mountinfo(MOUNTINFO.read_bytes())


def parse_mountinfo(content: bytes) -> list[Mount]:
    """Mounts of a mountinfo file; lines that do not have its form (proc(5)) are left out."""
    parsed = (_parse_line(line) for line in content.splitlines())
    return [mount for mount in parsed if mount is not None]


def _parse_line(line: bytes) -> Mount | None:
    left, separator, right = line.partition(b" - ")
    fields, kinds = left.split(b" "), right.split(b" ")
    if (
        not separator
        or len(fields) < 6
        or len(kinds) < 2
        or not (fields[0].isdigit() and fields[1].isdigit())
    ):
        return None
    return Mount(
        number=int(fields[0]),
        parent=int(fields[1]),
        device=os.fsdecode(fields[2]),
        root=_unescape(fields[3]),
        point=Path(_unescape(fields[4])),
        type=_unescape(kinds[0]),
        source=_unescape(kinds[1]),
    )


def _unescape(field: bytes) -> str:
    """Blanks, tabs, newlines, backslashes and `#` come as a backslash and three octal digits."""
    return os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), field))


def mount_at(point: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that shows at exactly this (resolved) path: the last one made there."""
    return next((mount for mount in reversed(mounts) if mount.point == point), None)


def vfs_at(point: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The store's mount that shows at exactly this (resolved) path."""
    mount = mount_at(point, mounts)
    return mount if mount is not None and mount.is_vfs else None


def vfs_around(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The store's mount that a (resolved) path lies in or is the top of."""
    candidates = (vfs_at(folder, mounts) for folder in (path, *path.parents))
    return next((mount for mount in candidates if mount is not None), None)


def mounts_of(store: Path, mounts: Iterable[Mount]) -> list[Mount]:
    """The mounts of a store (by its resolved path)."""
    return [mount for mount in mounts if mount.is_vfs and mount.store == store]


def resolve(path: Path, mounts: Sequence[Mount]) -> Path:
    """The absolute path without symbolic links, where at or below a mount of ours nothing is touched."""
    points = {mount.point for mount in mounts if mount.is_vfs}
    pending = list(reversed(os.path.join(os.getcwd(), path).split("/")))
    done = Path("/")
    links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done.parent
            continue
        done /= part
        if done in points or not points.isdisjoint(done.parents):
            continue
        try:
            target = os.readlink(done)
        except OSError:
            continue  # not a link, or nothing at all: whoever uses the path will say so
        links += 1
        if links > MOST_SYMLINKS:
            raise MountError(f"{path}: too many symbolic links; give the path that they should lead to")
        done = Path("/") if target.startswith("/") else done.parent
        pending.extend(reversed(target.split("/")))
    return done
