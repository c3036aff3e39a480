"""Reading the blocks of one pack (vfs/backing/pack_format.py), given where they lie.

Promises that nothing of a block is handed out that did not match its checksum: a compressed block whole, one
that is stored as it is piece by piece, once in this life of the object. Anything else is `PackDamaged`, and
touches no other block. Never looks at the pack's tables.

Threads: any may read. `_pieces` needs no lock: two threads that verify the same piece store the same answer.
"""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Concatenate, ParamSpec, TypeVar

from xxhash import xxh3_64_intdigest

from vfs.backing.codecs import Codec, decompress
from vfs.backing.frames import PIECE_BYTES, BadBytes, sums_bytes, verify_piece
from vfs.backing.pack_format import CHECKSUM
from vfs.backing.places import BlockEntry, Piece
from vfs.backing.storage import Buffer, StorageFile
from vfs.errors import PackDamaged
from vfs.limits import KIB, MIB

P = ParamSpec("P")
R = TypeVar("R")

READ_AHEAD_BYTES = 2 * MIB
"""What a sequential reader's next reads will want; else each small block would wait for the disk."""

SMALL_BYTES = 64 * KIB
"""Up to here pread is cheaper for data that is not in memory than faulting mapped pages in."""

KNOWN_BLOCKS = 1024
"""Blocks of one pack whose sums are kept at hand: some 300 bytes each, and as many packs as stay open."""

Known = tuple[bytes, bytearray]
"""Of a block stored as it is: the sums of its pieces, and which of those have been verified."""

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


def _blaming(
    method: Callable[Concatenate["PackBlocks", BlockEntry, P], R],
) -> Callable[Concatenate["PackBlocks", BlockEntry, P], R]:
    """A method whose errors are damage of the block that it is about."""

    def blaming(self: "PackBlocks", block: BlockEntry, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, block, *args, **kwargs)
        except BadBytes as error:
            raise PackDamaged(self.name, block.offset, f"block {block.id}: {error}") from None
        except OSError as error:
            reason = f"block {block.id} cannot be read: {error.strerror or error}"
            raise PackDamaged(self.name, block.offset, reason) from error

    update_wrapper(blaming, method)
    return blaming


def _pieces_of(block: BlockEntry, offset: int, length: int) -> tuple[int, int]:
    """The first piece of a range, and the one behind its last."""
    if offset < 0 or length < 0 or offset + length > block.size:
        raise BadBytes(f"it has {block.size} bytes, asked was for {length} at {offset}")
    return offset // PIECE_BYTES, (offset + length + PIECE_BYTES - 1) // PIECE_BYTES


def _bounds(block: BlockEntry, first: int, stop: int) -> tuple[int, int]:
    """Where these pieces lie in the block's data."""
    return first * PIECE_BYTES, min(stop * PIECE_BYTES, block.size)


def _verified(block: BlockEntry, known: Known, whole: memoryview, first: int, stop: int) -> memoryview:
    """The bytes of these pieces, each of which matches its sum."""
    sums, verified = known
    for number in range(first, stop):
        if not verified[number]:
            at = (number - first) * PIECE_BYTES
            verify_piece(whole[at : at + PIECE_BYTES], sums, number, block.id)
            verified[number] = 1
    return whole


class PackBlocks:
    """One pack, open for reading by who knows its blocks."""

    def __init__(self, file: StorageFile, name: str) -> None:
        self.name = name
        self._file = file
        self._mapped: memoryview | None = None
        self.size = file.size()
        # Where what lies before a block is in memory, the kernel would take who reads it for one that comes
        # in order, and have the disk fetch megabytes behind it.
        file.expect_jumps()
        self._following = 0
        """Where a reader that goes on from the last block would read next."""
        self._ahead = 0
        """How far read-ahead has asked."""
        self._pieces: dict[int, Known] = {}
        """By number of a block stored as it is. INVARIANT: at most KNOWN_BLOCKS."""

    def close(self) -> None:
        """Give the descriptor back; what was handed out stays valid."""
        self._file.close()

    def _view(self) -> memoryview:
        """The mapping, made when it is first needed: a pack of compressed blocks is read without one."""
        if self._mapped is None:
            self._mapped = self._file.map()
        return self._mapped

    @_blaming
    def read_block(self, block: BlockEntry) -> bytes | memoryview:
        """The whole block, decoded and verified."""
        if block.codec == Codec.NONE:
            return self.read_piece(block, 0, block.size)
        self._read_ahead(block.offset, block.stored)
        return self.decode(block, self._fetch(block.offset, block.stored))

    @_blaming
    def stored_resident(self, block: BlockEntry) -> Buffer | None:
        """What `decode` wants of a compressed block; None when that would wait for the disk, which has been
        asked for it then."""
        stored = self._resident(block.offset, block.stored)
        if stored is not None:
            self._read_ahead(block.offset, block.stored)
        return stored

    @_blaming
    def decode(self, block: BlockEntry, stored: Buffer) -> bytes:
        """A compressed block out of its stored bytes, verified."""
        if xxh3_64_intdigest(stored, block.id) != block.checksum:
            raise BadBytes("its checksum is wrong")
        return decompress(stored, block.size)

    @_blaming
    def read_piece(self, block: BlockEntry, offset: int, length: int) -> bytes | memoryview:
        """Bytes [offset, offset+length) of a block that is stored as it is, without a copy where it is large.

        Only the pieces of 32 KiB that the range touches are verified.
        """
        first, stop = _pieces_of(block, offset, length)
        known = self._pieces.get(block.id)
        data_at = block.offset + sums_bytes(block.size)
        if known is None:  # both are on their way then
            begin, end = _bounds(block, first, stop)
            self._file.prefetch(end - begin, data_at + begin)
            known = self._know(block)
        if known[1].find(0, first, stop) < 0:
            return self._fetch(data_at + offset, length, mapped=length > SMALL_BYTES)
        self._read_ahead(data_at + offset, length)
        begin, end = _bounds(block, first, stop)
        whole = self._fetch(data_at + begin, end - begin, mapped=end - begin > SMALL_BYTES)
        return _verified(block, known, memoryview(whole), first, stop)[offset - begin :][:length]

    @_blaming
    def piece_resident(self, block: BlockEntry, offset: int, length: int) -> bytes | memoryview | None:
        """The same; None when that would wait for the disk, which has been asked for it then."""
        first, stop = _pieces_of(block, offset, length)
        known = self._pieces.get(block.id)
        data_at = block.offset + sums_bytes(block.size)
        sums = self._resident(block.offset, sums_bytes(block.size)) if known is None else known[0]
        if known is not None and known[1].find(0, first, stop) < 0:
            first = stop  # nothing is left to be verified
            begin, end = offset, offset + length
        else:
            begin, end = _bounds(block, first, stop)
        if end - begin > SMALL_BYTES:  # to be mapped
            there = self._file.resident(end - begin, data_at + begin) and sums is not None
            return self.read_piece(block, offset, length) if there else None
        found = self._resident(data_at + begin, end - begin)
        if found is None or sums is None:
            return None
        if first < stop:
            self._read_ahead(data_at + offset, length)
        known = known or self._know(block, sums)
        return _verified(block, known, memoryview(found), first, stop)[offset - begin :][:length]

    def read_run(self, run: Sequence[Piece], *, wait: bool = True) -> list[memoryview] | None:
        """What `read_piece` gives for each of these, which lie back to back (see `follows`), in one request.

        None when that would wait for the disk, which has been asked for it then, and it must not.
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
            found: Buffer | None
            if wait:
                self._read_ahead(begin, end - begin)
                found = self._file.pread(end - begin, begin)
            else:
                found = self._file.pread_resident(end - begin, begin)
            if found is None:
                return None
            view = memoryview(found)
            if len(view) != end - begin:
                raise BadBytes("the pack ends too early")
            return [self._out_of(view, piece, piece.block.offset - begin) for piece in run]
        except BadBytes as error:
            raise PackDamaged(self.name, begin, str(error)) from None
        except OSError as error:
            raise PackDamaged(self.name, begin, f"cannot be read: {error.strerror or error}") from error

    def _out_of(self, view: memoryview, piece: Piece, block_at: int) -> memoryview:
        """A piece out of stored bytes in which its block begins at `block_at`, or would."""
        block, offset, length = piece
        known = self._pieces.get(block.id)
        if known is None:
            known = self._know(block, view[block_at : block_at + sums_bytes(block.size)])
        first, stop = _pieces_of(block, offset, length)
        begin, end = _bounds(block, first, stop)
        data_at = block_at + len(known[0])
        whole = view[data_at + begin : data_at + end]
        return _verified(block, known, whole, first, stop)[offset - begin :][:length]

    def _know(self, block: BlockEntry, fetched: Buffer | None = None) -> Known:
        if block.stored != sums_bytes(block.size) + block.size:
            raise BadBytes(f"{block.stored} stored bytes cannot be {block.size} bytes and their sums")
        sums = bytes(self._fetch(block.offset, sums_bytes(block.size)) if fetched is None else fetched)
        if xxh3_64_intdigest(sums, block.id) != block.checksum:
            raise BadBytes("the checksum of its sums is wrong")
        if len(self._pieces) >= KNOWN_BLOCKS:
            self._pieces.clear()
        known = self._pieces[block.id] = (sums, bytearray(len(sums) // CHECKSUM.size))
        return known

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

    def _resident(self, offset: int, length: int) -> Buffer | None:
        """What `_fetch` gives; None when that would wait for the disk, which has been asked for it then."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise BadBytes("the pack ends too early")
        found = self._file.pread_resident(length, offset)
        if found is not None and len(found) != length:
            raise BadBytes("the pack ends too early")
        return found

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
