"""Which files cannot be read wholly: names for the damage that the checks have found.

Looks through the maps once, and only when something is damaged. A row of a map that many trees show is told
once, by a live path where there is one. Never reads data.
"""

from contextlib import suppress

from vfs.checks.naming import Names
from vfs.checks.report import MOST_FILES, LostRange
from vfs.checks.view import RowKey, View
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange


def name_damaged_files(view: View) -> None:
    """Put the damaged files and the lost ranges into the report, by path where the files have one."""
    rows = set(view.damaged_rows)
    if view.damaged_blocks or view.broken_blobs:
        rows |= _users(view)
    if not rows and not view.lost:
        return
    names = Names(view.query)
    files = set(names.files_of(rows).values())
    losers = names.files_of(row for row, _, _ in view.lost)
    damaged = sorted(files)[:MOST_FILES]
    paths = names.paths([*damaged, *losers.values()])
    view.report.files_damaged_count = len(files)
    view.report.files_damaged = sorted(paths[ino] for ino in damaged)
    lost = sorted((losers[row], offset, length) for row, offset, length in view.lost if row in losers)
    ranges = [LostRange(paths[ino], offset, length) for ino, offset, length in _joined(view, lost)]
    view.report.lost = sorted(ranges, key=lambda found: (found.path, found.offset))


def _joined(view: View, lost: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Ranges of a file that touch made one: they may come from rows of different generations."""
    found: list[tuple[int, int, int]] = []
    for ino, offset, length in lost:
        if found and found[-1][0] == ino and sum(found[-1][1:]) == offset:
            found[-1] = (ino, found[-1][1], found[-1][2] + length)
            view.report.lost_count -= 1
        else:
            found.append((ino, offset, length))
    return found


def _users(view: View) -> set[RowKey]:
    """The rows of maps that name bytes of blobs which cannot be read."""
    sound: dict[int, list[tuple[int, int]]] = {}
    for blob, block in view.query("SELECT id, block FROM blob"):
        where, parts = view.broken_blobs.get(blob, (0, []))
        if block in view.damaged_blocks:
            sound[blob] = []
        elif where == block and blob in view.broken_blobs:
            sound[blob] = parts
    users = set()
    for ino, number, gen, _, encoded, _, _ in view.segments():
        with suppress(IndexDamaged):
            segment = ExtentMap.decode(encoded)
            if sound.keys().isdisjoint(segment.blob_references()):
                continue
            extents = [extent for _, extent in segment.placed() if isinstance(extent, BlobRange)]
            if any(extent.blob in sound and not _is_sound(extent, sound[extent.blob]) for extent in extents):
                users.add((ino, number, gen))
    return users


def _is_sound(extent: BlobRange, parts: list[tuple[int, int]]) -> bool:
    end = extent.start + extent.length
    return any(start <= extent.start and end <= start + length for start, length in parts)
