"""One pass of the packer: rows of the index that name bytes of the log, and what they become.

Promises that the content of a row is the same before and after, and that data which cannot be read stays
where it is, is told once, and keeps nothing else from being packed. Runs in a worker thread beside the owner:
it reads the committed index, the log and packs, and touches nothing that lives in memory.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from vfs.backing.cutter import Cutter
from vfs.backing.index import Index
from vfs.backing.pack_rows import FIRST_KEY, PackRows, RowKey
from vfs.backing.pack_session import PackSession
from vfs.backing.packed import PackedTransaction
from vfs.backing.places import SealedPack
from vfs.backing.storage import Buffer
from vfs.errors import DataDamaged, IndexDamaged, VfsError
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill
from vfs.inode.repack import choose, rebuilt, spread
from vfs.limits import SEGMENT_BYTES
from vfs.references import References

log = logging.getLogger("vfs")

PASS_ROWS = 8000
"""Most rows in one pass: what the swap transaction and the step in memory take follows from it."""

PAGE_ROWS = 200
"""Rows asked for at a time."""

Key = tuple[int, int, int]
"""Inode, segment, generation."""

ReadExtent = Callable[[ChunkRange | BlobRange], Buffer]


class Swap(NamedTuple):
    """A row's map before and after, and the lowest chunk that it still names."""

    key: Key
    old: bytes
    new: bytes
    chunk: int | None


class PlannedRow:
    """A row to be packed: its extents, which of them are chosen, and by what they are replaced."""

    __slots__ = ("chosen", "chunk", "encoded", "extents", "key", "replaced", "shortened")

    def __init__(self, key: Key, chunk: int, encoded: bytes, extents: list[Extent]) -> None:
        self.key = key
        self.chunk = chunk
        self.encoded = encoded
        self.extents = extents
        self.chosen: frozenset[int] = frozenset()
        self.replaced: dict[int, list[BlobRange]] = {}
        self.shortened = False
        """Some of what could be packed is left to a later pass."""

    @property
    def chosen_bytes(self) -> int:
        """What is to be read of it."""
        return sum(self.extents[index].length for index in self.chosen)

    def shorten(self, most_bytes: int) -> None:
        """Leave all but the first so many bytes, and at least one extent, to a later pass."""
        kept: list[int] = []
        size = 0
        for index in sorted(self.chosen):
            size += self.extents[index].length
            if kept and size > most_bytes:
                break
            kept.append(index)
        self.shortened = len(kept) < len(self.chosen)
        self.chosen = frozenset(kept)

    def continues(self, other: "PlannedRow | None") -> bool:
        """Whether it is the next segment of the same file."""
        return other is not None and self.key == (other.key[0], other.key[1] + 1, other.key[2])

    def left_bytes(self) -> int:
        """Bytes of it that stay in the log."""
        return sum(
            extent.length
            for index, extent in enumerate(self.extents)
            if type(extent) is ChunkRange and index not in self.replaced
        )

    def swap(self) -> Swap | None:
        """What is to be done to the row; None when that is nothing."""
        segment = rebuilt(self.extents, self.replaced)
        chunk = segment.lowest_chunk()
        if not self.replaced and chunk == self.chunk:
            return None
        return Swap(self.key, self.encoded, segment.encode(), chunk)


class Unpackable:
    """Rows with data that cannot be read: told once, and not tried again until they change.

    Belongs to whoever runs a pass; `bytes` may be read by anybody.
    """

    def __init__(self) -> None:
        self._rows: dict[Key, tuple[bytes, int]] = {}
        self._told: set[Key] = set()
        self._seen: set[Key] = set()
        self.bytes = 0
        """Bytes of the log that they name, as of the last pass. INVARIANT: the sum over the rows."""

    def knows(self, key: Key, encoded: bytes) -> bool:
        """Whether the row is as it was when it could not be packed."""
        known = self._rows.get(key)
        if known is None:
            return False
        if known[0] != encoded:
            self._forget(key)
            return False
        self._seen.add(key)
        return True

    def refuse(self, key: Key, encoded: bytes, error: IndexDamaged) -> None:
        """The map of the row cannot be understood."""
        self.tell(key, error)
        self._put(key, encoded, 0)

    def tell(self, key: Key, error: DataDamaged | IndexDamaged) -> None:
        """Something of the row cannot be read."""
        if key not in self._told:
            self._told.add(key)
            log.error("data of inode %d is not packed: %s", key[0], error)

    def note(self, row: PlannedRow, encoded: bytes) -> None:
        """The row has now this map, and what of it is still in the log stays there."""
        self._put(row.key, encoded, row.left_bytes())

    def seen_all(self) -> None:
        """All rows were looked at: those that `knows` was not asked for are gone."""
        for key in self._rows.keys() - self._seen:
            self._forget(key)
        self._seen.clear()

    def _put(self, key: Key, encoded: bytes, length: int) -> None:
        self._forget(key)
        self._rows[key] = (encoded, length)
        self.bytes += length

    def _forget(self, key: Key) -> None:
        known = self._rows.pop(key, None)
        if known is not None:
            self.bytes -= known[1]


class PackPass:
    """What is planned, what came of it, and how far it is. The steps are those of `Packing`."""

    def __init__(
        self, *, hot: frozenset[int], everything: bool, most_bytes: int, last_chunk: int | None, epoch: int
    ) -> None:
        # constant
        self.hot = hot
        """Inodes that the index does not have as they are: packed last, if at all."""
        self.everything = everything
        self.most_bytes = most_bytes
        self.last_chunk = last_chunk
        """Only rows that name this chunk or an older one."""
        self.epoch = epoch
        # mutable
        self.cancelled = False
        """Set by anyone who does not want to wait for it: it ends soon, with nothing."""
        self.committed = False
        self.certain = True
        """Nobody doubts what became of the commit: a failed one could come back, but not for want of room."""
        self.ended = False
        self.began_at = 0.0
        self.give_way: Callable[[], float] = _on_and_on
        """Called between two pieces of work, by who does it: rests if it should, and says for how long."""
        self.rested_seconds = 0.0
        self.session: PackSession | None = None
        self.sealed: SealedPack | None = None
        self.swaps: list[Swap] = []
        self.swapped: list[Swap] = []
        """Those of them that the index took; the owner's step takes them off again one by one."""
        self.swapped_rows = 0
        self.raw_bytes = 0
        """Bytes that were read to be packed."""
        self.packed_bytes = 0
        """Bytes that no longer lie in the log."""

    def cancel(self) -> None:
        """Let it end soon. Any thread."""
        self.cancelled = True

    def _pause(self) -> None:
        self.rested_seconds += self.give_way()

    # --- planning ---------------------------------------------------------------------------

    def plan(
        self, rows: PackRows, unpackable: Unpackable, is_splinter: Callable[[BlobRange], bool]
    ) -> list[PlannedRow]:
        """The rows of this pass, oldest data first, each file's in order."""
        planned: list[PlannedRow] = []
        hot: list[tuple[RowKey, bytes]] = []
        size = 0

        def take(key: RowKey, encoded: bytes) -> bool:
            nonlocal size
            try:
                row = _planned(key, encoded, is_splinter)
            except IndexDamaged as error:
                unpackable.refuse(key[1:], encoded, error)
                return True
            # A row is up to a segment, which is much for a pass on a small or a full disk.
            rest = self.most_bytes - size
            if row.chosen_bytes > rest + min(SEGMENT_BYTES, self.most_bytes // 8):
                row.shorten(rest)
                if planned and row.chosen_bytes > rest:
                    return False
            planned.append(row)
            size += row.chosen_bytes
            return size < self.most_bytes and len(planned) < PASS_ROWS

        for key, encoded in self._candidates(rows):
            if unpackable.knows(key[1:], encoded):
                continue
            if key[1] in self.hot:
                if self.everything and len(hot) < PASS_ROWS:
                    hot.append((key, encoded))
            elif not take(key, encoded):
                hot.clear()
                break
        else:
            if self.last_chunk is None and not self.cancelled:
                unpackable.seen_all()
        for key, encoded in hot:
            if not take(key, encoded):
                break
        planned.sort(key=lambda row: (row.key[0], row.key[2], row.key[1]))
        return planned

    def _candidates(self, rows: PackRows) -> Iterator[tuple[RowKey, bytes]]:
        after = FIRST_KEY
        while not self.cancelled:
            page = rows.rows_to_pack(after, PAGE_ROWS)
            self._pause()
            for key, encoded in page:
                if self.last_chunk is not None and key[0] > self.last_chunk:
                    return
                yield key, encoded
            if len(page) < PAGE_ROWS:
                return
            after = page[-1][0]

    # --- cutting ----------------------------------------------------------------------------

    def cut(self, rows: list[PlannedRow], cutter: Cutter, read: ReadExtent, unpackable: Unpackable) -> None:
        """Read what is chosen, cut it into blobs and give them to the session; then say what to swap."""
        assert self.session is not None, "run_pack opens it"
        stream = Stream(cutter, self.session)
        before: PlannedRow | None = None
        for row in rows:
            if not row.continues(before):
                stream.end()
            for index, extent in enumerate(row.extents):
                if self.cancelled:
                    return
                if type(extent) is Fill:
                    continue
                data = None
                if index in row.chosen and isinstance(extent, ChunkRange | BlobRange):
                    try:
                        data = read(extent)
                    except DataDamaged as error:
                        unpackable.tell(row.key, error)
                if data is None:
                    stream.end()
                else:
                    stream.feed(row, index, data)
                    self.raw_bytes += extent.length
                    self._pause()
            before = row
        stream.end()
        for row in rows:
            swap = row.swap()
            left = row.left_bytes()
            if swap is not None:
                self.swaps.append(swap)
            if left and not row.shortened:
                unpackable.note(row, row.encoded if swap is None else swap.new)

    # --- swapping ---------------------------------------------------------------------------

    def swap_rows(self, transaction: PackedTransaction) -> None:
        """Make the pack known, and swap the rows that are still what was planned."""
        references = References()
        if self.sealed is not None:
            transaction.put_pack(self.sealed)
        for swap in self.swaps:
            if transaction.swap_segment(swap.key, swap.old, swap.new, swap.chunk):
                before = references.take_out(swap.old).references()
                after = references.put_in(swap.new).references()
                self.packed_bytes += sum(before.values()) - sum(after.values())
                self.swapped.append(swap)
        references.write(transaction)

    def shows_in(self, index: Index) -> bool:
        """Whether readers see the swaps, whatever their commit said."""
        if not self.swapped:
            return False
        key, _, new, chunk = self.swapped[0]
        row = "SELECT 1 FROM extent WHERE ino=? AND segment=? AND gen=? AND map=? AND chunk IS ?"
        with suppress(VfsError), index.checking(writable=False) as transaction:
            return bool(list(transaction.query(row, (*key, new, chunk))))
        return False


class Stream:
    """Pieces of a file that follow each other, and the blobs they are cut into."""

    def __init__(self, cutter: Cutter, session: PackSession) -> None:
        self._cutter = cutter
        self._session = session
        self._pieces: list[tuple[PlannedRow, int]] = []
        self._blobs: list[tuple[int, int]] = []

    def feed(self, row: PlannedRow, index: int, data: Buffer) -> None:
        """One more piece: the bytes of an extent of a row."""
        self._pieces.append((row, index))
        for blob in self._cutter.feed(data):
            self._blobs.append((self._session.add(blob), len(blob)))

    def end(self) -> None:
        """What comes next does not follow: cut here, and tell the rows what their extents have become."""
        if not self._pieces:
            return
        for blob in self._cutter.finish():
            self._blobs.append((self._session.add(blob), len(blob)))
        lengths = [row.extents[index].length for row, index in self._pieces]
        for (row, index), ranges in zip(self._pieces, spread(lengths, self._blobs), strict=True):
            row.replaced[index] = ranges
        self._pieces, self._blobs = [], []


def _on_and_on() -> float:
    return 0.0


def _planned(key: RowKey, encoded: bytes, is_splinter: Callable[[BlobRange], bool]) -> PlannedRow:
    segment = ExtentMap.decode(encoded)
    row = PlannedRow(key[1:], key[0], encoded, [extent for _, extent in segment.placed()])
    row.chosen = frozenset(choose(row.extents, is_splinter))
    return row
