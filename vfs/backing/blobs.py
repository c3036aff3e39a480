"""Reading blobs: from a number to verified bytes, wherever the index says that they lie now.

Promises right bytes or `PackDamaged`, and that a block which is read bit by bit is decoded once, as far as
the cache reaches. Never writes.

Threads: any. A reader that may wait holds an epoch (vfs/backing/epochs.py), so a pack that it looked up
stays on the disk although its blobs have moved meanwhile.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from vfs.backing.block_cache import BlockCache
from vfs.backing.codecs import Codec
from vfs.backing.pack_blocks import follows
from vfs.backing.pack_rows import PackRows
from vfs.backing.packs import PackFile
from vfs.backing.places import BlobPlace, BlockEntry, Piece
from vfs.backing.storage import Storage
from vfs.errors import NoDescriptors, PackDamaged
from vfs.limits import KIB, MIB

OPEN_PACKS = 64
"""Packs that stay open: a descriptor each, and one more for those that are mapped."""

PLACES_AT_ONCE = 64
"""Blobs of one file mostly have consecutive numbers: so many places are fetched with one query for a reader
that goes on from one that is known."""

FEW_PLACES = 32
"""For one that comes from elsewhere, and perhaps goes elsewhere: that takes 35 µs, and 64 of them 65."""

RUN_BYTES = 2 * MIB
"""Most that is read from a pack at once, from where its first block begins: the kernel asks for half of it at
the most, and what lies before that in a usual block is less than the rest."""

DECODE_AT_ONCE_BYTES = 256 * KIB
"""A block up to this size is decoded at once: having a thread do it would take longer."""

Range = tuple[int, int, int]
"""Of a blob: its number, where to start, how many bytes."""

KNOWN_PLACES = 32_768
"""Most places of blobs that are kept at hand: of some gigabytes of data."""

PLACE_BYTES = 512
"""About what one takes in memory. All of them take no more than the decoded blocks may."""


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
        try:
            opened = PackFile.attach(self._storage, name, self._uuid)
        except NoDescriptors:
            self.close()
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
        self._gone: dict[int, BlobPlace] = {}
        """Blobs that were forgotten while readers may still name them."""
        self._most_places = min(KNOWN_PLACES, max(4 * PLACES_AT_ONCE, cache_bytes // PLACE_BYTES))
        self._age = 0
        """Grows when places become void: what was looked up before is not kept then."""
        # sets of numbers need none
        self.damaged: set[int] = set()
        """Blocks that could not be read in this life."""

    def read(self, blob: int, start: int, length: int) -> bytes | memoryview:
        """Bytes [start, start+length) of a blob; PackDamaged when they are not what was written."""
        return next(self.read_all([(blob, start, length)]))

    def read_all(self, ranges: Iterable[Range]) -> Iterator[bytes | memoryview]:
        """The bytes of the ranges in order, in parts: what lies side by side is one."""
        for run in _runs(self._pieces(ranges)):
            first, name = run[0]
            pack = self._open(first.block, name)
            if len(run) > 1:
                try:
                    yield from pack.read_run([piece for piece, _ in run]) or ()
                    continue
                except PackDamaged:
                    pass  # one by one, to know which block it is
            for piece, _ in run:
                yield self._read(pack, piece)

    def _open(self, block: BlockEntry, name: str) -> PackFile:
        try:
            return self.packs.open(block.pack, name)
        except PackDamaged:
            self.damaged.add(block.id)
            raise

    def _read(self, pack: PackFile, piece: Piece) -> bytes | memoryview:
        block, offset, length = piece
        try:
            if block.codec == Codec.NONE:
                return pack.read_piece(block, offset, length)
            data = self.cache.get(block.id, lambda: bytes(pack.read_block(block)))
        except PackDamaged:
            self.damaged.add(block.id)
            raise
        return memoryview(data)[offset : offset + length]

    def read_resident(self, blob: int, start: int, length: int) -> bytes | memoryview | None:
        """Like `read`, but None when that would wait for the disk, or long for decoding."""
        found = self.read_all_resident([(blob, start, length)])
        return None if found is None else found[0]

    def read_all_resident(self, ranges: Iterable[Range]) -> list[bytes | memoryview] | None:
        """Like `read_all`, but None when that would wait for the disk, or long for decoding."""
        pieces = self._known_pieces(ranges)
        if pieces is None:
            return None
        found: list[bytes | memoryview] = []
        may_decode = self._may_decode(pieces)
        for run in _runs(pieces):
            block, offset, length = run[0][0]
            if block.codec == Codec.ZSTD and (data := self.cache.peek(block.id)) is not None:
                found.append(memoryview(data)[offset : offset + length])
                continue
            pack = self.packs.opened(block.pack)
            if pack is None:
                return None
            parts = self._run_resident(pack, [piece for piece, _ in run], may_decode)
            if parts is None:
                return None
            found += parts
        return found

    def _run_resident(
        self, pack: PackFile, run: list[Piece], may_decode: bool
    ) -> Sequence[bytes | memoryview] | None:
        block, offset, length = run[0]
        if len(run) > 1:
            try:
                return pack.read_run(run, wait=False)
            except PackDamaged:
                return None  # for `read_all` to say which block it is
        try:
            if block.codec == Codec.NONE:
                found = pack.piece_resident(block, offset, length)
                return None if found is None else [found]
            if not may_decode or self.cache.is_decoding(block.id):
                return None
            stored = pack.stored_resident(block)
            if stored is None:
                return None
            data = self.cache.get(block.id, lambda: pack.decode(block, stored))
        except PackDamaged:
            self.damaged.add(block.id)
            raise
        return [memoryview(data)[offset : offset + length]]

    def are_open_to_read(self, ranges: Iterable[Range]) -> bool:
        """Whether `read_all_resident` will give these as soon as their blocks have come from the disk."""
        pieces = self._known_pieces(ranges)
        if pieces is None or any(self.packs.opened(piece.block.pack) is None for piece, _ in pieces):
            return False
        return self._may_decode(pieces) or all(
            piece.block.codec == Codec.NONE or piece.block.id in self.cache for piece, _ in pieces
        )

    def _may_decode(self, pieces: Sequence[tuple[Piece, str]]) -> bool:
        """Whether what is compressed of these may be decoded by one who has others waiting."""
        return len(pieces) == 1 and pieces[0][0].block.size <= DECODE_AT_ONCE_BYTES

    def read_ahead(self, ranges: Iterable[Range]) -> None:
        """Have the blocks of these ranges at hand; what is wrong with them is told to who reads them."""
        try:
            for run in _runs(self._pieces(ranges)):
                (first, name), (last, _) = run[0], run[-1]
                pack = self.packs.open(first.block.pack, name)
                if first.block.codec == Codec.NONE:
                    pack.prefetch(first.block, last.block)
                elif first.block.id not in self.cache:
                    self._read(pack, first)
        except PackDamaged:
            return

    def keep_places(self, places: Iterable[BlobPlace]) -> None:
        """The rows of these blobs are about to go: readers that are under way find them here."""
        with self._lock:
            self._gone.update((place.blob, place) for place in places)

    def drop_places(self, blobs: Iterable[int]) -> None:
        """No reader is left that could name these blobs, whose rows are gone."""
        with self._lock:
            for blob in blobs:
                self._gone.pop(blob, None)

    def forget_places(self) -> None:
        """Blobs have moved, or are gone: look all of them up again."""
        with self._lock:
            self._age += 1
            self._places.clear()

    def close(self) -> None:
        """Let go of packs."""
        self.packs.close()

    # --- places -----------------------------------------------------------------------------

    def _pieces(self, ranges: Iterable[Range]) -> list[tuple[Piece, str]]:
        """Where the ranges lie, and in packs of which names; neighbours in a block are one piece."""
        pieces: list[tuple[Piece, str]] = []
        for blob, start, length in ranges:
            _put(pieces, self._place(blob, start, length), start, length)
        return pieces

    def _known_pieces(self, ranges: Iterable[Range]) -> list[tuple[Piece, str]] | None:
        """The same without a look at the index; None when that would be needed, or would find an error."""
        pieces: list[tuple[Piece, str]] = []
        for blob, start, length in ranges:
            place = self._known_place(blob)
            if place is None or start < 0 or start + length > place.length or not _is_inside(place):
                return None
            _put(pieces, place, start, length)
        return pieces

    def _known_place(self, blob: int) -> BlobPlace | None:
        with self._lock:
            place = self._places.get(blob)
            if place is not None:
                self._places.move_to_end(blob)
            return place

    def _place(self, blob: int, start: int, length: int) -> BlobPlace:
        place = self._known_place(blob) or self._look_up(blob) or self._gone.get(blob)
        if place is None:
            raise PackDamaged("that is not known", 0, f"blob {blob} is not in the index")
        if start < 0 or length < 0 or start + length > place.length:
            reason = f"blob {blob} has {place.length} bytes, a file names {length} at {start}"
            raise PackDamaged(place.pack_name, place.block.offset, reason)
        if not _is_inside(place):
            reason = f"blob {blob} is not inside of block {place.block.id}"
            raise PackDamaged(place.pack_name, place.block.offset, reason)
        return place

    def _look_up(self, blob: int) -> BlobPlace | None:
        age = self._age
        places = self._rows.places(blob, PLACES_AT_ONCE if blob - 1 in self._places else FEW_PLACES)
        with self._lock:
            if age == self._age:
                for place in places:
                    self._places[place.blob] = place
                while len(self._places) > self._most_places:
                    self._places.popitem(last=False)
        return places[0] if places and places[0].blob == blob else None


def _is_inside(place: BlobPlace) -> bool:
    """Whether the blob lies in its block, as the index says it."""
    return place.offset >= 0 and place.offset + place.length <= place.block.size


def _put(pieces: list[tuple[Piece, str]], place: BlobPlace, start: int, length: int) -> None:
    """Add a range of a blob that lies there."""
    begin = place.offset + start
    if pieces:
        block, offset, size = pieces[-1][0]
        if block.id == place.block.id and offset + size == begin:
            pieces[-1] = (Piece(block, offset, size + length), place.pack_name)
            return
    pieces.append((Piece(place.block, begin, length), place.pack_name))


def _runs(pieces: Iterable[tuple[Piece, str]]) -> Iterator[list[tuple[Piece, str]]]:
    """Pieces that can be read at once, together; a compressed one is alone."""
    run: list[tuple[Piece, str]] = []
    for each in pieces:
        if run:
            block, _, length = each[0]
            # From where the first block begins, since its sums may have to be read with it.
            run_bytes = block.offset + length - run[0][0].block.offset
            if run_bytes > RUN_BYTES or not follows(each[0], run[-1][0]):
                yield run
                run = []
        run.append(each)
    if run:
        yield run
