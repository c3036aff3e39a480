"""What a power cut leaves: files and folders of a simulated disk, with the changes that no sync has covered.

Promises every outcome that POSIX allows on top of a page cache, and no other. What was synced is there. Of
the rest, sectors reach the medium in any order, so that any subset of them may be there, whatever was written
first; a write is torn at the borders of sectors. What one sector holds is what the cache held of it at some
moment since: the cache knows no older bytes to put over newer ones, and cannot write a later change of a
sector without the earlier ones. Sizes and truncations are apart from bytes, names apart from files: a name
may be there and the content not, or the other way round, and of the changes of a folder any subset, a rename
being one of them. Deterministic from the generator that is handed in.
"""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

SECTOR_BYTES = 512
"""The unit that a disk writes whole or not at all."""

PAGE_BYTES = 4096
"""The unit that the system caches."""


class Write(NamedTuple):
    """Bytes written into a file and not synced yet."""

    offset: int
    data: bytes


class Resize(NamedTuple):
    """A truncate that is not synced yet."""

    size_bytes: int


class Name(NamedTuple):
    """A name in a folder that came to mean `node` (None: was removed). `old`: what a rename took away.

    INVARIANT: a rename is one change, so that it happens whole or not at all.
    """

    name: str
    node: "FileNode | FolderNode | None"
    old: str | None = None


def write_into(content: bytearray, offset: int, data: bytes) -> None:
    """Write like pwrite(2): a gap before the offset reads as zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def resize(content: bytearray, size_bytes: int) -> None:
    """Cut or extend with zeros, like ftruncate(2)."""
    if size_bytes <= len(content):
        del content[size_bytes:]
    else:
        content.extend(bytes(size_bytes - len(content)))


@dataclass(eq=False)
class FileNode:
    """One file: what the system shows, what the medium holds, and the way from one to the other."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)
    damaged_reads: bool = False
    """Reading this file fails with EIO."""

    def write(self, offset: int, data: bytes) -> None:
        """Change what the system shows."""
        write_into(self.content, offset, data)
        self.pending.append(Write(offset, data))

    def resize(self, size_bytes: int) -> None:
        """Change the size that the system shows."""
        resize(self.content, size_bytes)
        self.pending.append(Resize(size_bytes))

    def sync(self) -> None:
        """All that the system shows is on the medium; not what an earlier failed sync has lost."""
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def fail_sync(self, rng: random.Random) -> None:
        """A failed sync as Linux has it: some of it is written, all of it is called clean."""
        self.durable = self.survivor(rng)
        self.pending.clear()

    def drop_cache(self, offset: int) -> None:
        """Show clean pages again as the medium has them. The size stays known to the system, and so does a
        page that begins before the offset, as in Linux."""
        offset = -(-offset // PAGE_BYTES) * PAGE_BYTES
        fresh = bytearray(self.durable)
        for change in self.pending:
            _apply(fresh, change)
        resize(fresh, len(self.content))
        self.content[offset:] = fresh[offset:]

    def flip(self, offset: int, mask: int) -> None:
        """Damage one byte wherever it is: in the cache, on the medium, on its way there."""
        for content in (self.content, self.durable):
            if offset < len(content):
                content[offset] ^= mask
        for number, change in enumerate(self.pending):
            if isinstance(change, Write) and 0 <= offset - change.offset < len(change.data):
                data = bytearray(change.data)
                data[offset - change.offset] ^= mask
                self.pending[number] = Write(change.offset, bytes(data))

    def survivor(self, rng: random.Random) -> bytearray:
        """Return what the medium may hold after a power cut."""
        content = bytearray(self.durable)
        if not self.pending:
            return content
        fashion = rng.randrange(5)
        pieces = [piece for change in self.pending for piece in _sectors(change)]
        if fashion == 0:  # nothing was written back
            pieces = []
        elif fashion == 1:  # in order, up to some point
            pieces = pieces[: rng.randint(0, len(pieces))]
        elif fashion == 2:  # any subset of sectors, each as it was at some moment
            pieces = _some_moments(pieces, dict.fromkeys(map(_place, pieces), 0.5), rng)
        elif fashion == 3:  # one sector is behind all others
            pieces = _some_moments(pieces, {_place(rng.choice(pieces)): 1.0}, rng)
        for piece in pieces:
            _apply(content, piece)
        if rng.random() < 0.3:  # the size was written, not the bytes
            resize(content, max(len(content), len(self.content)))
        elif rng.random() < 0.2 and len(content) > len(self.durable):  # the bytes were, not the whole size
            resize(content, rng.randint(len(self.durable), len(content)))
        return content


@dataclass(eq=False)
class FolderNode:
    """One folder: its names as the system shows them and as the medium holds them."""

    names: "dict[str, FileNode | FolderNode]" = field(default_factory=dict)
    durable: "dict[str, FileNode | FolderNode]" = field(default_factory=dict)
    pending: list[Name] = field(default_factory=list)

    def change(self, change: Name) -> None:
        """Change what the system shows."""
        _apply_name(self.names, change)
        self.pending.append(change)

    def sync(self) -> None:
        """All names that the system shows are on the medium."""
        for change in self.pending:
            _apply_name(self.durable, change)
        self.pending.clear()

    def survivor(self, rng: random.Random) -> "dict[str, FileNode | FolderNode]":
        """Return the names that a power cut may leave: any subset of the changes, in their order."""
        names = dict(self.durable)
        chance = rng.choice((0.0, 0.5, 0.9, 1.0))
        for change in self.pending:
            if rng.random() < chance:
                _apply_name(names, change)
        return names


def survivors(folder: FolderNode, rng: random.Random) -> FolderNode:
    """Return the folder, with everything in it, as a power cut may leave it; all of that is durable."""
    names: dict[str, FileNode | FolderNode] = {}
    for name, node in sorted(folder.survivor(rng).items()):
        if isinstance(node, FolderNode):
            names[name] = survivors(node, rng)
        else:
            content = node.survivor(rng)
            names[name] = FileNode(bytearray(content), content, damaged_reads=node.damaged_reads)
    return FolderNode(names, dict(names))


def _sectors(change: Write | Resize) -> list[Write | Resize]:
    """Cut a write at the borders of sectors."""
    if isinstance(change, Resize):
        return [change]
    pieces: list[Write | Resize] = []
    start = 0
    while start < len(change.data):
        length = SECTOR_BYTES - (change.offset + start) % SECTOR_BYTES
        pieces.append(Write(change.offset + start, change.data[start : start + length]))
        start += length
    return pieces


def _place(piece: Write | Resize) -> int:
    """The sector of a piece; truncations count as one of their own."""
    return piece.offset // SECTOR_BYTES if isinstance(piece, Write) else -1


def _some_moments(
    pieces: list[Write | Resize], behind: dict[int, float], rng: random.Random
) -> list[Write | Resize]:
    """Without the last changes of some sectors, chosen with those chances: all of them or some."""
    counts: dict[int, int] = {}
    for place in map(_place, pieces):
        counts[place] = counts.get(place, 0) + 1
    kept = {
        place: rng.choice((0, rng.randrange(count))) if rng.random() < behind.get(place, 0.0) else count
        for place, count in counts.items()
    }
    found = []
    for piece in pieces:
        place = _place(piece)
        if kept[place] > 0:
            kept[place] -= 1
            found.append(piece)
    return found


def _apply(content: bytearray, change: Write | Resize) -> None:
    if isinstance(change, Resize):
        resize(content, change.size_bytes)
    else:
        write_into(content, change.offset, change.data)


def _apply_name(names: "dict[str, FileNode | FolderNode]", change: Name) -> None:
    if change.node is None:
        names.pop(change.name, None)
        return
    if change.old is not None and names.get(change.old) is change.node:
        del names[change.old]
    names[change.name] = change.node
