"""Decoding what a reader will want next, while it works on what it has.

Promises that no reader waits for this, that at most a few blocks are decoded ahead at a time, and that
whoever reads ahead too slowly is simply not helped. Never reports damage: the reader that gets there does.
"""

import logging
from collections import deque

import trio

from vfs.contents import ReadPlan
from vfs.errors import VfsError
from vfs.filesystem import FileSystem

log = logging.getLogger("vfs")

THREADS = 1
"""Decoding ahead at a time: a second one would take the processor that the reader itself needs."""

MOST_WAITING = 2
"""Plans that wait; a newer one takes the place of the oldest, which its reader has passed by then."""


class ReadAhead:
    """Plans to be decoded in the background. Lives in the trio thread."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._threads = trio.CapacityLimiter(THREADS)
        self._waiting: deque[ReadPlan] = deque()
        self._news = trio.Event()

    def want(self, plan: ReadPlan) -> None:
        """Decode the plan soon, and end it."""
        if len(self._waiting) >= MOST_WAITING:
            self._fs.end_read(self._waiting.popleft())
        self._waiting.append(plan)
        self._news.set()

    def follow(self, plan: ReadPlan) -> None:
        """Decode soon what will be asked for after a plan that somebody else runs and ends."""
        if plan.ahead:
            self.want(plan._replace(extents=[], length=0, epoch=self._fs.epochs.enter()))

    async def run(self) -> None:
        """Decode until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(THREADS):
                    nursery.start_soon(self._decode)
        finally:
            while self._waiting:
                self._fs.end_read(self._waiting.popleft())

    async def _decode(self) -> None:
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            plan = self._waiting.popleft()
            try:
                await trio.to_thread.run_sync(self._fs.run_ahead, plan, limiter=self._threads)
            except VfsError as error:
                log.debug("not read ahead: %s", error)
            finally:
                self._fs.end_read(plan)
