"""The rows of packed data that one transaction of the index writes: packs, blocks, blobs, and who names them.

Promises that the sums in `meta` (`blob_bytes`, `referenced_bytes`) follow the rows in the same transaction.
Never commits, and never opens a pack.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apsw

from vfs.backing.places import COMING, GOING, THERE, Numbers, SealedPack, hash_prefix, signed
from vfs.backing.schema import PACK_TABLES
from vfs.errors import IndexDamaged
from vfs.numbers import LOCAL_MASK


class PackedTransaction:
    """What every transaction can do, and the part of it that is about packs."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._run = connection.execute
        self._many = connection.executemany

    def query(self, sql: str, arguments: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Rows of any reading statement (fsck and accounting)."""
        return iter(self._run(sql, arguments))

    def execute(self, sql: str, arguments: tuple[Any, ...] = ()) -> int:
        """Run a writing statement (for modules beside this one); returns how many rows it changed."""
        self._run(sql, arguments)
        return self._connection.changes()

    def run_temporary(self, sql: str, rows: Iterable[Any] | None = None) -> None:
        """A statement about TEMP tables, which only this connection sees: once, or once for each row."""
        if rows is None:
            self._run(sql)
        else:
            self._many(sql, rows)

    # --- the store's own numbers --------------------------------------------------------------

    def put_meta(self, values: dict[str, int]) -> None:
        """Insert or replace the store's own numbers."""
        self._many("INSERT OR REPLACE INTO meta VALUES(?, ?)", values.items())

    def add_meta(self, changes: Mapping[str, int]) -> None:
        """Add to the store's own numbers; one that is missing counts as 0."""
        self._many(
            "INSERT INTO meta VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = value + excluded.value",
            ((key, change) for key, change in changes.items() if change),
        )

    def take_numbers(self, key: str, count: int, least: int = 1) -> int:
        """Reserve `count` numbers of the sequence `key` in `meta`; returns the first."""
        row = self._run("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        first = least if row is None else int(row[0])
        self.put_meta({key: first + count})
        return first

    # --- packs ----------------------------------------------------------------------------------

    def begin_pack(self, blobs: int, blocks: int) -> Numbers:
        """Note that a pack is being written, and reserve numbers for what it will hold."""
        pack = self.take_numbers("next_pack", 1)
        blob = self.take_numbers("next_blob", blobs)
        block = self.take_numbers("next_block", blocks)
        self._run("INSERT INTO pack VALUES(?, ?, '', 0)", (pack, COMING))
        return Numbers(pack, blob, blob + blobs, block, block + blocks)

    def put_pack(self, sealed: SealedPack) -> None:
        """A pack is in its place: its row, its blocks, and its blobs, new ones without references."""
        self._run(
            "INSERT OR REPLACE INTO pack VALUES(?, ?, ?, ?)", (sealed.id, THERE, sealed.name, sealed.size)
        )
        self._many(
            "INSERT INTO block VALUES(?, ?, ?, ?, ?, ?, ?)",
            ((*block[:6], signed(block.checksum)) for block in sealed.blocks),
        )
        if sealed.moved:
            self._many(
                "INSERT INTO blob VALUES(?, ?, ?, ?, ?, 0) ON CONFLICT(id) DO UPDATE SET"
                " prefix=excluded.prefix, block=excluded.block,"
                " offset=excluded.offset, length=excluded.length",
                ((b.id, hash_prefix(b.hash), b.block, b.offset, b.length) for b in sealed.blobs),
            )
        else:
            self._many(
                "INSERT INTO blob VALUES(?, ?, ?, ?, ?, 0)",
                ((b.id, hash_prefix(b.hash), b.block, b.offset, b.length) for b in sealed.blobs),
            )
            self.add_meta({"blob_bytes": sum(blob.length for blob in sealed.blobs)})

    def set_going(self, packs: Iterable[int]) -> None:
        """These packs will be unlinked; nothing may name their blocks any more, whose rows go."""
        for pack in packs:
            self._run("UPDATE pack SET state=? WHERE id=?", (GOING, pack))
            self._run("DELETE FROM block WHERE pack=?", (pack,))

    def drop_packs(self, packs: Iterable[int]) -> None:
        """Forget packs whose files are gone, or never came."""
        self._many("DELETE FROM pack WHERE id=?", ((pack,) for pack in packs))

    # --- blobs ----------------------------------------------------------------------------------

    def add_blob_references(self, changes: Mapping[int, int], changed_bytes: int) -> None:
        """Add to the number of extents that name each blob, and to the bytes that all of them cover."""
        self._many(
            "UPDATE blob SET refs = refs + ? WHERE id=?",
            ((change, blob) for blob, change in changes.items() if change),
        )
        self.add_meta({"referenced_bytes": changed_bytes})

    def drop_blobs(self, blobs: list[tuple[int, int]]) -> None:
        """Forget blobs (number, length) that nothing references; IndexDamaged when something does."""
        before = self._connection.total_changes()
        self._many("DELETE FROM blob WHERE id=? AND refs=0", ((blob,) for blob, _ in blobs))
        if self._connection.total_changes() - before != len(blobs):
            raise IndexDamaged("a blob came to be referenced again while it was collected")
        self.add_meta({"blob_bytes": -sum(length for _, length in blobs)})

    def drop_blocks(self, blocks: Iterable[int]) -> None:
        """Forget blocks that hold no blob any more."""
        self._many("DELETE FROM block WHERE id=?", ((block,) for block in blocks))

    def add_references(self, changes: dict[int, int]) -> None:
        """Add to the referenced bytes of chunks; a chunk that falls to nothing loses its row."""
        self._many(
            "INSERT INTO chunk VALUES(?, ?)"
            " ON CONFLICT(number) DO UPDATE SET referenced = referenced + excluded.referenced",
            changes.items(),
        )
        self._run("DELETE FROM chunk WHERE referenced=0")

    # --- counting anew --------------------------------------------------------------------------

    def drop_unplaced(self) -> None:
        """Forget blocks in packs that are not in their place, blobs in no block, and segments of no file of
        the main tree, which is flat."""
        self._run(f"DELETE FROM block WHERE pack NOT IN (SELECT id FROM pack WHERE state={THERE})")
        self._run("DELETE FROM blob WHERE block NOT IN (SELECT id FROM block)")
        self._run(
            f"DELETE FROM extent WHERE ino<={LOCAL_MASK}"
            " AND ino NOT IN (SELECT ino FROM inode WHERE mode>>12=8)"
        )

    def set_blob_references(self, counts: Iterable[tuple[int, int]]) -> None:
        """Make the number of extents that name a blob what is counted: (count, blob)."""
        self._many("UPDATE blob SET refs=? WHERE id=?", counts)

    def set_references(self, counts: Mapping[int, int]) -> None:
        """Make the referenced bytes of chunks what is counted, those of all others nothing."""
        self._run("DELETE FROM chunk")
        self._many("INSERT INTO chunk VALUES(?, ?)", counts.items())

    def recount_allocated(self) -> None:
        """Make the allocated bytes of files of the main tree, which is flat, the sum over their segments."""
        total = "(SELECT coalesce(sum(x.allocated), 0) FROM extent x WHERE x.ino=inode.ino)"
        self._run(f"UPDATE inode SET allocated={total} WHERE ino<={LOCAL_MASK} AND allocated<>{total}")

    def raise_numbers(self, *, highest_blob: int = 0) -> None:
        """Make sure that no number of a blob, block or pack that exists is handed out again, nor any
        of a blob up to `highest_blob`; and correct `blob_bytes`."""
        values: dict[str, int] = dict(self._run("SELECT key, value FROM meta"))
        for key, table in (("next_blob", "blob"), ("next_block", "block"), ("next_pack", "pack")):
            (largest,) = next(self.query(f"SELECT ifnull(max(id), 0) FROM {table}"))
            if key == "next_blob":
                largest = max(largest, highest_blob)
            self.put_meta({key: max(values.get(key, 1), largest + 1)})
        (total,) = next(self.query("SELECT ifnull(sum(length), 0) FROM blob"))
        self.put_meta({"blob_bytes": total})

    # --- extents --------------------------------------------------------------------------------

    def swap_segment(self, key: tuple[int, int, int], old: bytes, new: bytes, chunk: int | None) -> bool:
        """Replace the map of (ino, segment, gen), if it is still `old`, by one that says the same."""
        self._run(
            "UPDATE extent SET map=?, chunk=? WHERE ino=? AND segment=? AND gen=? AND map=?",
            (new, chunk, *key, old),
        )
        return self._connection.changes() == 1

    def segment_map(self, key: tuple[int, int, int]) -> bytes:
        """The map of the row of (ino, segment, gen), which exists."""
        sql = "SELECT map FROM extent WHERE ino=? AND segment=? AND gen=?"
        return bytes(next(self.query(sql, key))[0])

    def set_segment(
        self, key: tuple[int, int, int], encoded: bytes, allocated: int, chunk: int | None
    ) -> None:
        """Make the row of (ino, segment, gen) have that map."""
        self._run(
            "UPDATE extent SET allocated=?, map=?, chunk=? WHERE ino=? AND segment=? AND gen=?",
            (allocated, encoded, chunk, *key),
        )

    def drop_segment_row(self, key: tuple[int, int, int]) -> None:
        """Remove the row of (ino, segment, gen)."""
        self._run("DELETE FROM extent WHERE ino=? AND segment=? AND gen=?", key)

    # --- making the rows anew -------------------------------------------------------------------

    def packed_tables_missing(self) -> list[str]:
        """The tables of packed data that are not there."""
        there = {name for (name,) in self._run("SELECT name FROM sqlite_schema WHERE type='table'")}
        there.update(name for (name,) in self._run("SELECT name FROM temp.sqlite_schema WHERE type='table'"))
        return sorted({"blob", "block", "pack"} - there)

    def reset_packed_tables(self) -> None:
        """Make the tables of packed data anew, all empty."""
        for table in ("blob", "block", "pack"):
            self._run(f"DROP TABLE IF EXISTS {table}")
        self._run(PACK_TABLES)

    def put_found_pack(self, sealed: SealedPack) -> None:
        """A pack was found: its row, its blocks, and its blobs without references, but those that a newer
        block holds as well."""
        self._run("INSERT INTO pack VALUES(?, ?, ?, ?)", (sealed.id, THERE, sealed.name, sealed.size))
        self._many(
            "INSERT INTO block VALUES(?, ?, ?, ?, ?, ?, ?)",
            ((*block[:6], signed(block.checksum)) for block in sealed.blocks),
        )
        self._many(
            "INSERT INTO blob VALUES(?, ?, ?, ?, ?, 0) ON CONFLICT(id) DO UPDATE"
            " SET block=excluded.block, offset=excluded.offset WHERE excluded.block > block",
            ((b.id, hash_prefix(b.hash), b.block, b.offset, b.length) for b in sealed.blobs),
        )

    def drop_emptied_blocks(self) -> None:
        """Forget blocks of which some blobs lie elsewhere and nothing refers to the others: of packs that
        were on their way out."""
        self._run(
            "DELETE FROM block WHERE id IN (SELECT k.id FROM block k LEFT JOIN blob b ON b.block=k.id"
            " GROUP BY k.id HAVING ifnull(sum(b.length), 0) < k.size AND ifnull(max(b.refs), 0) = 0)"
        )
        self._run("DELETE FROM blob WHERE block NOT IN (SELECT id FROM block)")
