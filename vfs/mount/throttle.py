"""Slowing writers down, all of them together.

Promises that writes held up one after the other pass at the rate that was asked for, however many wait at the
same time: the kernel sends a dozen at once. Never holds up anything else, and never changes their order.
"""

import trio


class Throttle:
    """The line in which writes wait. Lives in the trio thread."""

    def __init__(self) -> None:
        self._free_at = 0.0  # when the last one in the line may go on

    async def hold(self, seconds: float) -> None:
        """Wait for one's turn and for so long."""
        self._free_at = max(self._free_at, trio.current_time()) + seconds
        await trio.sleep_until(self._free_at)
