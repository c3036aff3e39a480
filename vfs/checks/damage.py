"""Which files cannot be read wholly: names for the damage that the checks have found.

Looks through the maps once, and only when something is damaged. Never reads data.
"""

from collections.abc import Iterator
from contextlib import suppress

from vfs.checks.report import MOST_FILES
from vfs.checks.view import View
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.limits import ROOT_INO

MOST_PARENTS = 4096
"""A path is not looked for any higher than this: directories that contain each other have no end."""


def name_damaged_files(view: View) -> None:
    """Put the damaged files into the report, by path where they have one."""
    numbers = set(view.damaged_inodes)
    if view.damaged_blocks:
        numbers |= _users(view, view.damaged_blocks)
    view.report.files_damaged_count = len(numbers)
    view.report.files_damaged = sorted(_names(view, sorted(numbers)[:MOST_FILES]))


def _users(view: View, blocks: set[int]) -> set[int]:
    blobs = {blob for blob, block in view.query("SELECT id, block FROM blob") if block in blocks}
    users = set()
    for ino, _, _, encoded, _, _ in view.segments():
        with suppress(IndexDamaged):
            if not blobs.isdisjoint(ExtentMap.decode(encoded).blob_references()):
                users.add(ino)
    return users


def _names(view: View, numbers: list[int]) -> Iterator[str]:
    if not numbers:
        return
    places = dict.fromkeys(numbers, (0, b""))
    for parent, name, ino in view.query("SELECT parent, name, ino FROM entry"):
        if ino in places:
            places[ino] = (parent, name)
    for ino, (parent, name) in places.items():
        path = _path(view, parent) if name else None
        yield f"inode {ino}" if path is None else (path + b"/" + name).decode("utf-8", "backslashreplace")


def _path(view: View, directory: int) -> bytes | None:
    """The path of a directory without a slash at its end, None when it cannot be reached."""
    parts: list[bytes] = []
    while directory != ROOT_INO and len(parts) < MOST_PARENTS:
        row = next(
            view.query(
                "SELECT i.parent, e.name FROM inode i JOIN entry e ON e.parent=i.parent AND e.ino=i.ino"
                " WHERE i.ino=?",
                (directory,),
            ),
            None,
        )
        if row is None:
            return None
        directory = row[0]
        parts.append(row[1])
    return b"".join(b"/" + part for part in reversed(parts)) if directory == ROOT_INO else None
