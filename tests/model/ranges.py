"""Which bytes of a file are data and which are hole, kept the plain way: a list of ranges.

It restates in a few lines what extent maps, segments and runs have to add up to; it shares no code with them.
"""

Range = tuple[int, int]
"""First byte, and the byte after the last."""

PAGE = 4096
SHORT_FILL = 64


class DataRanges:
    """The bytes that are not hole. INVARIANT: sorted, not empty, with a gap between any two."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []

    @property
    def total_bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def remove(self, start: int, stop: int) -> None:
        kept = []
        for low, high in self.ranges:
            kept += [part for part in ((low, min(high, start)), (max(low, stop), high)) if part[0] < part[1]]
        self.ranges = kept

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        for low, high in self.ranges:
            if low <= stop and start <= high:
                start, stop = min(start, low), max(stop, high)
        self.remove(start, stop)
        self.ranges = sorted([*self.ranges, (start, stop)])

    def within(self, start: int, stop: int) -> list[Range]:
        parts = [(max(low, start), min(high, stop)) for low, high in self.ranges]
        return [part for part in parts if part[0] < part[1]]

    def write(self, offset: int, data: bytes, frame_bytes: int) -> None:
        """What a write does: runs of zeros, as far as they are looked for, become holes."""
        for first in range(0, len(data), frame_bytes):
            part = data[first : first + frame_bytes]
            start = offset + first
            self.remove(start, start + len(part))
            for low, high in _runs_that_are_data(part):
                self.add(start + low, start + high)

    def seek_data(self, offset: int) -> int | None:
        return next((max(low, offset) for low, high in self.ranges if offset < high), None)

    def seek_hole(self, offset: int, size: int) -> int | None:
        if offset >= size:
            return None
        return next((high for low, high in self.ranges if low <= offset < high), offset)


def _runs_that_are_data(data: bytes) -> list[Range]:
    if len(data) < PAGE:
        return [] if len(data) >= SHORT_FILL and not any(data) else [(0, len(data))]
    found = []
    zeros_before = False
    for start in range(0, len(data), PAGE):
        page = data[start : start + PAGE]
        # A partial page at the end counts only as the continuation of a run.
        zeros_before = not any(page) and (len(page) == PAGE or zeros_before)
        if not zeros_before:
            found.append((start, start + len(page)))
    return found
