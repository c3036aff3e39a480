"""What of one inode differs between two states: content, mode, owner, extended attributes; never a time.

Promises that content is called changed only where a byte differs, or cannot be read. Where the maps of two
states say the same nothing is read; where they do not, that part of both, up to the first byte that differs.
"""

import stat
from collections.abc import Callable, Iterator

from vfs.backing.difference_rows import DifferenceRows
from vfs.backing.transaction import InodeRow
from vfs.backing.trees import Chain
from vfs.errors import DataDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Lost, part
from vfs.limits import LAST_NUMBER, MIB, SEGMENT_BYTES
from vfs.numbers import local_of, tree_of

CONTENT, MODE, OWNER, XATTR = "content", "mode", "owner", "xattr"
"""What can differ, in the order in which it is told."""

Read = Callable[[list[Extent]], bytes | memoryview]
"""The bytes of extents; DataDamaged where they cannot be had."""

PIECE_BYTES = MIB
"""Read at once of either side."""


def file_size(row: InodeRow | None) -> int:
    """The size of a regular file, else 0."""
    return row[5] if row is not None and stat.S_ISREG(row[1]) else 0


class Comparing:
    """Compares inodes of the same kind."""

    def __init__(self, rows: DifferenceRows, read: Read) -> None:
        self._rows = rows
        self._read = read

    def changes(self, old: InodeRow, new: InodeRow, *, rows_alone: bool = False) -> tuple[str, ...]:
        """What differs between two inodes, given by their rows; nothing: they are the same. `rows_alone`: all
        that is not in these rows is known to be the same."""
        found = []
        if old[5] != new[5] if rows_alone and stat.S_ISREG(old[1]) else self._content_differs(old, new):
            found.append(CONTENT)
        if stat.S_IMODE(old[1]) != stat.S_IMODE(new[1]):
            found.append(MODE)
        if old[2:4] != new[2:4]:
            found.append(OWNER)
        if not rows_alone and self._rows.xattrs(old[0]) != self._rows.xattrs(new[0]):
            found.append(XATTR)
        return tuple(found)

    def _content_differs(self, old: InodeRow, new: InodeRow) -> bool:
        if stat.S_ISREG(old[1]):
            return old[5] != new[5] or any(
                self._segment_differs(old[0], new[0], number)
                for number in self._segments(old[0], new[0], old[5])
            )
        if stat.S_ISDIR(old[1]):
            return False  # what is in it is told by itself
        return (old[7], old[14]) != (new[7], new[14])  # the device, the target of a link

    def _segments(self, old: int, new: int, size: int) -> list[int]:
        """The segments of two files in which they may differ."""
        rows = self._rows
        if local_of(old) == local_of(new):
            return rows.changed_segments(self._chain(old), self._chain(new), local_of(old))
        last = min(size // SEGMENT_BYTES, LAST_NUMBER)
        return sorted({*rows.segment_numbers(old, 0, last), *rows.segment_numbers(new, 0, last)})

    def _chain(self, number: int) -> Chain:
        tree = self._rows.trees.get(tree_of(number))
        assert tree is not None, "it has a row"
        return tree.chain

    def _segment_differs(self, old: int, new: int, number: int) -> bool:
        maps = [self._rows.load_segment(each, number) for each in (old, new)]
        if maps[0] == maps[1]:
            return False
        decoded = [ExtentMap() if each is None else ExtentMap.decode(each) for each in maps]
        length = max(each.length for each in decoded)
        pieces = _side_by_side(decoded[0].cut(0, length), decoded[1].cut(0, length))
        return any(self._piece_differs(one, other) for one, other in pieces)

    def _piece_differs(self, one: Extent, other: Extent) -> bool:
        if _same_place(one, other):
            return False
        if type(one) is type(other) is Fill or Lost in (type(one), type(other)):
            return True
        try:
            return self._read([one]) != self._read([other])
        except DataDamaged:  # nobody can say that they are the same
            return True


def _same_place(one: Extent, other: Extent) -> bool:
    """Whether two extents are the same bytes without a look at them."""
    if type(one) is ChunkRange and type(other) is ChunkRange:
        return (one.chunk, one.start) == (other.chunk, other.start)
    if type(one) is BlobRange and type(other) is BlobRange:
        return (one.blob, one.start) == (other.blob, other.start)
    return one == other


def _side_by_side(one: list[Extent], other: list[Extent]) -> Iterator[tuple[Extent, Extent]]:
    """Two lists that cover as much, cut into pieces of the same lengths."""
    left, right = one[::-1], other[::-1]
    while left and right:
        a, b = left.pop(), right.pop()
        length = min(a.length, b.length)
        if not _same_place(part(a, 0, length), part(b, 0, length)):
            length = min(length, PIECE_BYTES)
        if a.length > length:
            left.append(part(a, length, a.length - length))
        if b.length > length:
            right.append(part(b, length, b.length - length))
        yield part(a, 0, length), part(b, 0, length)
