"""Writing a pack: a file under a temporary name, which gets its own when all of it is durable.

Order of writes, and why: header and blocks as they come, tables and trailer, the file's sync, the rename, the
folder's sync. Only then may anything name the pack: what is cut before the rename leaves a file that is no
pack, what is cut after it a whole one.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from xxhash import xxh3_64_intdigest

from vfs.backing.codecs import Codec, decompress
from vfs.backing.frames import piece_sums, sums_bytes
from vfs.backing.pack_format import (
    BLOB,
    BLOCK,
    HEADER,
    MAGIC,
    TRAILER,
    TRAILER_MAGIC,
    VERSION,
    pack_name,
    seal,
    tables_digest,
)
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry
from vfs.backing.storage import Buffer, Storage


def new_name(pack_id: int) -> str:
    """What a pack is called while it is being written, relative to the store."""
    return f"{PACKS_FOLDER}/new-{pack_id}"


class PackWriter:
    """One pack in the making. Errors are OSError; after one only `abandon` makes sense."""

    def __init__(self, storage: Storage, uuid: bytes, pack_id: int) -> None:
        self.id = pack_id
        self.blocks: list[BlockEntry] = []
        self._storage = storage
        self._name = ""
        self._file = storage.create(new_name(pack_id))
        self._header = seal(HEADER.pack(MAGIC, VERSION, 0, uuid, pack_id))
        self.size_bytes = 0
        self._append((self._header,))

    def _append(self, pieces: Sequence[Buffer]) -> None:
        self._file.append(pieces)
        self.size_bytes += sum(map(len, pieces))

    def add_block(self, number: int, data: Buffer, stored: bytes | None) -> BlockEntry:
        """Append a block: its data, and the zstd frame of it unless it is stored as it is."""
        offset = self.size_bytes
        if stored is None:
            sums = piece_sums(memoryview(data), number)
            self._append((sums, data))
            codec, checked = Codec.NONE, sums
        else:
            self._append((stored,))
            codec, checked = Codec.ZSTD, stored
        entry = BlockEntry(
            number,
            self.id,
            offset,
            self.size_bytes - offset,
            len(data),
            codec,
            xxh3_64_intdigest(checked, number),
        )
        self.blocks.append(entry)
        return entry

    def read_block(self, block: BlockEntry) -> bytes:
        """A block that was added, decoded again."""
        stored = self._file.pread(block.stored, block.offset)
        if block.codec == Codec.NONE:
            return stored[sums_bytes(block.size) :]
        return decompress(stored, block.size)

    def finish(self, blobs: Iterable[BlobEntry]) -> str:
        """Append tables and trailer, and make all of it durable; returns the pack's name."""
        position = {block.id: number for number, block in enumerate(self.blocks)}
        table = b"".join(
            BLOCK.pack(block.id, block.offset, block.stored, block.size, block.codec, 0, block.checksum)
            for block in self.blocks
        )
        index = b"".join(
            BLOB.pack(blob.hash, blob.id, position[blob.block], blob.offset, blob.length, 0)
            for blob in sorted(blobs)
        )
        table_at = self.size_bytes
        trailer = seal(
            TRAILER.pack(
                TRAILER_MAGIC,
                len(self.blocks),
                len(index) // BLOB.size,
                table_at,
                table_at + len(table),
                tables_digest(self._header, table, index),
            )
        )
        self._append((table, index, trailer))
        self._file.sync()
        self._file.drop_cache(0)  # its data is in the cache of whoever wrote it
        self._name = pack_name(self._header, table, index, trailer)
        return self._name

    def publish(self) -> None:
        """Give the finished pack its name, durably."""
        self._file.close()
        self._storage.rename(new_name(self.id), f"{PACKS_FOLDER}/{self._name}")
        self._storage.sync_folder(PACKS_FOLDER)

    def abandon(self) -> None:
        """Remove what was written, whatever name it has. The folder is not synced: what comes back is removed
        when the store is opened the next time, as long as the index has the row of a pack that is coming."""
        self._file.close()
        names = [new_name(self.id)]
        if self._name:
            names.append(f"{PACKS_FOLDER}/{self._name}")
        for name in names:
            with suppress(FileNotFoundError):
                self._storage.unlink(name)
