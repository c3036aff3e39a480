"""Numbers that are never handed out twice, also across crashes.

A range is reserved in the log ahead of its use; numbers are then taken from memory. After a crash the
next range starts past every reserved one. Never writes the log itself: its owner logs what
`wants_reservation` asks for, and makes it durable before `switch` lets numbers of that range out.
"""

RANGE = 1 << 20
"""Numbers reserved at a time: at 10,000 a second the next range is durable long before it is needed."""


class Sequence:
    """One named sequence of 64-bit numbers.

    INVARIANT: next <= end <= ahead; numbers below `next` were handed out (or lost in a crash), those below
    `end` are durably reserved, those below `ahead` are reserved in the log at LSN `ahead_lsn`.
    """

    __slots__ = ("ahead", "ahead_lsn", "end", "next")

    def __init__(self, next_number: int) -> None:
        self.next = next_number
        self.end = next_number
        self.ahead = next_number
        self.ahead_lsn = 0

    @property
    def wants_reservation(self) -> bool:
        """True when the range after this one should be logged now: half of what is usable is used up."""
        return self.ahead == self.end and self.end - self.next < RANGE // 2

    @property
    def exhausted(self) -> bool:
        """True when no number can be taken before `switch`."""
        return self.next >= self.end

    def next_range_end(self) -> int:
        """End of the range to reserve next."""
        return self.ahead + RANGE

    def reserved(self, end: int, lsn: int) -> None:
        """Note that numbers below `end` are reserved in the log at `lsn`."""
        if end > self.ahead:
            self.ahead = end
            self.ahead_lsn = lsn

    def switch(self) -> None:
        """Let out the numbers reserved ahead; the caller made the log durable up to `ahead_lsn`."""
        self.end = self.ahead

    def skip_reserved(self) -> None:
        """After recovery: whatever was reserved may have been handed out, so go on past it."""
        self.next = self.end = self.ahead

    def take(self) -> int:
        """The next number; the caller checked `exhausted`."""
        number = self.next
        self.next = number + 1
        return number

    def peek(self) -> int:
        """The number that `take` would give."""
        return self.next
