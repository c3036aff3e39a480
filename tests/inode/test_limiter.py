"""The limiter counts truly, names the coldest, and files that follow it stay within the bound."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inode.stored_bytes import Segments, StoredBytes
from vfs.inode.extents import Memory
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.offloaded import OffloadedFile


@given(charges=st.lists(st.tuples(st.integers(1, 4), st.integers(-50, 100)), max_size=60))
def test_against_a_plain_list(charges: list[tuple[int, int]]) -> None:
    limiter = MemoryLimiter(100)
    held: dict[int, int] = {}
    order: list[int] = []  # coldest first
    for owner, delta in charges:
        if held.get(owner, 0) + delta < 0:
            with pytest.raises(ValueError, match="gives back"):
                limiter.charge(owner, delta)
        else:
            limiter.charge(owner, delta)
            held[owner] = held.get(owner, 0) + delta
            order = [each for each in order if each != owner] + [owner] * (held[owner] > 0)
        assert limiter.used_bytes == sum(held.values())
        assert limiter.over == (limiter.used_bytes > 100)
        assert limiter.owners() == order
        assert limiter.coldest() == (order[0] if order else None)
        assert limiter.held_by(owner) == held.get(owner, 0)


def test_waiting_bears_an_eighth_more() -> None:
    limiter = MemoryLimiter(80)
    over = []
    for delta in (81, 0, 10, 1, 0, -12, 1):
        if delta:
            limiter.charge(1, delta)
        else:
            limiter.wait()
        over.append(limiter.over)
    # Once it is back within the limit (80, then 81 again), the limit counts again.
    assert over == [True, False, False, True, False, False, True]


def relieve(limiter: MemoryLimiter, files: dict[int, OffloadedFile], stored: StoredBytes) -> None:
    for ino in limiter.owners():
        if not limiter.over:
            return
        file = files[ino]
        for offset, memory in file.unlogged_memory():
            file.settle(offset, stored.log(bytes(memory.data)))
        file.shed()
        file.drop_clean_segments()


def memory_held(files: dict[int, OffloadedFile]) -> int:
    segments = [segment for file in files.values() for segment in file._segments.values()]
    pieces = [piece for segment in segments for piece in segment.cut(0, segment.length)]
    return sum(len(piece.data) for piece in pieces if isinstance(piece, Memory))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bytes_in_memory_are_bounded(seed: int) -> None:
    """Far more than the limit is written into several files, in every pattern, and it never holds more."""
    chance = random.Random(seed)
    limit = 20_000
    limiter, stored = MemoryLimiter(limit), StoredBytes()
    sources = {ino: Segments() for ino in range(8)}
    files = {ino: OffloadedFile(ino, 0, 0, sources[ino], limiter, persisted=False) for ino in sources}
    contents = {ino: bytearray() for ino in files}
    checkpoints = 0
    for step in range(4000):
        ino = chance.randrange(8)
        file, content = files[ino], contents[ino]
        data = chance.randbytes(chance.randrange(1, 200))
        offset = chance.choice([len(content), chance.randrange(len(content) + 500)])
        file.write(offset, [Memory(data, stored.log(data) if step % 2 else None)])
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
        if limiter.over:
            relieve(limiter, files, stored)
        if limiter.over:  # what is left is not memory but changed extents: a checkpoint's work
            for each, source in sources.items():
                source.in_flight = files[each].begin_capture()
                source.commit()
            checkpoints += 1
            relieve(limiter, files, stored)
        assert not limiter.over
        assert limiter.used_bytes <= limit
        if step % 50 == 0:
            assert memory_held(files) <= limiter.used_bytes
    assert checkpoints
    for ino, file in files.items():
        file.check_invariants()
        assert stored.read(file.plan(0, file.size)) == contents[ino]
