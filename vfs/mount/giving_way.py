"""How a pass of the packer gives way to clients.

Promises that a pass which nobody waits for works a small part of the time while clients keep the owner's
thread busy, and all of it when they ask for nothing, or when so much waits that writers would be slowed down.
Never makes anybody wait for it: it rests in the pass's own thread, between two pieces of work.

A low priority alone does not do that. The interpreter is one, and a thread that holds it while busy programs
keep it from the processor holds up the owner's thread too, as long as they like.
"""

import time
from collections.abc import Callable

LEAST_SECONDS = 0.001
"""Work between two looks at the clocks."""

LONGEST_SECONDS = 0.05
"""Of one rest: so soon it is seen that clients ask for nothing, or that somebody waits for the pass."""

REST = 8.0
"""Rest over work when the owner's thread does nothing but answer; in proportion when it does less."""

LEAST_SHARE = 0.02
"""What the owner's thread does when nobody asks for anything is less."""


class GivingWay:
    """One pass's rests. Belongs to the pass's thread."""

    def __init__(
        self,
        owner_seconds: Callable[[], float],
        leisure: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`owner_seconds`: processor time that the owner's thread has had; `leisure`: how much of the rests
        the backlog allows, from 1 to 0."""
        # dependencies
        self._owner_seconds = owner_seconds
        self._leisure = leisure
        self._clock = clock
        self._sleep = sleep
        # mutable
        self._looked_at = clock()
        self._owner_had = owner_seconds()
        self._rested = 0.0  # since then

    def step(self) -> float:
        """Between two pieces of work: rest if clients are busy. Returns the seconds of that."""
        elapsed = self._clock() - self._looked_at
        worked = elapsed - self._rested
        if worked < LEAST_SECONDS:
            return 0.0
        # Over the rest as well: while the pass works it keeps the owner's thread from what it would do.
        share = (self._owner_seconds() - self._owner_had) / elapsed
        self._looked_at += elapsed
        self._owner_had += share * elapsed
        self._rested = 0.0
        if share >= LEAST_SHARE:
            rest = min(LONGEST_SECONDS, worked * REST * min(1.0, share) * self._leisure())
            if rest > 0:
                self._sleep(rest)
                self._rested = self._clock() - self._looked_at
        return self._rested
