"""Reads that wait for the disk.

Promises that requests are answered meanwhile, and that a disk which answers at once is not made slower by the
way to a thread and back: as long as it does, small reads look again, between other requests, for
pages that the kernel has been asked for. Never looks for longer than LOOK_SECONDS, nor often on a slow disk.
"""

from functools import partial
from typing import Any

import trio

from vfs.coming_pages import is_coming, read_when_here
from vfs.contents import ReadPlan
from vfs.filesystem import FileSystem
from vfs.mount.reading_threads import ReadingThreads

LOOK_SECONDS = 0.0005
"""So long it is worth to look again: by then a thread would have begun, and been heard of."""

LEAST_LOOKS = 3
"""Also when other requests fill that time."""

LEAST_UNTRIED, MOST_UNTRIED = 2, 32
"""Cold reads that go to threads at once, after one that was looked for in vain: twice as many each time, and
half as many after one that came. For a quick disk is slow now and then, and is looked for again soon then."""


class ColdReads:
    """Runs plans. Lives in the trio thread."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._threads = ReadingThreads()
        self._untried = 0
        self._next_untried = LEAST_UNTRIED

    async def run(self, plan: ReadPlan) -> Any:
        """The bytes of a plan, which stays the caller's. DataDamaged."""
        if self._untried:
            self._untried -= 1
        elif is_coming(self._fs, plan):
            data = await self._look(plan)
            if data is not None:
                self._next_untried = max(self._next_untried // 2, LEAST_UNTRIED)
                return data
            self._untried = self._next_untried
            self._next_untried = min(2 * self._untried, MOST_UNTRIED)
        return await self._threads.run(partial(self._fs.run_read, plan), plan.length)

    async def _look(self, plan: ReadPlan) -> Any:
        """The bytes, if they come soon."""
        give_up_at = trio.current_time() + LOOK_SECONDS
        looks = 0
        while looks < LEAST_LOOKS or trio.current_time() < give_up_at:
            await trio.lowlevel.checkpoint()
            data = read_when_here(self._fs, plan)
            if data is not None:
                return data
            looks += 1
        return None
