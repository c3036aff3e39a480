"""Which calls to the disk are under way in this process, for whoever asks what it waits for.

Promises that any thread may look at any time, also while every other thread waits, and that noting a call
costs about 0.2 µs and no lock. Never knows why a call is made, and never ends one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from time import monotonic
from typing import NamedTuple

CALLS: dict[int, tuple[str, str, float]] = {}
"""By thread: what is done, with which file of the store, since when on the monotonic clock. A thread waits
for one call at a time. The hottest callers write here themselves: a `with` would cost much more."""

LONG = "changes of"
"""What consists of many calls and may rightly take long."""


class DiskCall(NamedTuple):
    """One call that has not come back yet."""

    what: str
    seconds: float
    thread: int
    long: bool

    def __str__(self) -> str:
        return f"{self.what} since {self.seconds:.1f} s"


@contextmanager
def disk_call(what: str, name: str) -> Iterator[None]:
    """Note a call of this thread while it lasts; inside of another one it takes its place."""
    thread = get_ident()
    outer = CALLS.get(thread)
    CALLS[thread] = (what, name, monotonic())
    try:
        yield
    finally:
        if outer is None:
            CALLS.pop(thread, None)  # a hot caller inside has left nothing behind
        else:
            CALLS[thread] = outer


def calls_under_way(least_seconds: float = 0.0) -> list[DiskCall]:
    """The calls that have taken at least so long, the oldest first. For any thread."""
    now = monotonic()
    # copy() is one step for other threads; walking the table itself would not be.
    found = [
        DiskCall(f"{what} {name}", now - since, thread, what == LONG)
        for thread, (what, name, since) in CALLS.copy().items()
    ]
    return sorted((call for call in found if call.seconds >= least_seconds), key=lambda call: -call.seconds)
