"""What the index knows of packed data, for whoever packs and reads, in any thread.

Reads on a connection of its own, so that neither the owner of the store nor a commit stands in the way. Never
writes but through a short transaction of the index.
"""

import threading
from collections.abc import Iterable
from typing import Any

import apsw

from vfs.backing.index import DAMAGE, Index
from vfs.backing.places import THERE, BlobPlace, BlockEntry, Numbers, PackRow, is_pack_name, unsigned
from vfs.backing.shapes import check_rows, sound_rows
from vfs.errors import IndexDamaged

_PLACES = (
    "SELECT b.id, b.offset, b.length, k.id, k.pack, k.offset, k.stored, k.size, k.codec, k.checksum, p.name"
    " FROM blob b JOIN block k ON k.id=b.block JOIN pack p ON p.id=k.pack"
)
_TO_PACK = (
    "SELECT ino, segment, gen, map, chunk FROM extent"
    " WHERE chunk IS NOT NULL AND (chunk, ino, segment, gen) > (?, ?, ?, ?)"
    " ORDER BY chunk, ino, segment, gen LIMIT ?"
)

RowKey = tuple[int, int, int, int]
"""chunk, ino, segment, gen: the order in which rows are packed."""

FIRST_KEY: RowKey = (-1, -1, -1, -1)
"""Before every row."""


class PackRows:
    """Rows of blobs, blocks and packs, and of the extents that still lie in the log."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None and self._index.shared:
                self._connection.close()
            self._connection = None

    def _all(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._index.reading_connection()
                return self._connection.execute(sql, arguments).fetchall()
        except DAMAGE as error:
            raise IndexDamaged(str(error)) from error

    # --- looking up -------------------------------------------------------------------------

    def find(self, prefix: int) -> list[BlobPlace]:
        """The blobs whose hash begins like that (see `hash_prefix`), in packs that are in their place."""
        return self._places(f"{_PLACES} WHERE b.prefix=? AND p.state={THERE}", (prefix,))

    def places(self, first_blob: int, limit: int) -> list[BlobPlace]:
        """At most `limit` blobs with numbers from `first_blob` on, in order; some numbers may be missing, and
        those are whose rows cannot be of a blob: they cost their own files and no others."""
        return self._places(f"{_PLACES} WHERE b.id>=? ORDER BY b.id LIMIT ?", (first_blob, limit))

    def dead_places(self, blocks: Iterable[int]) -> list[BlobPlace]:
        """Where the blobs lie that nothing references in these blocks."""
        sql = f"{_PLACES} WHERE b.block=? AND b.refs=0"
        return [place for block in blocks for place in self._places(sql, (block,))]

    def _places(self, sql: str, arguments: tuple[Any, ...]) -> list[BlobPlace]:
        blocks: dict[int, BlockEntry] = {}  # those of many blobs once: a list may be long
        places = []
        rows = sound_rows("a blob", self._all(sql, arguments))
        names: dict[int, str] = {}  # the same
        make = tuple.__new__  # the class takes a step in Python each, and a read asks for many
        for blob, start, length, number, pack, offset, stored, size, codec, sum_, name in rows:
            block = blocks.get(number)
            if block is None:
                block = blocks[number] = BlockEntry(number, pack, offset, stored, size, codec, unsigned(sum_))
            places.append(make(BlobPlace, (blob, start, length, block, names.setdefault(pack, name))))
        return places

    def packs(self) -> list[PackRow]:
        """All packs, by number."""
        rows = check_rows("a pack", self._all("SELECT id, state, name, size FROM pack ORDER BY id"))
        packs = [PackRow(*row) for row in rows]
        for row in packs:
            # Else a name could lead out of the folder, to a file that would be removed as a dead pack.
            if not is_pack_name(row.name) and (row.name or row.state == THERE):
                raise IndexDamaged(f"pack {row.id} has a name that no pack has: {row.name!r}")
        return packs

    def unsettled_packs(self) -> list[PackRow]:
        """Packs that are not in their place for good: being written, or on their way out."""
        return [row for row in self.packs() if row.state != THERE]

    def rows_to_pack(self, after: RowKey, limit: int) -> list[tuple[RowKey, bytes]]:
        """Segments whose data lies in the log, the oldest data first, from behind `after` on: key and map."""
        rows = check_rows("a segment to be packed", self._all(_TO_PACK, (*after, limit)))
        return [((chunk, ino, segment, gen), encoded) for ino, segment, gen, encoded, chunk in rows]

    def meta(self) -> dict[str, int]:
        """The store's own numbers as of the last commit."""
        return dict(check_rows("the store's numbers", self._all("SELECT key, value FROM meta")))

    # --- short transactions -------------------------------------------------------------------

    def begin_pack(self, blobs: int, blocks: int) -> Numbers:
        """Note durably that a pack is being written, with numbers that nobody else will use."""
        with self._index.transaction() as transaction:
            return transaction.begin_pack(blobs, blocks)

    def more_numbers(self, blobs: int, blocks: int) -> tuple[int, int]:
        """Reserve further numbers: the first blob's and the first block's."""
        with self._index.transaction() as transaction:
            blob = transaction.take_numbers("next_blob", blobs)
            return blob, transaction.take_numbers("next_block", blocks)

    def set_going(self, packs: list[int]) -> None:
        """Say durably that these packs are on their way out."""
        with self._index.transaction() as transaction:
            transaction.set_going(packs)

    def drop_packs(self, packs: list[int]) -> None:
        """Forget packs whose files are gone, or never came."""
        with self._index.transaction() as transaction:
            transaction.drop_packs(packs)
