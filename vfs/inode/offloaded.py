"""A file's data as extents: a size, and an extent map for every segment that was touched.

Segments are loaded when they are touched, and a segment that does not exist is a hole, so the cost of every
operation follows the extents in its way, never the size of the file. It never reads or writes data.
"""

from collections.abc import Iterable, Sequence

from vfs.errors import FileTooLarge, IndexDamaged
from vfs.inode.captured import Captured, SegmentSource
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import ChunkRange, Extent, Fill, Memory, is_hole, part
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.repack import following
from vfs.limits import SEGMENT_BYTES


class OffloadedFile:
    """The extents of one file.

    A `Memory` handed to `write` belongs to the file from then on. `persisted` says that the source may know
    segments of this file; False spares asking it.
    """

    __slots__ = (
        "_limiter",
        "_segments",
        "_source",
        "allocated",
        "dirty",
        "ino",
        "memory_bytes",
        "persisted",
        "size",
        "voided_from",
    )

    def __init__(
        self,
        ino: int,
        size: int,
        allocated: int,
        source: SegmentSource,
        limiter: MemoryLimiter,
        *,
        persisted: bool,
    ) -> None:
        self._source = source
        self._limiter = limiter

        self.ino = ino

        self.size = size
        self.allocated = allocated  # INVARIANT: the sum over all segments, loaded or not
        self.persisted = persisted
        self._segments: dict[int, ExtentMap] = {}  # INVARIANT: none covers anything past `size`
        self.dirty: set[int] = set()  # INVARIANT: all of them are loaded
        self.voided_from: int | None = None  # persisted segments from this one on are void
        self.memory_bytes = 0  # INVARIANT: the sum over the loaded segments, and what the limiter was charged

    # --- changes ---------------------------------------------------------------------------

    def load(self, offset: int, length: int) -> None:
        """Load the segments of [offset, offset+length), so that a change of that range cannot fail half-way.

        For `truncate` that is the one byte at the new size. The errors are the source's, IndexDamaged, and
        FileTooLarge: no more extents."""
        ends = offset // SEGMENT_BYTES, (offset + max(length, 1) - 1) // SEGMENT_BYTES
        if self.persisted and length > 0:
            for number in self._numbers(*ends):
                self._segment(number)
        for segment in map(self._segments.get, ends):  # what lies between is replaced
            if segment is not None and segment.crowded:
                raise FileTooLarge(f"inode {self.ino} is in too many pieces")

    def write(self, offset: int, pieces: Sequence[Extent]) -> None:
        """Put the pieces, side by side, at `offset`. Extends the size; a gap before them is a hole."""
        for piece in pieces:
            length = piece.length  # read first: a Memory may grow once it is ours
            number, within = divmod(offset, SEGMENT_BYTES)
            if is_hole(piece):
                self._clear(offset, length)
            elif within + length <= SEGMENT_BYTES:
                self._put(number, within, piece)
            else:
                self._put_across(number, within, piece)
            offset += length
            if offset > self.size:
                self.size = offset

    def truncate(self, size: int) -> None:
        """Set the size: what is past it is forgotten, what is new is a hole."""
        before = self.size
        if size < before:
            number, within = divmod(size, SEGMENT_BYTES)
            if within:
                segment = self._segment(number)
                if segment is not None and segment.length > within:
                    self._cut_off(number, segment, within)
                number += 1
            if number * SEGMENT_BYTES < before:
                self._void(number)
        self.size = size

    def punch(self, offset: int, length: int) -> None:
        """Make a hole of [offset, offset+length); never changes the size."""
        end = min(offset + length, self.size)
        if offset < end:
            self._clear(offset, end - offset)

    def settle(self, offset: int, place: ChunkRange) -> None:
        """The bytes at `offset` also lie at `place`: point there.

        That the bytes are the same is the caller's promise. Live they are one whole Memory; while the log is
        replayed they may be split in another way, since memory runs short at other moments, or point there
        already, which is no change.
        ValueError when the range passes the size or crosses a segment's end, as no Memory does.
        """
        number, within = divmod(offset, SEGMENT_BYTES)
        if offset + place.length > self.size or within + place.length > SEGMENT_BYTES:
            raise ValueError(f"no memory at {offset} of {place.length} bytes")
        segment = self._segment(number)
        if segment is None or segment.cut(within, place.length) != [place]:
            self._put(number, within, place)

    def shed(self) -> None:
        """Every Memory that has an origin becomes that range: the same content, so nothing gets dirty."""
        for segment in self._segments.values():
            if segment.buffered_bytes:
                held = segment.memory_bytes
                segment.shed()
                self._charge(segment.memory_bytes - held)

    def repacked(self, number: int, old: bytes, new: bytes) -> None:
        """The source has `new` instead of `old` for a segment, which says the same: follow if it is loaded.

        A clean segment is dropped, to be loaded anew. A dirty one stays dirty; pieces of it that are still
        where `old` says are from now on where `new` says.
        """
        segment = self._segments.get(number)
        if segment is None:
            return
        if number not in self.dirty:
            self._charge(-self._segments.pop(number).memory_bytes)
            return
        held = segment.memory_bytes
        for offset, ranges in following(segment.placed(), ExtentMap.decode(old), ExtentMap.decode(new)):
            segment.replace(offset, ranges)
        self._charge(segment.memory_bytes - held)

    def drop_clean_segments(self) -> None:
        """Forget the loaded segments that the source has as they are."""
        if not self.persisted:
            return
        for number in [number for number in self._segments if number not in self.dirty]:
            self._charge(-self._segments.pop(number).memory_bytes)

    def begin_capture(self) -> Captured:
        """What changed since the last capture, encoded; from now on the source answers for it.

        ValueError when some Memory has no origin (see `unlogged_memory`); then nothing was captured.
        """
        segments = {number: self._segments[number].encode() for number in sorted(self.dirty)}
        captured = Captured(self.voided_from, segments)
        self.dirty = set()
        self.voided_from = None
        # A truncate right after this must void what is on its way to the index.
        self.persisted = self.persisted or bool(segments)
        return captured

    def abandon_capture(self, captured: Captured) -> None:
        """The capture was not persisted and the source no longer answers for it: it is dirty again."""
        for number, encoded in captured.segments.items():
            if number not in self._segments:
                if self.voided_from is not None and number >= self.voided_from:
                    continue  # a truncate has passed it meanwhile
                self._keep(number, ExtentMap.decode(encoded))
            self.dirty.add(number)
        if captured.voided_from is not None:
            self._void_from(captured.voided_from)

    # --- looking ---------------------------------------------------------------------------

    def plan(self, offset: int, length: int) -> list[Extent]:
        """The extents of [offset, offset+length), trimmed, up to the size; the caller's to keep."""
        length = min(length, self.size - offset)
        number, within = divmod(offset, SEGMENT_BYTES)
        segment = self._segments.get(number)
        if segment is not None and within + length <= SEGMENT_BYTES:
            return segment.cut(within, length)
        if length <= 0:
            return []
        end = offset + length
        pieces: list[Extent] = []
        for found in self._numbers(number, (end - 1) // SEGMENT_BYTES):
            segment = self._segment(found)
            start = found * SEGMENT_BYTES
            if segment is None:
                continue
            if offset < start:
                pieces.append(Fill(start - offset, 0))
                offset = start
            # Only what is covered: the rest joins the hole up to the next segment.
            stop = min(end, start + segment.length)
            if offset < stop:
                pieces += segment.cut(offset - start, stop - offset)
                offset = stop
        if offset < end:
            pieces.append(Fill(end - offset, 0))
        return pieces

    def seek_data(self, offset: int) -> int | None:
        """The first offset >= `offset` that is not in a hole; None when there is none before the size."""
        if offset >= self.size:
            return None
        number, within = divmod(offset, SEGMENT_BYTES)
        last = (self.size - 1) // SEGMENT_BYTES
        window = 1
        # Windows that double: a near answer asks the source for little, a far one asks it seldom.
        while number <= last:
            for found in self._numbers(number, min(number + window - 1, last)):
                segment = self._look_up(found)
                data = segment.seek_data(within if found == number else 0) if segment is not None else None
                if segment is not None and data is not None:
                    self._keep(found, segment)  # the next seek goes on from here
                    return found * SEGMENT_BYTES + data
            number += window
            within = 0
            window *= 2
        return None

    def seek_hole(self, offset: int) -> int:
        """The first offset >= `offset` that is in a hole; the size counts as one."""
        number, within = divmod(offset, SEGMENT_BYTES)
        while number * SEGMENT_BYTES < self.size:
            segment = self._look_up(number)
            hole = segment.seek_hole(within) if segment is not None else within
            if hole < SEGMENT_BYTES:
                if segment is not None:
                    self._keep(number, segment)  # the next seek goes on from here
                return min(number * SEGMENT_BYTES + hole, self.size)
            number += 1
            within = 0
        return self.size

    def unlogged_memory(self, segments: Iterable[int] | None = None) -> list[tuple[int, Memory]]:
        """(file offset, Memory) of every Memory without an origin, of the loaded segments or the given ones.

        They must be logged anew and settled before a capture, and before the file changes again.
        """
        found = []
        for number in sorted(self._segments if segments is None else segments):
            segment = self._segments.get(number)
            if segment is not None and segment.buffered_bytes:
                found += [(number * SEGMENT_BYTES + start, memory) for start, memory in segment.unlogged()]
        return found

    def loaded_segment(self, number: int) -> ExtentMap | None:
        """The map of a segment, to look at, if it is in memory."""
        return self._segments.get(number)

    def check_invariants(self) -> None:
        """AssertionError when the file contradicts itself or, as far as it is not loaded, its source."""
        last = (self.size - 1) // SEGMENT_BYTES
        for number, segment in self._segments.items():
            segment.check_invariants()
            assert segment.length == 0 or number * SEGMENT_BYTES + segment.length <= self.size
            assert self.persisted or number in self.dirty or segment.allocated == 0, "changed but not dirty"
            assert number in self.dirty or not segment.unlogged(), "memory that no capture would find"
        assert self.dirty <= self._segments.keys()
        assert self.memory_bytes == sum(segment.memory_bytes for segment in self._segments.values())
        maps = [self._look_up(number) for number in self._numbers(0, max(last, 0))]
        assert self.allocated == sum(segment.allocated for segment in maps if segment is not None)

    # --- segments --------------------------------------------------------------------------

    def _look_up(self, number: int) -> ExtentMap | None:
        """The segment, loaded but not kept if it was not; None for a hole."""
        segment = self._segments.get(number)
        if segment is not None or not self.persisted:
            return segment
        if self.voided_from is not None and number >= self.voided_from:
            return None
        data = self._source.load_segment(self.ino, number)
        if data is None:
            return None
        segment = ExtentMap.decode(data)
        if segment.length and number * SEGMENT_BYTES + segment.length > self.size:
            # A later growth would show these bytes, where there must be a hole. An empty one may lie there,
            # to hide what a snapshot has.
            raise IndexDamaged(f"segment {number} of inode {self.ino} passes the file's size {self.size}")
        return segment

    def _segment(self, number: int) -> ExtentMap | None:
        """The segment, from now on in memory; None for a hole."""
        segment = self._segments.get(number)
        if segment is None and (segment := self._look_up(number)) is not None:
            self._keep(number, segment)
        return segment

    def _keep(self, number: int, segment: ExtentMap) -> None:
        if number not in self._segments:
            self._segments[number] = segment
            self._charge(segment.memory_bytes)

    def _numbers(self, first: int, last: int) -> list[int]:
        """The segments in [first, last] that exist, in order; some of them may be all hole."""
        if first == last:
            return [first]
        numbers = {number for number in self._segments if first <= number <= last}
        if self.persisted:
            last = last if self.voided_from is None else min(last, self.voided_from - 1)
            if first <= last:
                numbers.update(self._source.segment_numbers(self.ino, first, last))
        return sorted(numbers)

    def _put(self, number: int, within: int, piece: Extent) -> None:
        segment = self._segments.get(number)
        if segment is None:
            segment = self._segment(number)
            if segment is None:
                segment = self._segments[number] = ExtentMap()
        allocated, held = segment.allocated, segment.memory_bytes
        segment.replace(within, (piece,))
        self.dirty.add(number)
        self.allocated += segment.allocated - allocated
        if segment.memory_bytes != held:
            self._charge(segment.memory_bytes - held)

    def _put_across(self, number: int, within: int, piece: Extent) -> None:
        self.load(number * SEGMENT_BYTES + within, piece.length)
        skip = 0
        while skip < piece.length:
            length = min(piece.length - skip, SEGMENT_BYTES - within)
            self._put(number, within, part(piece, skip, length))
            skip += length
            number += 1
            within = 0

    def _clear(self, offset: int, length: int) -> None:
        """Make a hole; a segment in which nothing is in the way is neither changed nor made."""
        end = offset + length
        for number in self._numbers(offset // SEGMENT_BYTES, (end - 1) // SEGMENT_BYTES):
            segment = self._segment(number)
            if segment is None:
                continue
            within = max(offset - number * SEGMENT_BYTES, 0)
            stop = end - number * SEGMENT_BYTES
            data = segment.seek_data(within)
            if data is None or data >= stop:
                continue
            if stop >= segment.length:
                self._cut_off(number, segment, within)
            else:
                self._put(number, within, Fill(stop - within, 0))

    def _cut_off(self, number: int, segment: ExtentMap, length: int) -> None:
        allocated, held = segment.allocated, segment.memory_bytes
        segment.truncate(length)
        self.dirty.add(number)
        self.allocated += segment.allocated - allocated
        if segment.memory_bytes != held:
            self._charge(segment.memory_bytes - held)

    def _void(self, first: int) -> None:
        """Forget the segments from `first` on, asking the source only for sums."""
        loaded = sorted(number for number in self._segments if number >= first)
        if self.persisted:
            self.allocated -= self._allocated_outside(first, loaded)
            self._void_from(first)
        for number in loaded:
            segment = self._segments.pop(number)
            self.allocated -= segment.allocated
            self._charge(-segment.memory_bytes)
            self.dirty.discard(number)

    def _void_from(self, first: int) -> None:
        self.voided_from = first if self.voided_from is None else min(first, self.voided_from)

    def _allocated_outside(self, first: int, loaded: list[int]) -> int:
        """Allocated bytes of the persisted segments >= `first` that are not void and not loaded.

        What the source has for a loaded segment may be older than what is loaded, so the sum is taken over
        the gaps between the loaded ones.
        """
        last = (self.size - 1) // SEGMENT_BYTES
        end = last + 1 if self.voided_from is None else min(last + 1, self.voided_from)
        total = 0
        for number in [*loaded, end]:
            stop = min(number, end)
            if first < stop:
                total += self._source.allocated_from(self.ino, first)
                total -= self._source.allocated_from(self.ino, stop)
            first = number + 1
        return total

    def _charge(self, delta: int) -> None:
        if delta:
            self.memory_bytes += delta
            self._limiter.charge(self.ino, delta)
