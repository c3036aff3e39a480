"""What fsck looks at in packs: the rows of blobs, blocks and packs against each other and against the files.

Memory: the tables of one pack at a time. Reads the tables of packs, not their blocks. Never repairs.
"""

from vfs.backing.packs import PackFile
from vfs.backing.places import (
    GOING,
    PACKS_FOLDER,
    THERE,
    BlobEntry,
    BlockEntry,
    PackRow,
    hash_prefix,
    is_pack_name,
    unsigned,
)
from vfs.checks.view import View
from vfs.errors import PackDamaged

PACK_HEADER_BYTES = 64
PACK_TRAILER_BYTES = 64

SELECT_BLOCKS = "SELECT id, pack, offset, stored, size, codec, checksum FROM block"
"""The columns of a `BlockEntry`, its checksum as SQLite has it."""

_NUMBERS = (("next_blob", "blob"), ("next_block", "block"), ("next_pack", "pack"))

_BLOCKS_THAT_ARE_MISSING = (
    "SELECT DISTINCT b.block FROM blob b LEFT JOIN block k ON k.id=b.block WHERE k.id IS NULL"
)
_BLOCKS_WITHOUT_PACK = (
    f"SELECT k.id FROM block k LEFT JOIN pack p ON p.id=k.pack WHERE p.state IS NOT {THERE}"
)


class PackChecks:
    """The checks of packed data."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._report = view.report
        self._rows = [
            PackRow(*row) for row in view.query("SELECT id, state, name, size FROM pack ORDER BY id")
        ]

    @property
    def in_place(self) -> list[PackRow]:
        """The packs that are said to be there."""
        return [row for row in self._rows if row.state == THERE and is_pack_name(row.name)]

    # --- rows against each other ----------------------------------------------------------------

    def rows(self) -> None:
        """Every row points at one that exists and lies within it; sums and numbers agree."""
        self._places()
        self._overlaps()
        for key, table in _NUMBERS:
            largest = self._view.one(f"SELECT max(id) FROM {table}")
            following = self._view.meta.get(key, 1)
            if following <= largest:
                self._report.add("sequence", f"{key} is {following}, but {table} {largest} exists")
        noted = self._view.meta.get("blob_bytes", 0)
        counted = self._view.one("SELECT sum(length) FROM blob")
        if noted != counted:
            self._report.add("totals", f"blob_bytes is noted as {noted}, counted as {counted}")
        for table in ("pack", "block", "blob"):
            self._report.counts[f"{table}s"] = self._view.one(f"SELECT count(*) FROM {table}")

    def _places(self) -> None:
        each, each_in_pack = self._view.each, self._view.each_in_pack
        each(
            "blob",
            "blob {0} lies in block {1}, which does not exist",
            "SELECT b.id, b.block FROM blob b LEFT JOIN block k ON k.id=b.block WHERE k.id IS NULL",
        )
        each_in_pack(
            "blob",
            "blob {0} lies at {1} to {2} of block {3}, which has {4} bytes",
            "SELECT b.id, b.offset, b.offset+b.length, b.block, k.size, k.pack FROM blob b"
            " JOIN block k ON k.id=b.block WHERE b.offset<0 OR b.length<=0 OR b.offset+b.length>k.size",
        )
        each(
            "block",
            "block {0} lies in pack {1}, which does not exist",
            "SELECT k.id, k.pack FROM block k LEFT JOIN pack p ON p.id=k.pack WHERE p.id IS NULL",
        )
        each(
            "block",
            "block {0} lies in pack {1}, which has state {2}",
            "SELECT k.id, k.pack, p.state FROM block k JOIN pack p ON p.id=k.pack WHERE p.state<>?",
            THERE,
        )
        each_in_pack(
            "block",
            "block {0} lies at {1} to {2} of pack {3}, which has {4} bytes",
            "SELECT k.id, k.offset, k.offset+k.stored, k.pack, p.size, k.pack FROM block k"
            " JOIN pack p ON p.id=k.pack"
            " WHERE p.state=? AND (k.offset<? OR k.stored<=0 OR k.size<=0 OR k.offset+k.stored>p.size-?)",
            THERE,
            PACK_HEADER_BYTES,
            PACK_TRAILER_BYTES,
        )
        each_in_pack(
            "pack",
            "pack {0} has state {1}, which does not exist",
            "SELECT id, state, id FROM pack WHERE state NOT BETWEEN 0 AND ?",
            GOING,
        )
        for row in self._rows:
            if not is_pack_name(row.name) and (row.name or row.state == THERE):
                self._report.add("pack", f"pack {row.id} has a name that no pack has: {row.name!r}")
        for unreadable in (_BLOCKS_THAT_ARE_MISSING, _BLOCKS_WITHOUT_PACK):
            self._view.damaged_blocks.update(block for (block,) in self._view.query(unreadable))

    def _overlaps(self) -> None:
        self._view.each_in_pack(
            "blob",
            "blob {0} begins at {1} of block {2}, the blob before it ends at {3}",
            "SELECT b.id, b.offset, b.block, b.last, k.pack FROM (SELECT id, offset, block,"
            " lag(offset+length) OVER (PARTITION BY block ORDER BY offset) AS last FROM blob) b"
            " LEFT JOIN block k ON k.id=b.block WHERE b.offset<b.last",
        )
        self._view.each_in_pack(
            "block",
            "block {0} begins at {1} of pack {2}, the block before it ends at {3}",
            "SELECT id, offset, pack, last, pack FROM (SELECT id, offset, pack,"
            " lag(offset+stored) OVER (PARTITION BY pack ORDER BY offset) AS last FROM block)"
            " WHERE offset<last",
        )

    # --- rows against files -----------------------------------------------------------------------

    def files(self) -> None:
        """Every row of a pack has its file, every file its row, and both say the same."""
        counts = dict(
            self._view.query(
                "SELECT k.pack, count(*) FROM blob b JOIN block k ON k.id=b.block GROUP BY k.pack"
            )
        )
        for row in self.in_place:
            try:
                self._file(row, counts.get(row.id, 0))
            except PackDamaged as error:
                self._tell("pack", row, f"pack {row.id}: {error.facts}")
                self._unverified(row)
        self._strangers()

    def _tell(self, kind: str, row: PackRow, message: str) -> None:
        self._report.add(kind, message)
        self._view.add_sick(row.id, message)

    def _unverified(self, row: PackRow) -> None:
        """What a pack says of itself is wrong: the index still finds its blocks, those that the file has."""
        try:
            size = PackFile.attach(self._view.storage, row.name, self._view.uuid).size
        except PackDamaged:
            size = 0
        lost = self._view.query("SELECT id FROM block WHERE pack=? AND offset+stored>?", (row.id, size))
        self._view.damaged_blocks.update(block for (block,) in lost)

    def _file(self, row: PackRow, blobs: int) -> None:
        pack = PackFile.open(self._view.storage, row.name, self._view.uuid)
        try:
            if pack.id != row.id:
                said = f"its file {row.name} says that it is pack {pack.id}"
                self._tell("pack", row, f"pack {row.id}: {said}")
                return
            if pack.size != row.size:
                self._tell("pack", row, f"pack {row.id} has {pack.size} bytes, the index says {row.size}")
            blocks = {block.id: block for block in pack.blocks()}
            for found in self._view.query(f"{SELECT_BLOCKS} WHERE pack=?", (row.id,)):
                self._block(row, BlockEntry(*(*found[:6], unsigned(found[6]))), blocks)
            self._blobs(row, pack, set(blocks), blobs)
        finally:
            pack.close()

    def _block(self, row: PackRow, block: BlockEntry, blocks: dict[int, BlockEntry]) -> None:
        known = blocks.get(block.id)
        if known is None:
            self._tell("block", row, f"block {block.id} is not in pack {row.id}, where the index has it")
        elif known != block:
            self._tell("block", row, f"block {block.id}: the index says {block}, pack {row.id} says {known}")
        else:
            return
        self._view.damaged_blocks.add(block.id)

    def _blobs(self, row: PackRow, pack: PackFile, blocks: set[int], expected: int) -> None:
        right = 0
        last = b""
        for entry in pack.blobs():
            if entry.hash < last:
                self._tell("pack", row, f"pack {row.id}: blob {entry.id} is out of order in its index")
            last = entry.hash
            right += self._blob(row, entry, blocks)
        if right < expected:
            self._lost_blobs(row, pack)

    def _blob(self, row: PackRow, entry: BlobEntry, blocks: set[int]) -> int:
        """1 when the index has the blob in this pack, 0 when it has it elsewhere or not at all."""
        found = self._view.query("SELECT prefix, block, offset, length FROM blob WHERE id=?", (entry.id,))
        place = next(found, None)
        if place is None or place[1] not in blocks:
            return 0
        known = (hash_prefix(entry.hash), entry.block, entry.offset, entry.length)
        if place != known:
            self._tell(
                "blob",
                row,
                f"blob {entry.id}: the index says {place} of its hash, block, offset and length,"
                f" pack {row.id} says {known}",
            )
            self._view.damaged_blocks.add(place[1])
        return 1

    def _lost_blobs(self, row: PackRow, pack: PackFile) -> None:
        there = {entry.id for entry in pack.blobs()}
        for blob, block in self._view.query(
            "SELECT b.id, b.block FROM blob b JOIN block k ON k.id=b.block WHERE k.pack=?", (row.id,)
        ):
            if blob not in there:
                self._tell("blob", row, f"blob {blob} is not in pack {row.id}, where the index has it")
                self._view.damaged_blocks.add(block)

    def _strangers(self) -> None:
        known = {row.name for row in self.in_place}
        unsettled = [row for row in self._rows if row.state != THERE]
        for row in unsettled:
            self._report.note(
                f"pack {row.id} is {'on its way out' if row.state == GOING else 'being written'}"
            )
        for name in self._view.pack_files:
            if name in known or not self._view.storage.exists(f"{PACKS_FOLDER}/{name}"):
                continue
            if unsettled:
                self._report.note(f"{PACKS_FOLDER}/{name} belongs to no pack that is in its place")
            else:
                self._report.add("pack", f"{PACKS_FOLDER}/{name} is not in the index")
                self._view.strangers.append(name)
