"""Look-ups that come in the order of a directory: how far it is worth to read ahead of them.

Promises that look-ups in any other order never read more than they ask for, and that what is read ahead is
bounded. Only counts: never reads anything.
"""

NEAR = 16
"""Look-ups that leave out at most so many cookies come in order."""

FIRST_WIDTH = 16
MOST_WIDTH = 128
"""Entries that are read ahead: twice as many each time. 128 of them take the time of some thirty look-ups in
the index, and are worth 128."""

_NOWHERE = -2 * NEAR


class InOrder:
    """The look-ups in one directory that found nothing in memory."""

    __slots__ = ("_next", "_width")

    def __init__(self) -> None:
        self._next = _NOWHERE  # the cookie from which on nothing was read ahead
        self._width = 0

    def width(self, cookie: int) -> int:
        """How many entries, that of the look-up among them, to read now; 0: no more than it needs."""
        in_order = 0 <= cookie - self._next <= NEAR
        self._width = min(max(2 * self._width, FIRST_WIDTH), MOST_WIDTH) if in_order else 0
        self._next = cookie + 1
        return self._width

    def reached(self, cookie: int) -> None:
        """All up to this one has been read."""
        self._next = cookie + 1
