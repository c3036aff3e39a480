"""What of the packs nothing refers to any more, and which packs are worth writing anew.

Promises figures of one commit of the index. Only reads rows; never opens a pack.
"""

from collections.abc import Iterable
from typing import NamedTuple

from vfs.backing.index import Index
from vfs.backing.packed import PackedTransaction
from vfs.backing.places import THERE, BlobEntry
from vfs.limits import MIB

_FIGURES = (
    "SELECT p.id, p.name, p.size, count(k.id), ifnull(sum(k.size), 0) FROM pack p"
    f" LEFT JOIN block k ON k.pack=p.id WHERE p.state={THERE} GROUP BY p.id"
)
_DEAD_FIGURES = (
    "SELECT k.pack, count(*), sum(b.length) FROM blob b JOIN block k ON k.id=b.block"
    " WHERE b.refs=0 GROUP BY k.pack"
)
_DEAD_BLOBS = (
    "SELECT b.id, b.block, b.length FROM block k JOIN blob b ON b.block=k.id AND b.refs=0"
    " WHERE k.pack=? ORDER BY b.id"
)

SMALL_BYTES = 32 * MIB
"""A pack of fewer bytes, decoded, is small: what merging makes of small ones is larger, so it ends."""


class PackFigures(NamedTuple):
    """One pack in its place; bytes of blobs are those before they were compressed."""

    id: int
    name: str
    size: int
    """Of the file."""
    blocks: int
    raw_bytes: int
    dead_blobs: int
    dead_bytes: int

    @property
    def live_bytes(self) -> int:
        """In blobs that something refers to."""
        return self.raw_bytes - self.dead_bytes

    @property
    def dead_share(self) -> float:
        """Of its blobs, by bytes."""
        return self.dead_bytes / self.raw_bytes if self.raw_bytes else 1.0

    @property
    def copying_bytes(self) -> int:
        """Room that writing it anew takes at the most, until the old file goes."""
        return min(self.size, self.live_bytes)

    @property
    def freeable_bytes(self) -> int:
        """What the file would become smaller by, when dead data compresses as live data does."""
        return round(self.size * self.dead_share)


class Thresholds(NamedTuple):
    """When packs are worth writing anew."""

    dead_share: float
    """A pack of which so much is dead is rewritten."""
    dead_bytes: int
    """As long as all of those have less dead than this, none is."""
    small_packs: int
    """So many small packs are merged."""
    small_bytes: int = SMALL_BYTES

    def on(self, unit_bytes: int) -> "Thresholds":
        """The same for a disk on which a pack should not become larger than that."""
        least = unit_bytes // 4
        return self._replace(dead_bytes=min(self.dead_bytes, least), small_bytes=min(self.small_bytes, least))


AUTOMATIC = Thresholds(dead_share=0.4, dead_bytes=32 * MIB, small_packs=16)
"""In the background: for each byte that is freed at most one and a half are copied."""

EAGER = Thresholds(dead_share=0.1, dead_bytes=1, small_packs=2)
"""When somebody asks for it."""


def survey_packs(index: Index) -> list[PackFigures]:
    """The figures of all packs; in any thread, in time that grows with blocks and dead blobs."""
    with index.checking(writable=False) as transaction:
        dead = {pack: (blobs, size) for pack, blobs, size in transaction.query(_DEAD_FIGURES)}
        found = list(transaction.query(_FIGURES))
        return [PackFigures(*(*row, *dead.get(row[0], (0, 0)))) for row in found]


def choose_packs(figures: Iterable[PackFigures], thresholds: Thresholds) -> list[PackFigures]:
    """The packs to remove or to rewrite, in that order: first what frees most for what is copied."""
    rest = list(figures)
    chosen = [pack for pack in rest if pack.live_bytes <= 0]
    rest = [pack for pack in rest if pack.live_bytes > 0]
    thin = [pack for pack in rest if pack.dead_share >= thresholds.dead_share]
    if sum(pack.dead_bytes for pack in thin) >= thresholds.dead_bytes:
        chosen += sorted(thin, key=lambda pack: pack.dead_share, reverse=True)
        rest = [pack for pack in rest if pack.dead_share < thresholds.dead_share]
    small = [pack for pack in rest if pack.raw_bytes < thresholds.small_bytes]
    makes_one = any(pack.live_bytes > 0 for pack in chosen)  # into which small ones may go as well
    if len(small) + makes_one >= thresholds.small_packs:
        chosen += small
    return chosen


class DeadBlob(NamedTuple):
    """A blob that nothing refers to."""

    id: int
    block: int
    length: int


class PackContent(NamedTuple):
    """What of a pack the index still knows."""

    blocks: dict[int, int]
    """Block -> its decoded size."""
    dead: list[DeadBlob]
    live: list[BlobEntry]


def dead_content(transaction: PackedTransaction, pack: int) -> PackContent:
    """The content of a pack of which nothing is live; to be believed when `is_whole` says so."""
    blocks = dict(transaction.query("SELECT id, size FROM block WHERE pack=?", (pack,)))
    return PackContent(blocks, [DeadBlob(*row) for row in transaction.query(_DEAD_BLOBS, (pack,))], [])


def content_of(transaction: PackedTransaction, pack: int, entries: Iterable[BlobEntry]) -> PackContent:
    """The content of a pack, whose own index has these entries."""
    found = dead_content(transaction, pack)
    for entry in entries:
        for block, refs in transaction.query("SELECT block, refs FROM blob WHERE id=?", (entry.id,)):
            if refs and block == entry.block and block in found.blocks:
                found.live.append(entry)
    return found


def is_whole(content: PackContent) -> bool:
    """Whether live and dead blobs fill all blocks, so that there can be no others in them."""
    filled = sum(blob.length for blob in content.dead) + sum(blob.length for blob in content.live)
    return filled == sum(content.blocks.values())
