"""How a file's pieces and the blobs cut from its data become extents.

Blobs are cut from the bytes of a file without its fills, so one blob may reach over a fill, and a fill may
wait for the blob before it. Pure arithmetic: never sees data.
"""

from collections import deque

from vfs.inode.extents import BlobRange, Fill

Placed = BlobRange | Fill


class Layout:
    """The extents of one file, in order, as its data and its blobs come in."""

    def __init__(self) -> None:
        self.extents: list[Placed] = []
        """Ready; the caller may take them away at any time."""
        self.size = 0
        self._waiting: deque[Fill | int] = deque()  # what stands after `extents`; a number is bytes of data
        # INVARIANT: empty, or it begins with data that no blob has come for yet

    def data(self, length: int) -> None:
        """The file goes on with so many bytes of data, whose blobs come later."""
        self.size += length
        waiting = self._waiting
        if waiting and isinstance(waiting[-1], int):
            waiting[-1] += length
        else:
            waiting.append(length)

    def fill(self, length: int, byte: int) -> None:
        """The file goes on with a run of one byte."""
        self.size += length
        if self._waiting:
            _append(self._waiting, Fill(length, byte))
        else:
            _append(self.extents, Fill(length, byte))

    def blob(self, number: int, length: int) -> None:
        """The next bytes of the data are this blob."""
        start = 0
        waiting = self._waiting
        while start < length:
            head = waiting.popleft()
            if isinstance(head, Fill):
                self.extents.append(head)
                continue
            taken = min(head, length - start)
            self.extents.append(BlobRange(taken, number, start))
            start += taken
            if taken < head:
                waiting.appendleft(head - taken)
        while waiting and isinstance(head := waiting[0], Fill):
            waiting.popleft()
            self.extents.append(head)

    def take(self) -> tuple[Placed, ...]:
        """The extents that are ready, which are the caller's now."""
        taken = tuple(self.extents)
        self.extents = []
        return taken


def _append(pieces: list[Placed] | deque[Fill | int], fill: Fill) -> None:
    last = pieces[-1] if pieces else None
    if isinstance(last, Fill) and last.byte == fill.byte:
        pieces[-1] = Fill(last.length + fill.length, fill.byte)
    else:
        pieces.append(fill)
