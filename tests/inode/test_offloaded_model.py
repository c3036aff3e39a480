"""A file against a plain bytearray: every operation, in any order, with captures and reloads in between.

Segments and Memory extents are made tiny here, so that borders are met all the time.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.inode.stored_bytes import LOST, Segments, StoredBytes
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import ChunkRange, Extent, Fill, Lost, Memory
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.offloaded import OffloadedFile

SEGMENT = 64
INO = 7

offsets = st.integers(0, 5 * SEGMENT)
lengths = st.integers(0, 3 * SEGMENT)
kinds = st.sampled_from(["chunk", "blob", "hole", "fill", "memory", "origin", "lost"])
contents = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.integers(1, 2 * SEGMENT + 5).map(lambda n: bytes(i % 251 for i in range(n))),
)


@pytest.fixture(scope="module", autouse=True)
def tiny_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vfs.inode.offloaded.SEGMENT_BYTES", SEGMENT)
        patch.setattr("vfs.inode.extent_map.SEGMENT_BYTES", SEGMENT)
        patch.setattr("vfs.inode.extent_map.FREE_EXTENTS", 2)
        patch.setattr("vfs.inode.extents.MEMORY_EXTENT_BYTES", 24)
        yield


class FileMachine(RuleBasedStateMachine):
    """`data` is the content, `solid` has for each byte 0 in a hole, 2 where it is lost, else 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = StoredBytes()
        self.source = Segments()
        self.limiter = MemoryLimiter(1000)
        self.file = OffloadedFile(INO, 0, 0, self.source, self.limiter, persisted=False)
        self.data = bytearray()
        self.solid = bytearray()
        self.plans: list[tuple[list[Extent], bytes]] = []

    def piece(self, kind: str, content: bytes) -> tuple[Extent, bytes]:
        if kind == "chunk":
            return self.stored.log(content), content
        if kind == "blob":
            return self.stored.blob(content), content
        if kind == "hole":
            return Fill(len(content), 0), bytes(len(content))
        if kind == "lost":
            return Lost(len(content)), LOST * len(content)
        if kind == "fill":
            return Fill(len(content), content[0] or 1), bytes((content[0] or 1,)) * len(content)
        return Memory(content, self.stored.log(content) if kind == "origin" else None), content

    def put(self, offset: int, content: bytes, solid: int) -> None:
        self.grow(offset + len(content))
        self.data[offset : offset + len(content)] = content
        self.solid[offset : offset + len(content)] = bytes((solid,)) * len(content)

    def grow(self, size: int) -> None:
        self.data.extend(bytes(max(0, size - len(self.data))))
        self.solid.extend(bytes(max(0, size - len(self.solid))))

    # --- changes -----------------------------------------------------------------------------

    @rule(offset=offsets, parts=st.lists(st.tuples(kinds, contents), max_size=4))
    def write(self, offset: int, parts: list[tuple[str, bytes]]) -> None:
        pieces = []
        at = offset
        for kind, content in parts:
            extent, meant = self.piece(kind, content)
            pieces.append(extent)
            self.put(at, meant, {"hole": 0, "lost": 2}.get(kind, 1))
            at += len(meant)
        self.file.write(offset, pieces)

    @rule(content=st.binary(min_size=1, max_size=10), logged=st.booleans())
    def append_memory(self, content: bytes, logged: bool) -> None:
        extent, _ = self.piece("origin" if logged else "memory", content)
        size = self.file.size
        self.file.write(size, [extent])
        self.put(size, content, 1)

    @rule(content=st.binary(min_size=8, max_size=40), cut=st.integers(1, 7), offset=offsets)
    def write_memory_of_one_frame(self, content: bytes, cut: int, offset: int) -> None:
        place = self.stored.log(content)
        left = ChunkRange(cut, place.chunk, place.frame, place.start)
        right = ChunkRange(len(content) - cut, place.chunk, place.frame, place.start + cut)
        self.file.write(offset, [Memory(content[:cut], left), Memory(bytearray(content[cut:]), right)])
        self.put(offset, content, 1)

    @rule(offset=offsets, length=lengths)
    def clone_from_itself(self, offset: int, length: int) -> None:
        pieces = self.file.plan(offset, length)
        content = bytes(self.data[offset : offset + length])
        solid = bytes(self.solid[offset : offset + length])
        self.file.write(2 * SEGMENT + 3, pieces)
        if content:
            self.put(2 * SEGMENT + 3, content, 1)
            self.solid[2 * SEGMENT + 3 : 2 * SEGMENT + 3 + len(solid)] = solid

    @rule(size=offsets)
    def truncate(self, size: int) -> None:
        self.file.truncate(size)
        del self.data[size:]
        del self.solid[size:]
        self.grow(size)

    @rule(offset=offsets, length=lengths)
    def punch(self, offset: int, length: int) -> None:
        self.file.punch(offset, length)
        end = min(offset + length, len(self.data))
        if offset < end:
            self.put(offset, bytes(end - offset), 0)

    # --- where the bytes lie: none of it may show ----------------------------------------------

    @rule()
    def settle_all(self) -> None:
        for offset, memory in self.file.unlogged_memory():
            assert memory.origin is None
            self.file.settle(offset, self.stored.log(bytes(memory.data)))
        assert self.file.unlogged_memory() == []

    @precondition(lambda self: self.data)
    @rule(share=st.floats(0, 1), length=st.integers(1, 30))
    def settle_some_range(self, share: float, length: int) -> None:
        """As replay may meet it: the range is not one Memory here."""
        offset = int(share * (len(self.data) - 1))
        length = min(length, len(self.data) - offset, SEGMENT - offset % SEGMENT)
        self.file.settle(offset, self.stored.log(bytes(self.data[offset : offset + length])))
        self.solid[offset : offset + length] = b"\1" * length

    @rule()
    def shed(self) -> None:
        dirty = set(self.file.dirty)
        self.file.shed()
        assert self.file.dirty == dirty
        for segment in self.file._segments.values():
            assert segment.buffered_bytes == sum(memory.length for _, memory in segment.unlogged())

    @precondition(lambda self: self.source.in_flight is None and self.source.rows)
    @rule(pick=st.integers(0, 9), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=3))
    def pack(self, pick: int, cuts: list[int]) -> None:
        """The source has other places for the bytes of a segment."""
        number = sorted(self.source.rows)[pick % len(self.source.rows)]
        old = self.source.rows[number]
        segment = self.stored.packed(ExtentMap.decode(old), cuts, lambda extent: extent.length < 9)
        self.source.rows[number] = new = segment.encode()
        dirty = set(self.file.dirty)
        self.file.repacked(number, old, new)
        assert self.file.dirty == dirty
        loaded = self.file.loaded_segment(number)
        assert (loaded is not None) == (number in dirty), "what is clean is loaded anew"

    @rule()
    def drop_clean_segments(self) -> None:
        self.file.drop_clean_segments()

    @rule(offset=offsets, length=lengths)
    def load(self, offset: int, length: int) -> None:
        self.file.load(offset, length)

    @precondition(lambda self: self.source.in_flight is None)
    @rule()
    def capture(self) -> None:
        if self.file.unlogged_memory():
            before = (set(self.file.dirty), self.file.voided_from)
            with pytest.raises(ValueError, match="no single place"):
                self.file.begin_capture()
            assert before == (self.file.dirty, self.file.voided_from)
            self.settle_all()
        self.source.in_flight = self.file.begin_capture()
        assert not self.file.dirty
        assert self.file.voided_from is None

    @precondition(lambda self: self.source.in_flight is not None)
    @rule()
    def commit(self) -> None:
        self.source.commit()

    @precondition(lambda self: self.source.in_flight is not None)
    @rule()
    def abandon(self) -> None:
        captured, self.source.in_flight = self.source.in_flight, None
        assert captured is not None
        self.file.abandon_capture(captured)

    @precondition(lambda self: self.source.in_flight is None)
    @rule()
    def reopen(self) -> None:
        self.capture()
        self.commit()
        self.limiter.charge(INO, -self.file.memory_bytes)
        self.file = OffloadedFile(
            INO, self.file.size, self.file.allocated, self.source, self.limiter, persisted=True
        )

    # --- looking -------------------------------------------------------------------------------

    @rule(offset=offsets, length=lengths)
    def plan(self, offset: int, length: int) -> None:
        pieces = self.file.plan(offset, length)
        meant = bytes(self.data[offset : offset + length])
        assert self.stored.read(pieces) == meant
        lost = b"".join(bytes([type(piece) is Lost]) * piece.length for piece in pieces)
        assert lost == bytes(kind == 2 for kind in self.solid[offset : offset + length])
        self.plans = [*self.plans[-3:], (pieces, meant)]

    @rule(offset=st.integers(0, 6 * SEGMENT))
    def seek(self, offset: int) -> None:
        data = self.solid.replace(b"\2", b"\1").find(1, offset)
        assert self.file.seek_data(offset) == (data if data >= 0 else None)
        hole = self.solid.find(0, offset) if offset < len(self.solid) else len(self.solid)
        assert self.file.seek_hole(offset) == (hole if hole >= 0 else len(self.solid))

    @invariant()
    def holds(self) -> None:
        asked = self.source.asked
        self.file.check_invariants()
        assert self.file.persisted or self.source.asked == asked == 0
        assert self.file.size == len(self.data)
        assert self.file.allocated == len(self.solid) - self.solid.count(0)
        assert self.limiter.used_bytes == self.limiter.held_by(INO) == self.file.memory_bytes
        for pieces, meant in self.plans:
            assert self.stored.read(pieces) == meant, "a plan changed after it was given out"

    def teardown(self) -> None:
        assert self.stored.read(self.file.plan(0, len(self.data) + 10)) == self.data


TestFileMachine = FileMachine.TestCase
TestFileMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
