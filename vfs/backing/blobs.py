"""Reading blobs: from a number to verified bytes, wherever the index says that they lie now.

Promises right bytes or `PackDamaged`, and that a block which is read bit by bit is decoded once, as far as
the cache reaches. Never writes.

Threads: any. A reader that may wait holds an epoch (vfs/backing/epochs.py), so a pack that it looked up
stays on the disk although its blobs have moved meanwhile.
"""

import threading
from collections import OrderedDict

from vfs.backing.block_cache import BlockCache
from vfs.backing.codecs import Codec
from vfs.backing.pack_rows import PackRows
from vfs.backing.packs import PackFile
from vfs.backing.places import BlobPlace, BlockEntry
from vfs.backing.storage import Storage
from vfs.errors import PackDamaged

OPEN_PACKS = 128
"""Packs that stay open and mapped: two descriptors each."""

PLACES_AT_ONCE = 64
"""Blobs of one file mostly have consecutive numbers: so many places are fetched with one query."""

KNOWN_PLACES = 32_768
"""Places of blobs that are kept at hand, some megabytes."""


class Packs:
    """Open packs by number, a bounded number of them, the most recently used."""

    def __init__(self, storage: Storage, uuid: bytes, limit: int = OPEN_PACKS) -> None:
        self._storage = storage
        self._uuid = uuid
        self._limit = limit
        self._lock = threading.Lock()
        self._packs: OrderedDict[int, PackFile] = OrderedDict()

    def open(self, pack: int, name: str) -> PackFile:
        """The pack, opened if it was not; its tables are verified when they are used. PackDamaged."""
        found = self.opened(pack)
        if found is not None:
            return found
        # Outside of the lock, since it waits for the disk; when two threads do it, the first one's stays.
        opened = PackFile.attach(self._storage, name, self._uuid)
        with self._lock:
            found = self._packs.setdefault(pack, opened)
            self._packs.move_to_end(pack)
            while len(self._packs) > self._limit:
                self._packs.popitem(last=False)
        return found

    def opened(self, pack: int) -> PackFile | None:
        """The pack if it is open already; never waits for the disk."""
        with self._lock:
            found = self._packs.get(pack)
            if found is not None:
                self._packs.move_to_end(pack)
            return found

    def forget(self, pack: int) -> None:
        """Let go of a pack that is about to be removed; whoever reads from it still can."""
        with self._lock:
            self._packs.pop(pack, None)

    def close(self) -> None:
        """Let go of all packs."""
        with self._lock:
            self._packs.clear()


class Blobs:
    """All packed data of a store, by blob number."""

    def __init__(self, storage: Storage, uuid: bytes, rows: PackRows, cache_bytes: int) -> None:
        # dependencies
        self._rows = rows
        self.packs = Packs(storage, uuid)
        self.cache = BlockCache(cache_bytes)
        # what belongs to `_lock`
        self._lock = threading.Lock()
        self._places: OrderedDict[int, BlobPlace] = OrderedDict()
        self._age = 0
        """Grows when places become void: what was looked up before is not kept then."""
        # sets of numbers need none
        self.damaged: set[int] = set()
        """Blocks that could not be read in this life."""

    def read(self, blob: int, start: int, length: int) -> bytes | memoryview:
        """Bytes [start, start+length) of a blob; PackDamaged when they are not what was written."""
        place = self._place(blob, start, length)
        try:
            pack = self.packs.open(place.block.pack, place.pack_name)
            if place.block.codec == Codec.NONE:
                return pack.read_piece(place.block, place.offset + start, length)
            data = self.cache.get(place.block.id, lambda: bytes(pack.read_block(place.block)))
        except PackDamaged:
            self.damaged.add(place.block.id)
            raise
        return memoryview(data)[place.offset + start : place.offset + start + length]

    def read_resident(self, blob: int, start: int, length: int) -> bytes | memoryview | None:
        """Like `read`, but None when that would wait for the disk or decode a block."""
        place = self._known_place(blob)
        if place is None or start < 0 or start + length > place.length:
            return None
        block = place.block
        if block.codec == Codec.NONE:
            pack = self.packs.opened(block.pack)
            if pack is None or not pack.resident(block, place.offset + start, length):
                return None
            return pack.read_piece(block, place.offset + start, length)
        data = self.cache.peek(block.id)
        if data is None:
            return None
        return memoryview(data)[place.offset + start : place.offset + start + length]

    def read_ahead(self, blob: int) -> None:
        """Have the block of a blob at hand; what is wrong with it is told to who reads it."""
        try:
            place = self._place(blob, 0, 0)
            pack = self.packs.open(place.block.pack, place.pack_name)
            if place.block.codec == Codec.NONE:
                pack.prefetch(place.block)
            elif place.block.id not in self.cache:
                self.cache.get(place.block.id, lambda: bytes(pack.read_block(place.block)))
        except PackDamaged:
            return

    def forget_places(self) -> None:
        """Blobs have moved, or are gone: look all of them up again."""
        with self._lock:
            self._age += 1
            self._places.clear()

    def close(self) -> None:
        """Let go of packs."""
        self.packs.close()

    # --- places -----------------------------------------------------------------------------

    def _known_place(self, blob: int) -> BlobPlace | None:
        with self._lock:
            place = self._places.get(blob)
            if place is not None:
                self._places.move_to_end(blob)
            return place

    def _place(self, blob: int, start: int, length: int) -> BlobPlace:
        place = self._known_place(blob) or self._look_up(blob)
        if place is None:
            raise PackDamaged("that is not known", 0, f"blob {blob} is not in the index")
        if start < 0 or length < 0 or start + length > place.length:
            reason = f"blob {blob} has {place.length} bytes, a file names {length} at {start}"
            raise PackDamaged(place.pack_name, place.block.offset, reason)
        if place.offset < 0 or place.offset + place.length > place.block.size:
            reason = f"blob {blob} is not inside of block {place.block.id}"
            raise PackDamaged(place.pack_name, place.block.offset, reason)
        return place

    def _look_up(self, blob: int) -> BlobPlace | None:
        age = self._age
        places = self._rows.places(blob, PLACES_AT_ONCE)
        blocks: dict[int, BlockEntry] = {}
        shared = [place._replace(block=blocks.setdefault(place.block.id, place.block)) for place in places]
        with self._lock:
            if age == self._age:
                for place in shared:
                    self._places[place.blob] = place
                while len(self._places) > KNOWN_PLACES:
                    self._places.popitem(last=False)
        return shared[0] if shared and shared[0].blob == blob else None
