"""The allocator: what was appended is fetched again wherever it is; blocks come in order, few in memory."""

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backing.made_packs import UUID, media, text
from tests.simulated.disk import SimulatedStorage
from vfs.backing.allocator import BLOCKS_IN_FLIGHT, Address, BlockAllocator
from vfs.backing.codecs import Codec, Compression
from vfs.backing.pack_writer import PackWriter
from vfs.backing.places import PACKS_FOLDER

BLOCK_BYTES = 4000
ZSTD = Compression.parse("zstd:1")


def writer() -> PackWriter:
    disk = SimulatedStorage()
    disk.make_folder(PACKS_FOLDER)
    return PackWriter(disk, UUID, 1)


def allocator(
    file: PackWriter, executor: Executor | None = None, compression: Compression = ZSTD
) -> BlockAllocator:
    return BlockAllocator(file, count(1).__next__, BLOCK_BYTES, compression, executor)


class Later(Executor):
    """Compresses only when somebody waits for it, so that blocks stay in flight as long as they may."""

    def __init__(self) -> None:
        self.waiting = 0

    def submit(self, job: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        self.waiting += 1
        return LaterFuture(self, lambda: job(*arguments, **named))


class LaterFuture(Future[Any]):
    def __init__(self, executor: Later, job: Any) -> None:
        super().__init__()
        self._executor = executor
        self._job = job

    def result(self, timeout: float | None = None) -> Any:
        self._executor.waiting -= 1
        return self._job()


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


appends = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 9000), st.sampled_from((text, media))), max_size=40
)


@pytest.mark.parametrize("how", ["inline", "later", "pool"])
@settings(max_examples=40)
@given(appends=appends, codec=st.sampled_from(("zstd:1", "none")))
def test_any_sequence_of_appends_is_fetched_again(
    how: str, pool: ThreadPoolExecutor, appends: list[Any], codec: str
) -> None:
    executor = {"inline": None, "later": Later(), "pool": pool}[how]
    file = writer()
    blocks = allocator(file, executor, Compression.parse(codec))
    known: list[tuple[Address, bytes]] = []
    for seed, length, make in appends:
        content = make(length, seed)
        known.append((blocks.append(content), content))
        for address, wanted in known[-12:]:
            assert blocks.fetch(address) == wanted
    for address, wanted in known:
        assert blocks.fetch(address) == wanted
    written = blocks.commit()
    for address, wanted in known:
        assert blocks.fetch(address) == wanted
    assert [block.offset for block in written] == sorted(block.offset for block in written)
    assert written == file.blocks
    assert sum(block.size for block in written) == sum(len(content) for _, content in known)
    used: dict[int, int] = {}
    for address, _ in known:  # back to back, over no bound of a block
        assert address.offset == used.get(address.block, 0)
        used[address.block] = address.offset + address.length
    assert used == {block.id: block.size for block in written}


def test_a_block_is_closed_before_it_passes_its_size() -> None:
    file = writer()
    blocks = allocator(file)
    for seed in range(60):
        blocks.append(text(900, seed))
    assert {block.size for block in blocks.commit()[:-1]} == {3600}
    address = blocks.append(text(9000))
    assert address.length == 9000, "a blob that is larger is a block of its own"


def test_media_and_text_lie_in_blocks_of_their_own() -> None:
    blocks = BlockAllocator(writer(), count(1).__next__, 100_000, ZSTD)
    places = [blocks.append((media if seed % 2 else text)(20_000, seed)) for seed in range(6)]
    codecs = {block.id: block.codec for block in blocks.commit()}
    assert len(codecs) == 2
    assert [codecs[place.block] for place in places] == [Codec.ZSTD, Codec.NONE] * 3


def test_without_compression_all_is_stored_as_it_is() -> None:
    blocks = allocator(writer(), compression=Compression.parse("none"))
    blocks.append(text(20_000))
    blocks.append(text(200))
    assert {block.codec for block in blocks.commit()} == {Codec.NONE}


def test_a_bounded_number_of_blocks_is_in_flight() -> None:
    later = Later()
    blocks = allocator(writer(), later)
    most = 0
    for seed in range(40):
        blocks.append(text(BLOCK_BYTES, seed))
        most = max(most, later.waiting)
    assert most == BLOCKS_IN_FLIGHT
    blocks.commit()
    assert later.waiting == 0


def test_only_the_caller_writes(pool: ThreadPoolExecutor) -> None:
    threads: set[int] = set()

    class Watched(PackWriter):
        def add_block(self, *arguments: Any) -> Any:
            threads.add(threading.get_ident())
            return super().add_block(*arguments)

    disk = SimulatedStorage()
    disk.make_folder(PACKS_FOLDER)
    blocks = allocator(Watched(disk, UUID, 1), pool)
    for seed in range(60):
        blocks.append(text(3000, seed))
    assert len(blocks.commit()) > 20
    assert threads == {threading.get_ident()}


def test_an_error_of_a_worker_reaches_the_caller() -> None:
    class Failing(Executor):
        def submit(self, job: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(MemoryError())
            return future

    blocks = allocator(writer(), Failing())
    with pytest.raises(MemoryError):
        blocks.append(text(BLOCK_BYTES))


def test_an_address_of_another_is_refused() -> None:
    blocks = allocator(writer())
    blocks.append(b"x")
    with pytest.raises(KeyError):
        blocks.fetch(Address(99, 0, 1))


def test_what_was_appended_may_change_afterwards() -> None:
    blocks = allocator(writer())
    buffer = bytearray(b"before")
    address = blocks.append(buffer)
    buffer[:] = b"behind"
    assert blocks.fetch(address) == b"before"
