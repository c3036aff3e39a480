"""Blobs become blocks: appended to an open block in memory, which is compressed and written when it is full.

Promises that what was appended can be fetched from its address at any time, from an open block, from one that
is being compressed, or from one that was written; that blocks are written in the order in which they were
filled, by the caller's thread alone; and that a bounded number of them is in memory. Never looks for equal
blobs.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import NamedTuple, Protocol

from vfs.backing.codecs import Codec, Compression, looks_compressible
from vfs.backing.places import BlockEntry
from vfs.backing.storage import Buffer

BLOCKS_IN_FLIGHT = 4
"""Full blocks that wait for their compression: enough for two workers, and a few megabytes."""


class Address(NamedTuple):
    """Where a blob lies: `length` bytes at `offset` of the decoded block."""

    block: int
    offset: int
    length: int


class BlockFile(Protocol):
    """Where full blocks go, and come from again."""

    def add_block(self, number: int, data: Buffer, stored: bytes | None) -> BlockEntry:
        """Write one block; `stored` is its compressed form, None when it is stored as it is."""

    def read_block(self, block: BlockEntry) -> bytes:
        """The data of a block that was written."""


class OpenBlock:
    """A block that still grows."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pieces: list[bytes] = []
        self.size = 0  # INVARIANT: the length of all pieces

    def append(self, data: Buffer) -> Address:
        """Add a blob."""
        address = Address(self.number, self.size, len(data))
        self.pieces.append(bytes(data))
        self.size += len(data)
        return address


class BlockAllocator:
    """Two open blocks: of what compresses, and of what does not, which is thus read without decoding."""

    def __init__(
        self,
        file: BlockFile,
        next_number: Callable[[], int],
        block_bytes: int,
        compression: Compression,
        executor: Executor | None = None,
    ) -> None:
        # dependencies
        self._file = file
        self._next_number = next_number
        self._executor = executor
        # constant
        self._block_bytes = block_bytes
        self._compression = compression
        # mutable
        self._open: dict[bool, OpenBlock] = {}
        self._in_flight: deque[tuple[int, bytes, Future[bytes | None] | None]] = deque()
        self._written: dict[int, BlockEntry] = {}

    def append(self, data: Buffer) -> Address:
        """Add a blob to the open block for data of its kind. The errors are those of writing a block."""
        packs_well = self._compression.codec is not Codec.NONE and looks_compressible(data)
        block = self._open.get(packs_well)
        if block is not None and block.size + len(data) > self._block_bytes:
            self._close(packs_well)
            block = None
        if block is None:
            block = self._open[packs_well] = OpenBlock(self._next_number())
        address = block.append(data)
        if block.size >= self._block_bytes:
            self._close(packs_well)
        return address

    def fetch(self, address: Address) -> bytes:
        """The bytes at an address that `append` gave; KeyError for a block that is none of ours."""
        start, end = address.offset, address.offset + address.length
        for block in self._open.values():
            if block.number == address.block:
                return b"".join(block.pieces)[start:end]
        for number, data, _ in self._in_flight:
            if number == address.block:
                return data[start:end]
        return self._file.read_block(self._written[address.block])[start:end]

    def commit(self) -> list[BlockEntry]:
        """Close the open blocks and write all that waits; returns every block, in the order of writing."""
        for packs_well in list(self._open):
            self._close(packs_well)
        while self._in_flight:
            self._write_first()
        return list(self._written.values())

    def _close(self, packs_well: bool) -> None:
        block = self._open.pop(packs_well)
        data = b"".join(block.pieces)
        job: Future[bytes | None] | None = None
        if packs_well and self._executor is not None:
            job = self._executor.submit(self._compression.compress, data)
        elif packs_well:
            job = Future()
            job.set_result(self._compression.compress(data))
        self._in_flight.append((block.number, data, job))
        while len(self._in_flight) > BLOCKS_IN_FLIGHT:
            self._write_first()
        while self._in_flight and _is_done(self._in_flight[0][2]):
            self._write_first()

    def _write_first(self) -> None:
        number, data, job = self._in_flight[0]
        stored = None if job is None else job.result()
        self._written[number] = self._file.add_block(number, data, stored)
        self._in_flight.popleft()


def _is_done(job: "Future[bytes | None] | None") -> bool:
    return job is None or job.done()
