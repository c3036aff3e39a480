"""Which files cannot be read wholly: names for the damage that the checks have found.

Looks through the maps once, and only when something is damaged. Never reads data.
"""

from collections.abc import Iterable
from contextlib import suppress

from vfs.checks.report import MOST_FILES, LostRange
from vfs.checks.view import Query, View
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange
from vfs.limits import ROOT_INO
from vfs.paths import printable

MOST_PARENTS = 4096
"""A path is not looked for any higher than this: directories that contain each other have no end."""


def name_damaged_files(view: View) -> None:
    """Put the damaged files and the lost ranges into the report, by path where the files have one."""
    numbers = {ino for ino, _ in view.damaged_rows}
    if view.damaged_blocks or view.broken_blobs:
        numbers |= _users(view)
    damaged = sorted(numbers)[:MOST_FILES]
    names = names_of(view.query, [*damaged, *(ino for ino, _, _ in view.lost)])
    view.report.files_damaged_count = len(numbers)
    view.report.files_damaged = sorted(names[ino] for ino in damaged)
    ranges = (LostRange(names[ino], offset, length) for ino, offset, length in view.lost)
    view.report.lost = sorted(ranges, key=lambda found: (found.path, found.offset))


def _users(view: View) -> set[int]:
    """The files that name bytes of blobs which cannot be read."""
    sound: dict[int, list[tuple[int, int]]] = {}
    for blob, block in view.query("SELECT id, block FROM blob"):
        where, parts = view.broken_blobs.get(blob, (0, []))
        if block in view.damaged_blocks:
            sound[blob] = []
        elif where == block and blob in view.broken_blobs:
            sound[blob] = parts
    users = set()
    for ino, _, _, encoded, _, _ in view.segments():
        with suppress(IndexDamaged):
            segment = ExtentMap.decode(encoded)
            if sound.keys().isdisjoint(segment.blob_references()):
                continue
            extents = [extent for _, extent in segment.placed() if isinstance(extent, BlobRange)]
            if any(extent.blob in sound and not _is_sound(extent, sound[extent.blob]) for extent in extents):
                users.add(ino)
    return users


def _is_sound(extent: BlobRange, parts: list[tuple[int, int]]) -> bool:
    end = extent.start + extent.length
    return any(start <= extent.start and end <= start + length for start, length in parts)


def names_of(query: Query, numbers: Iterable[int]) -> dict[int, str]:
    """For each of these inodes a path that it has, or `inode N` where there is none."""
    places = dict.fromkeys(numbers, (0, b""))
    if not places:
        return {}
    for parent, name, ino in query("SELECT parent, name, ino FROM entry"):
        if ino in places:
            places[ino] = (parent, name)
    names = {}
    for ino, (parent, name) in places.items():
        path = _path(query, parent) if name else None
        shown = None if path is None else printable(path + b"/" + name)
        names[ino] = shown or f"inode {ino}"
    return names


def _path(query: Query, directory: int) -> bytes | None:
    """The path of a directory without a slash at its end, None when it cannot be reached."""
    parts: list[bytes] = []
    while directory != ROOT_INO and len(parts) < MOST_PARENTS:
        row = next(
            query(
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
