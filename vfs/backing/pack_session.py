"""One new pack in the making: blobs come in, known ones are found, new ones are put into its blocks.

Promises that equal blobs get one number, in the store and within the session, that a blob is never said to
be known where its bytes are known to be damaged, and that after `seal` the pack is durable and in its place.
Never makes the pack known to the index, but for the row that says it is coming.

Threads: one at a time calls everything; workers of its own only compress.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from blake3 import blake3

from vfs.backing.allocator import Address, BlockAllocator
from vfs.backing.blobs import Blobs
from vfs.backing.codecs import Compression
from vfs.backing.pack_rows import PackRows
from vfs.backing.pack_writer import PackWriter, new_name
from vfs.backing.places import PACKS_FOLDER, BlobEntry, Numbers, SealedPack, hash_prefix
from vfs.backing.storage import Buffer, Storage
from vfs.errors import DataDamaged

BLOBS_AT_ONCE, BLOCKS_AT_ONCE = 4096, 512
"""So many numbers are reserved at a time; those that are left over at the end are lost."""


class PackSession:
    """Begins a pack when the first new blob comes. End it with `seal` or `abandon`."""

    def __init__(
        self,
        storage: Storage,
        uuid: bytes,
        rows: PackRows,
        blobs: Blobs,
        *,
        compression: Compression,
        block_bytes: int,
        workers: int,
    ) -> None:
        # dependencies
        self._storage = storage
        self._uuid = uuid
        self._rows = rows
        self._known = blobs
        # constant
        self._compression = compression
        self._block_bytes = block_bytes
        self._workers = workers
        # mutable
        self._pool: ThreadPoolExecutor | None = None
        self._numbers: Numbers | None = None
        self._next_blob = self._next_block = 0
        self._blob_end = self._block_end = 0
        self._writer: PackWriter | None = None
        self._allocator: BlockAllocator | None = None
        self._new: dict[bytes, int] = {}
        self._entries: list[BlobEntry] = []
        self._moving = False
        self.raw_bytes = 0
        """Bytes that came in."""
        self.new_bytes = 0
        """Bytes of those that were not known."""

    def add(self, data: Buffer) -> int:
        """The number of the blob with these bytes, a known one or a new one in this pack."""
        self.raw_bytes += len(data)
        digest = blake3(data).digest()
        number = self._new.get(digest)
        if number is None:
            number = self._find(digest, len(data))
        if number is None:
            number = self._new_blob()
            self._append(digest, number, data)
        return number

    def add_known(self, number: int, data: Buffer) -> None:
        """Give a blob that exists a new place in this pack. Not to be mixed with `add`."""
        self.raw_bytes += len(data)
        self._moving = True
        self._append(blake3(data).digest(), number, data)

    def fetch(self, number: int) -> bytes:
        """The bytes of a blob of this session that is new or was moved; KeyError for any other."""
        for entry in self._entries:
            if entry.id == number and self._allocator is not None:
                return self._allocator.fetch(Address(entry.block, entry.offset, entry.length))
        raise KeyError(number)

    def seal(self) -> SealedPack | None:
        """Write what waits and make the pack durable in its place; None when nothing new came, and there is
        no pack. After an error `abandon` has to be called."""
        if self._writer is None or self._allocator is None or self._numbers is None:
            self._end_workers()
            return None
        blocks = self._allocator.commit()
        self._end_workers()
        name = self._writer.finish(self._entries)
        self._writer.publish()
        self._allocator = None  # which knows us: together we would stay until Python looks for cycles
        return SealedPack(
            self._numbers.pack, name, self._writer.size_bytes, blocks, self._entries, self._moving
        )

    def abandon(self) -> None:
        """Let everything go: the file, and then the row that says that it is coming."""
        self._end_workers()
        self._allocator = None
        if self._writer is not None:
            self._writer.abandon()
        elif self._numbers is not None:  # perhaps its file was made, and there was no room for the header
            with suppress(FileNotFoundError):
                self._storage.unlink(new_name(self._numbers.pack))
        if self._numbers is not None:
            self._storage.sync_folder(PACKS_FOLDER)
            self._rows.drop_packs([self._numbers.pack])
            self._numbers = None

    def _end_workers(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    # --- known blobs ------------------------------------------------------------------------

    def _find(self, digest: bytes, length: int) -> int | None:
        for place in self._rows.find(hash_prefix(digest)):
            if place.length != length or place.block.id in self._known.damaged:
                continue
            try:
                pack = self._known.packs.open(place.block.pack, place.pack_name)
                entry = pack.find(digest)
            except DataDamaged:
                continue  # nothing new is to rely on a pack that cannot be read
            if entry is not None and (entry.id, entry.block) == (place.blob, place.block.id):
                return place.blob
        return None

    # --- new blobs --------------------------------------------------------------------------

    def _append(self, digest: bytes, number: int, data: Buffer) -> None:
        allocator = self._allocator or self._begin()
        address = allocator.append(data)
        self._new[digest] = number
        self._entries.append(BlobEntry(digest, number, *address))
        self.new_bytes += len(data)

    def _begin(self) -> BlockAllocator:
        self._reserve()
        assert self._numbers is not None, "just reserved"
        self._writer = PackWriter(self._storage, self._uuid, self._numbers.pack)
        if self._workers and self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, "vfs-compress")
        self._allocator = BlockAllocator(
            self._writer, self._new_block, self._block_bytes, self._compression, self._pool
        )
        return self._allocator

    def _reserve(self) -> None:
        """The pack's number, and numbers for what it holds, before the first of them is used."""
        if self._numbers is None:
            self._numbers = numbers = self._rows.begin_pack(BLOBS_AT_ONCE, BLOCKS_AT_ONCE)
            self._next_blob, self._blob_end = numbers.first_blob, numbers.blob_end
            self._next_block, self._block_end = numbers.first_block, numbers.block_end

    def _new_blob(self) -> int:
        self._reserve()
        if self._next_blob == self._blob_end:
            self._next_blob, _ = self._rows.more_numbers(BLOBS_AT_ONCE, 0)
            self._blob_end = self._next_blob + BLOBS_AT_ONCE
        self._next_blob += 1
        return self._next_blob - 1

    def _new_block(self) -> int:
        if self._next_block == self._block_end:
            _, self._next_block = self._rows.more_numbers(0, BLOCKS_AT_ONCE)
            self._block_end = self._next_block + BLOCKS_AT_ONCE
        self._next_block += 1
        return self._next_block - 1
