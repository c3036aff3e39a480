"""Decoded blocks in memory, bounded in bytes, so that a block which is read bit by bit is decoded once.

Promises that readers who want the same block at the same time wait for one decoding, and that what is kept
stays within the bound. Any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable


class BlockCache:
    """The most recently read blocks by number."""

    def __init__(self, limit_bytes: int) -> None:
        # constant
        self.limit_bytes = limit_bytes
        # what belongs to `_lock`
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._decoding: dict[int, threading.Event] = {}
        self.used_bytes = 0  # INVARIANT: the sum over `_blocks`, at most the limit
        self.hits = 0
        self.misses = 0

    def get(self, block: int, decode: Callable[[], bytes]) -> bytes:
        """The decoded block; its errors are those of `decode`, and nothing is kept of a failure."""
        mine = threading.Event()
        while True:
            with self._lock:
                found = self._blocks.get(block)
                if found is not None:
                    self._blocks.move_to_end(block)
                    self.hits += 1
                    return found
                other = self._decoding.setdefault(block, mine)
                if other is mine:
                    self.misses += 1
                    break
            other.wait()
        try:
            data = decode()
            self._keep(block, data)
            return data
        finally:
            with self._lock:
                del self._decoding[block]
            mine.set()

    def peek(self, block: int) -> bytes | None:
        """The block if it is here; never waits."""
        with self._lock:
            found = self._blocks.get(block)
            if found is not None:
                self._blocks.move_to_end(block)
                self.hits += 1
            return found

    def is_decoding(self, block: int) -> bool:
        """Whether somebody is decoding the block just now, so that `get` would wait."""
        return block in self._decoding

    def __contains__(self, block: int) -> bool:
        return block in self._blocks

    def forget(self, blocks: Iterable[int]) -> None:
        """Let go of blocks."""
        with self._lock:
            for block in blocks:
                found = self._blocks.pop(block, None)
                if found is not None:
                    self.used_bytes -= len(found)

    def _keep(self, block: int, data: bytes) -> None:
        if len(data) > self.limit_bytes:
            return
        with self._lock:
            self._blocks[block] = data
            self.used_bytes += len(data)
            while self.used_bytes > self.limit_bytes:
                self.used_bytes -= len(self._blocks.popitem(last=False)[1])
