"""What a snapshot may be called: it is the name of a folder, and an argument of commands."""

import re

from vfs.errors import SnapshotError
from vfs.limits import NAME_BYTES

_NO_SNAPSHOT = re.compile(r"[/:]|^[-.\s]|\s$")


def is_snapshot_name(name: str) -> bool:
    """Whether a snapshot may be called so."""
    size = len(name.encode(errors="surrogateescape"))
    return 0 < size <= NAME_BYTES and name.isprintable() and _NO_SNAPSHOT.search(name) is None


def check_name(name: str) -> None:
    """SnapshotError unless a snapshot may be called so."""
    if not 0 < len(name.encode(errors="surrogateescape")) <= NAME_BYTES:
        raise SnapshotError(f"the name of a snapshot has 1 to {NAME_BYTES} bytes")
    if not is_snapshot_name(name):
        raise SnapshotError(
            f"{name!r} cannot be the name of a snapshot: no '/', no ':', nothing that is not printed,"
            " and no '-', '.' or blank at its beginning"
        )
