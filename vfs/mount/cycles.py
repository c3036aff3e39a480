"""Python's search for garbage in cycles, kept short.

Promises that what answers requests never waits for a walk through all that is in memory while there are
requests, unless cycles may have piled up for very long. Never frees what is in use, and is not needed for
anything but cycles: all else goes with its last reference.
"""

import gc
import logging
import time

import trio

log = logging.getLogger("vfs")

YOUNG_OBJECTS = 2_000
"""New objects between two looks at these: half a millisecond, and one that all threads wait for.

Each inode is some objects, and hardly anything here is ever a cycle but a task that has ended, which goes
young. With 50,000 of them a look took 15 ms of processor, and 95 while other programs ran.
"""

YOUNG_LOOKS = 3
"""Of those looks before one at what they left: two milliseconds."""

NEVER = 1_000_000_000
"""No look at everything by itself: with a hundred thousand changed files that takes a quarter of a second."""

LOOK_SECONDS = 10.0
QUIET_SHARE = 0.01
"""Of a processor, over `LOOK_SECONDS`: nobody asks for anything then."""

WORTH_LOOKS = 50
"""Half a million objects have grown old: worth a look at everything when all is quiet."""

MOST_LOOKS = 20_000
"""So many have that it is done all the same: 200 million, hours of nothing but new files."""


def shorten() -> None:
    """Have Python look often at a few objects and never at all of them; call once, before requests come."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, NEVER)


class Cycles:
    """Whoever has Python look at everything when that is in nobody's way. Lives in the trio thread."""

    def __init__(self) -> None:
        self._looks = _looks_at_old()
        self._used = time.process_time()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> bool:
        """Do it if it is time; returns whether it was."""
        used, before = time.process_time(), self._used
        self._used = used
        grown = _looks_at_old() - self._looks
        quiet = used - before < QUIET_SHARE * LOOK_SECONDS
        if grown < (WORTH_LOOKS if quiet else MOST_LOOKS):
            return False
        begin = time.monotonic()
        found = gc.collect()
        log.debug("%d objects in cycles freed in %.0f ms", found, 1e3 * (time.monotonic() - begin))
        self._looks = _looks_at_old()
        return True


def _looks_at_old() -> int:
    """How often Python looked at objects of the middle age so far, which makes the rest of them old."""
    return int(gc.get_stats()[1]["collections"])
