"""The clock that stamps files: the one the kernel stamps with.

Promises nanoseconds since 1970 from the coarse clock (a tick of 1 to 10 ms). With its write-back cache the
kernel stamps written files itself, from that clock; a finer one here would let a change of ours seem
later than a write that came after it.
"""

from time import clock_gettime_ns

CLOCK_REALTIME_COARSE = 5
"""From linux/time.h; Python's time module does not name it."""


def now_ns() -> int:
    """The time to stamp a change with."""
    return clock_gettime_ns(CLOCK_REALTIME_COARSE)
