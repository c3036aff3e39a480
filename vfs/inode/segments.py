"""Where files find their persisted segments: in the capture on its way to the index, or in the index.

Promises that a segment that was captured is found from that moment on. Never writes.
"""

from vfs.backing.index import Index
from vfs.inode.captured import Captured
from vfs.inode.extent_map import ExtentMap
from vfs.inode.tracker import Tracker


class SegmentRows:
    """A `SegmentSource` over the index and the capture in flight."""

    def __init__(self, index: Index, tracker: Tracker) -> None:
        self._index = index
        self._tracker = tracker

    def _captured(self, ino: int) -> Captured | None:
        capture = self._tracker.capture
        return None if capture is None else capture.segments.get(ino)

    def load_segment(self, ino: int, number: int) -> bytes | None:
        """The encoded map of a segment, None when there is none."""
        captured = self._captured(ino)
        if captured is not None:
            if number in captured.segments:
                return captured.segments[number]
            if captured.voided_from is not None and number >= captured.voided_from:
                return None
        return self._index.load_segment(ino, number)

    def segment_numbers(self, ino: int, first: int, last: int) -> list[int]:
        """Which segments in [first, last] there are, in order."""
        numbers = self._index.segment_numbers(ino, first, last)
        captured = self._captured(ino)
        if captured is None:
            return numbers
        void = captured.voided_from
        kept = {number for number in numbers if void is None or number < void}
        kept.update(number for number in captured.segments if first <= number <= last)
        return sorted(kept)

    def allocated_from(self, ino: int, number: int) -> int:
        """The sum of the allocated bytes of the segments >= number."""
        if self._captured(ino) is None:
            return self._index.allocated_from(ino, number)
        total = 0
        for found in self.segment_numbers(ino, number, 2**62):
            encoded = self.load_segment(ino, found)
            if encoded is not None:
                total += ExtentMap.decode(encoded).allocated
        return total
