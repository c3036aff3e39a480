"""Content-defined cutting: a stream of bytes becomes blobs whose bounds depend on the bytes alone.

So an insertion moves the cuts near it and no others, and equal files are cut alike however they were
written. FastCDC 2020 (Xia et al.), in a compiled library; see docs/decisions/0003.
"""

from collections.abc import Iterator

import pyfastcdc
from pyfastcdc import FastCDC

from vfs.backing.creation import CreationOptions
from vfs.backing.storage import Buffer
from vfs.limits import MIB

WINDOW_BYTES = MIB
"""So much is gathered before it is cut: what is left over of it is copied once."""

if ".cy" not in FastCDC.__module__:
    raise ImportError(
        f"pyfastcdc {pyfastcdc.__version__} was installed without its compiled part, which cuts 100 times"
        " as fast; install a wheel, or a C compiler and pyfastcdc again"
    )


class Cutter:
    """Cuts one stream after the other. A stream no longer than the average is one blob."""

    def __init__(self, average_bytes: int, least_bytes: int, most_bytes: int) -> None:
        self._average_bytes = average_bytes
        self._most_bytes = most_bytes
        self._window_bytes = max(WINDOW_BYTES, 2 * most_bytes)
        self._library = FastCDC(average_bytes, min_size=least_bytes, max_size=most_bytes)
        self._pieces: list[Buffer] = []
        self._waiting_bytes = 0  # INVARIANT: the length of all pieces
        self._is_long = False  # the stream has passed the average

    @classmethod
    def of(cls, creation: CreationOptions) -> "Cutter":
        """As a store wants it."""
        return cls(creation.blob_bytes, *creation.bounds)

    def feed(self, data: Buffer) -> Iterator[memoryview]:
        """Take the next bytes of the stream; gives the blobs whose end is certain now.

        The data is kept until it was cut: the caller must not change it.
        """
        if len(data):
            self._pieces.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes >= self._window_bytes:
                yield from self._cut(is_end=False)

    def finish(self) -> Iterator[memoryview]:
        """The stream ends: gives the rest of its blobs. What is fed next is another stream."""
        if self._waiting_bytes:
            yield from self._cut(is_end=True)
        self._is_long = False

    def _cut(self, *, is_end: bool) -> Iterator[memoryview]:
        whole = memoryview(b"".join(self._pieces) if len(self._pieces) != 1 else self._pieces[0])
        self._pieces, self._waiting_bytes = [], 0
        self._is_long = self._is_long or len(whole) > self._average_bytes
        if not self._is_long:
            yield whole
            return
        start = 0
        for found in self._library.cut_buf(whole):
            # A cut at the end of what is here may only be there because nothing more is.
            if found.length < len(whole) - start or is_end:
                yield whole[start : start + found.length]
                start += found.length
        if start < len(whole):
            self._pieces, self._waiting_bytes = [whole[start:]], len(whole) - start
