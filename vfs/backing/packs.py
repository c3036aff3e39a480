"""Reading from a pack (vfs/backing/pack_format.py).

Promises that nothing of a pack is handed out that did not match its checksum: header and tables before they
are first used, a compressed block whole, a block stored as it is piece by piece, once in this life of the
mapping. Anything else is `PackDamaged`. Damage in one block, or in the tables, touches no other block: who
knows from the index where a block lies reads it without the tables. Never writes, never asks the index.

Threads: any may read. `_pieces` needs no lock: two threads that verify the same piece store the same answer.
"""

from collections.abc import Iterator, Sequence

from xxhash import xxh3_64_intdigest

from vfs.backing.codecs import Codec, decompress
from vfs.backing.frames import PIECE_BYTES, BadBytes, sums_bytes, verify_piece
from vfs.backing.pack_format import (
    BLOB,
    BLOCK,
    CHECKSUM,
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
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry, Piece, is_pack_name
from vfs.backing.storage import Buffer, Storage, StorageFile
from vfs.errors import PackDamaged
from vfs.limits import KIB, MIB, PACK_TABLE_BYTES

READ_AHEAD_BYTES = 2 * MIB
"""What a sequential reader's next reads will want; else each small block would wait for the disk."""

SMALL_BYTES = 64 * KIB
"""Up to here pread is cheaper for data that is not in memory than faulting mapped pages in."""

KNOWN_BLOCKS = 1024
"""Blocks of one pack whose sums are kept at hand: some 300 bytes each, and as many packs as stay open."""

NEAR_BYTES = 64 * KIB
"""A read that begins so near to the end of the last one goes on with it."""


def follows(piece: Piece, before: Piece) -> bool:
    """Whether both are stored as they are, and nothing but sums lies between them on the disk."""
    block, other = piece.block, before.block
    return (
        block.codec == other.codec == Codec.NONE
        and (block.pack, block.offset) == (other.pack, other.offset + other.stored)
        and before.offset + before.length == other.size == other.stored - sums_bytes(other.size)
        and piece.offset == 0
    )


class PackFile:
    """One pack, open for reading."""

    def __init__(self, file: StorageFile, name: str, uuid: bytes) -> None:
        self.name = name
        self._uuid = uuid
        self._file = file
        self._mapped: memoryview | None = None
        self.size = file.size()
        self._tables: Tables | None = None  # INVARIANT: verified
        self._following = 0
        """Where a reader that goes on from the last block would read next."""
        self._ahead = 0
        """How far read-ahead has asked."""
        self._pieces: dict[int, tuple[bytes, bytearray]] = {}
        """By number of a block stored as it is: the sums of its pieces, and which of those are verified.

        INVARIANT: at most KNOWN_BLOCKS."""

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

    def close(self) -> None:
        """Give the descriptor back; what was handed out stays valid."""
        self._file.close()

    def _view(self) -> memoryview:
        """The mapping, made when it is first needed: a pack of compressed blocks is read without one."""
        if self._mapped is None:
            self._mapped = self._file.map()
        return self._mapped

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

    # --- data -------------------------------------------------------------------------------

    def read_block(self, block: BlockEntry) -> bytes | memoryview:
        """The whole block, decoded and verified."""
        if block.codec == Codec.NONE:
            return self.read_piece(block, 0, block.size)
        try:
            self._read_ahead(block.offset, block.stored)
            stored = self._fetch(block.offset, block.stored)
            if xxh3_64_intdigest(stored, block.id) != block.checksum:
                raise BadBytes("its checksum is wrong")
            return decompress(stored, block.size)
        except BadBytes as error:
            raise PackDamaged(self.name, block.offset, f"block {block.id}: {error}") from None
        except OSError as error:
            reason = f"block {block.id} cannot be read: {error.strerror or error}"
            raise PackDamaged(self.name, block.offset, reason) from error

    def read_piece(self, block: BlockEntry, offset: int, length: int) -> bytes | memoryview:
        """Bytes [offset, offset+length) of a block that is stored as it is, without a copy where it is large.

        Only the pieces of 32 KiB that the range touches are verified.
        """
        try:
            if offset < 0 or length < 0 or offset + length > block.size:
                raise BadBytes(f"it has {block.size} bytes, asked was for {length} at {offset}")
            first, stop = offset // PIECE_BYTES, (offset + length + PIECE_BYTES - 1) // PIECE_BYTES
            known = self._pieces.get(block.id)
            if known is None:  # both are on their way then
                begin = block.offset + sums_bytes(block.size) + first * PIECE_BYTES
                self._file.prefetch(min((stop - first) * PIECE_BYTES, block.size), begin)
                known = self._know(block)
            sums, verified = known
            data_at = block.offset + len(sums)
            if verified.find(0, first, stop) < 0:
                return self._fetch(data_at + offset, length, mapped=True)
            self._read_ahead(data_at + offset, length)
            begin = first * PIECE_BYTES
            size = min(stop * PIECE_BYTES, block.size) - begin
            whole = memoryview(self._fetch(data_at + begin, size, mapped=size > SMALL_BYTES))
            for number in range(first, stop):
                if not verified[number]:
                    at = number * PIECE_BYTES - begin
                    verify_piece(whole[at : at + PIECE_BYTES], sums, number, block.id)
                    verified[number] = 1
            return whole[offset - begin : offset - begin + length]
        except BadBytes as error:
            raise PackDamaged(self.name, block.offset, f"block {block.id}: {error}") from None
        except OSError as error:
            reason = f"block {block.id} cannot be read: {error.strerror or error}"
            raise PackDamaged(self.name, block.offset, reason) from error

    def read_run(self, run: Sequence[Piece], *, wait: bool = True) -> list[memoryview] | None:
        """What `read_piece` gives for each of these, which lie back to back (see `follows`), in one request.

        None when that would wait for the disk, and it must not.
        """
        first, last = run[0], run[-1]
        begin, stop = first.block.offset, last.offset + last.length
        if first.block.id in self._pieces:
            begin += sums_bytes(first.block.size) + first.offset // PIECE_BYTES * PIECE_BYTES
        end = last.block.offset + sums_bytes(last.block.size)
        end += min(last.block.size, -(-stop // PIECE_BYTES) * PIECE_BYTES)
        try:
            if end > self.size:  # before memory is taken for it
                raise BadBytes("the pack ends too early")
            if wait:
                self._read_ahead(begin, end - begin)
            elif not self._file.resident(end - begin, begin):
                return None
            view = memoryview(self._file.pread(end - begin, begin))
            if len(view) != end - begin:
                raise BadBytes("the pack ends too early")
            return [self._verified(piece, view, piece.block.offset - begin) for piece in run]
        except BadBytes as error:
            raise PackDamaged(self.name, begin, str(error)) from None
        except OSError as error:
            raise PackDamaged(self.name, begin, f"cannot be read: {error.strerror or error}") from error

    def _verified(self, piece: Piece, view: memoryview, block_at: int) -> memoryview:
        """A piece out of stored bytes in which its block begins at `block_at`, or would."""
        block, offset, length = piece
        known = self._pieces.get(block.id)
        if known is None:
            known = self._know(block, view[block_at : block_at + sums_bytes(block.size)])
        sums, verified = known
        data_at = block_at + len(sums)
        for number in range(offset // PIECE_BYTES, (offset + length + PIECE_BYTES - 1) // PIECE_BYTES):
            if not verified[number]:
                at = data_at + number * PIECE_BYTES
                stop = data_at + min((number + 1) * PIECE_BYTES, block.size)
                verify_piece(view[at:stop], sums, number, block.id)
                verified[number] = 1
        return view[data_at + offset : data_at + offset + length]

    def _know(self, block: BlockEntry, fetched: Buffer | None = None) -> tuple[bytes, bytearray]:
        if block.stored != sums_bytes(block.size) + block.size:
            raise BadBytes(f"{block.stored} stored bytes cannot be {block.size} bytes and their sums")
        sums = bytes(self._fetch(block.offset, sums_bytes(block.size)) if fetched is None else fetched)
        if xxh3_64_intdigest(sums, block.id) != block.checksum:
            raise BadBytes("the checksum of its sums is wrong")
        if len(self._pieces) >= KNOWN_BLOCKS:
            self._pieces.clear()
        known = self._pieces[block.id] = (sums, bytearray(len(sums) // CHECKSUM.size))
        return known

    def resident(self, block: BlockEntry, offset: int, length: int) -> bool:
        """Whether `read_piece` of a block that is stored as it is would very likely not wait for the disk."""
        known = self._pieces.get(block.id)
        if known is None:
            return False
        first, stop = offset // PIECE_BYTES, (offset + length + PIECE_BYTES - 1) // PIECE_BYTES
        if known[1].find(0, first, stop) >= 0:
            offset, length = first * PIECE_BYTES, (stop - first) * PIECE_BYTES
            length = min(length, block.size - offset)
        return self._file.resident(length, block.offset + len(known[0]) + offset)

    def stored_resident(self, block: BlockEntry) -> bool:
        """Whether `read_block` would very likely not wait for the disk."""
        return self._file.resident(block.stored, block.offset)

    def _read_ahead(self, start: int, length: int) -> None:
        """Ask the disk for what a sequential reader will want next, while this block is decoded.

        The fields are hints: threads that mix them up ask for too much or too little.
        """
        end = start + length
        if abs(start - self._following) > NEAR_BYTES:
            self._ahead = end
            if length > NEAR_BYTES:
                self._file.prefetch(length, start)
        elif end + READ_AHEAD_BYTES // 2 > self._ahead:
            begin = max(end, self._ahead)
            self._ahead = begin + READ_AHEAD_BYTES
            self._file.prefetch(READ_AHEAD_BYTES, begin)
        self._following = end

    def prefetch(self, first: BlockEntry, last: BlockEntry | None = None) -> None:
        """Ask the disk for a block, and all up to the last one, without waiting for it."""
        end = first.offset + first.stored if last is None else last.offset + last.stored
        self._file.prefetch(end - first.offset, first.offset)
        if first.offset <= self._ahead < end:
            self._ahead = end

    def _fetch(self, offset: int, length: int, *, mapped: bool = False) -> bytes | memoryview:
        """Exactly these bytes, unverified: a copy, unless they should be `mapped`.

        What is read once, to be decoded, is copied: mapped pages would count as the process's memory, all
        that were ever read.
        """
        if offset < 0 or length < 0 or offset + length > self.size:  # before memory is taken for it
            raise BadBytes("the pack ends too early")
        if mapped:
            piece: bytes | memoryview = self._view()[offset : offset + length]
            # Before anyone touches the mapped pages: a sector that cannot be read must not become a SIGBUS.
            if len(piece) == length:
                self._file.fault_in(length, offset)
        else:
            piece = self._file.pread(length, offset)
        if len(piece) != length:
            raise BadBytes("the pack ends too early")
        return piece
