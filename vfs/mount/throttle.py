"""Slowing writers down, all of them together.

Promises that writes held up one after the other pass at the rate that was asked for, however many wait at the
same time: the kernel sends a dozen at once. None waits longer than it can be of use. Never holds up anything
else, and never changes their order.
"""

import trio


class Throttle:
    """The line in which writes wait. Lives in the trio thread."""

    def __init__(self) -> None:
        self._free_at = 0.0  # when the last one in the line may go on
        self._line = trio.StrictFIFOLock()  # those who may go on at the same time do so in their order

    async def hold(self, seconds: float, most_seconds: float) -> None:
        """Wait for one's turn and for so long, but no longer than `most_seconds` behind those before."""
        now = trio.current_time()
        begin = max(self._free_at, now)
        self._free_at = free_at = max(begin, min(begin + seconds, now + most_seconds))
        async with self._line:
            await trio.sleep_until(free_at)
