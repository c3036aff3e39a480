"""Reading from a pack (vfs/backing/pack_format.py).

Promises that nothing of a pack is handed out that did not match its checksum: header and tables before they
are first used, blocks as vfs/backing/pack_blocks.py says. Anything else is `PackDamaged`. Damage in the
tables touches no block: who knows from the index where one lies reads it without them. Never writes, never
asks the index. Threads: any may read.
"""

from collections.abc import Iterator

from vfs.backing.frames import BadBytes
from vfs.backing.pack_blocks import PackBlocks
from vfs.backing.pack_format import (
    BLOB,
    BLOCK,
    HASH_BYTES,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    TRAILER,
    TRAILER_BYTES,
    TRAILER_MAGIC,
    VERSION,
    pack_name,
    tables_digest,
    unseal,
)
from vfs.backing.pack_tables import Tables, block_entry
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry, is_pack_name
from vfs.backing.storage import Storage, StorageFile
from vfs.errors import PackDamaged
from vfs.limits import PACK_TABLE_BYTES


class PackFile(PackBlocks):
    """One pack, open for reading."""

    def __init__(self, file: StorageFile, name: str, uuid: bytes) -> None:
        super().__init__(file, name)
        self._uuid = uuid
        self._tables: Tables | None = None  # INVARIANT: verified

    @classmethod
    def open(cls, storage: Storage, name: str, uuid: bytes) -> "PackFile":
        """Open a pack and verify all of it but its blocks; PackDamaged when it is not there or not right."""
        pack = cls.attach(storage, name, uuid)
        try:
            pack.tables()
        except PackDamaged:
            pack.close()
            raise
        return pack

    @classmethod
    def attach(cls, storage: Storage, name: str, uuid: bytes) -> "PackFile":
        """Open a pack of which the index knows the blocks; its tables are verified before they are used."""
        try:
            if not is_pack_name(name):
                raise ValueError("no pack has that name")
            file = storage.open(f"{PACKS_FOLDER}/{name}")
        except FileNotFoundError:
            raise PackDamaged(name, 0, "the pack is missing") from None
        except (OSError, ValueError) as error:
            raise PackDamaged(name, 0, f"cannot be opened: {error}") from error
        try:
            return cls(file, name, uuid)
        except OSError as error:
            file.close()
            raise PackDamaged(name, 0, f"cannot be read: {error.strerror or error}") from error

    # --- tables -----------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """Its number, as its header says."""
        return self.tables().id

    def tables(self, *, any_name: bool = False) -> Tables:
        """Number, blocks and blob index; PackDamaged unless header, tables, trailer and name are right.

        Its name does not matter with `any_name`, nor from then on.
        """
        if self._tables is None:
            try:
                self._tables = self._load(any_name=any_name)
            except BadBytes as error:
                raise PackDamaged(self.name, 0, str(error)) from None
            except OSError as error:
                raise PackDamaged(self.name, 0, f"cannot be read: {error.strerror or error}") from error
        return self._tables

    def _load(self, *, any_name: bool) -> Tables:
        if self.size < HEADER_BYTES + TRAILER_BYTES:
            raise BadBytes("it is too short for a pack")
        header = self._fetch(0, HEADER_BYTES)
        magic, version, zero, owner, number = HEADER.unpack(unseal(header, "header"))
        if (magic, version, zero) != (MAGIC, VERSION, 0):
            raise BadBytes("it is no pack of this version")
        if owner != self._uuid:
            raise BadBytes("it belongs to another store")
        end = self.size - TRAILER_BYTES
        trailer = self._fetch(end, TRAILER_BYTES)
        magic, blocks, blobs, table_at, index_at, digest = TRAILER.unpack(unseal(trailer, "trailer"))
        if (
            magic != TRAILER_MAGIC
            or table_at < HEADER_BYTES
            or index_at != table_at + blocks * BLOCK.size
            or end != index_at + blobs * BLOB.size
        ):
            raise BadBytes("its trailer does not fit its size")
        if end - table_at > PACK_TABLE_BYTES:
            raise BadBytes(f"its tables would have {end - table_at} bytes")
        table = self._fetch(table_at, index_at - table_at)
        index = self._fetch(index_at, end - index_at)
        if tables_digest(header, table, index) != digest:
            raise BadBytes("its tables are wrong")
        if not any_name and pack_name(header, table, index, trailer) != self.name:
            raise BadBytes("its name belongs to another pack")
        for fields in BLOCK.iter_unpack(table):
            block_entry(number, fields, table_at)
        return Tables(number, bytes(table), table_at, index_at, self._view()[index_at:end])

    def blocks(self) -> list[BlockEntry]:
        """All blocks, in the order in which they lie."""
        return self.tables().blocks

    def blobs(self) -> Iterator[BlobEntry]:
        """All blobs, sorted by hash."""
        tables = self._index_at_hand()
        for position in range(len(tables.blob_index) // BLOB.size):
            yield self._blob(tables, position)

    def find(self, digest: bytes) -> BlobEntry | None:
        """The blob with that hash, by bisection; None when it is not here."""
        tables = self._index_at_hand()
        index = tables.blob_index
        low, high = 0, len(index) // BLOB.size
        while low < high:
            middle = (low + high) // 2
            start = middle * BLOB.size
            if index[start : start + HASH_BYTES].tobytes() < digest:
                low = middle + 1
            else:
                high = middle
        if low * BLOB.size < len(index):
            found = self._blob(tables, low)
            if found.hash == digest:
                return found
        return None

    def _index_at_hand(self) -> Tables:
        """The tables, with the pages of the blob index in memory: a bad sector must not become a SIGBUS."""
        tables = self.tables()
        try:
            self._file.fault_in(len(tables.blob_index), tables.index_at)
        except OSError as error:
            reason = f"its tables cannot be read: {error.strerror or error}"
            raise PackDamaged(self.name, tables.index_at, reason) from error
        return tables

    def _blob(self, tables: Tables, position: int) -> BlobEntry:
        digest, number, block, offset, length, _ = BLOB.unpack_from(tables.blob_index, position * BLOB.size)
        if (block + 1) * BLOCK.size <= len(tables.table):
            fields = BLOCK.unpack_from(tables.table, block * BLOCK.size)
            entry = block_entry(tables.id, fields, tables.table_at)
            if offset + length <= entry.size:
                return BlobEntry(digest, number, entry.id, offset, length)
        raise PackDamaged(self.name, tables.index_at, f"its blob {number} is in no block of it")
