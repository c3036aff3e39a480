"""Raw data that waits to be packed: when it is worth a pass, and how much writers have to be slowed down.

Promises that a trickle makes few packs and a flood many, and that writers meet a slope, never a wall. Only
arithmetic on figures that others set; the time is always given.
"""

from vfs.limits import MIB

LIMIT_BYTES = 2048 * MIB
"""Here writers are as slow as packing; up to half of it they are not slowed down at all."""

ENOUGH_BYTES = 32 * MIB
"""So much is worth a pass as soon as it has cooled; less waits longer, in proportion."""

COOL_SECONDS = 5.0
"""What was written a moment ago is often overwritten or removed in the next."""

LONGEST_SECONDS = 3600.0
"""Even a few bytes are packed after an hour."""

UNBROKEN_SECONDS = 2.0
"""A pass that begins so soon after the last one goes on with it: what lay between is part of the work."""

RETRY_SECONDS = 30.0
"""How long packing is put off after a failure."""

LONGEST_DELAY_SECONDS = 1.0
"""Most that one write is held up."""

FIRST_RATE = 100.0 * MIB
"""Bytes packed per second, until that was measured."""


class Backlog:
    """Figures of what waits. `committed_bytes` are named by the index and can be packed now."""

    def __init__(self, limit_bytes: int, now: float) -> None:
        self._limit_bytes = limit_bytes
        self.committed_bytes = 0
        self.logged_bytes = 0
        """Logged since the last checkpoint began."""
        self.room_bytes: int | None = None
        """What the disk has left, as of the last look; None before it."""
        self.stuck = False
        """There is too little room for packing."""
        self.rate = FIRST_RATE
        self._packed_at = now
        self._not_before = now

    @property
    def bytes(self) -> int:
        """All that waits."""
        return self.committed_bytes + self.logged_bytes

    @property
    def limit_bytes(self) -> int:
        """Here writers are as slow as packing; lower where more would fill the disk."""
        if self.room_bytes is None:
            return self._limit_bytes
        return max(1, min(self._limit_bytes, (self.room_bytes + self.bytes) // 2))

    @property
    def packing_seconds(self) -> float:
        """How long packing takes for all that waits."""
        return self.bytes / self.rate

    @property
    def pressing(self) -> bool:
        """Whether it should not wait to cool any more."""
        return self.bytes > self.limit_bytes // 4

    def ready(self, now: float) -> bool:
        """Whether a pass can begin: there is something, and it was not put off."""
        return self.committed_bytes > 0 and now >= self._not_before

    def due(self, now: float, cooling_since: float) -> bool:
        """Whether a pass should begin; what can be packed is there since `cooling_since`."""
        if not self.ready(now):
            return False
        if self.pressing:
            return True
        wait = min(LONGEST_SECONDS, COOL_SECONDS * max(1.0, ENOUGH_BYTES / self.committed_bytes))
        return now - self._packed_at >= wait and now - cooling_since >= COOL_SECONDS

    @property
    def leisure(self) -> float:
        """How far passes may give way to clients: 1 up to a quarter of the limit, where they begin to press,
        less from there on, and 0 at half of it, where writers would begin to pay for that."""
        return min(1.0, max(0.0, 2 - 4 * self.bytes / self.limit_bytes))

    def packed(self, raw_bytes: int, seconds: float, now: float, rested_seconds: float = 0.0) -> None:
        """A pass has ended; what of it were rests says nothing of how fast packing is."""
        if now - seconds - self._packed_at < UNBROKEN_SECONDS:
            seconds = now - self._packed_at
        seconds -= rested_seconds
        self._packed_at = now
        if raw_bytes >= MIB and seconds > 0:
            self.rate = (self.rate + raw_bytes / seconds) / 2

    def put_off(self, now: float, seconds: float) -> None:
        """A pass found nothing to do, or failed: no other before that time has passed."""
        self._not_before = now + seconds

    def delay_seconds(self, length: int, *, full: bool = False) -> float:
        """How long a write of so many bytes should wait, so that packing keeps up.

        On a full disk that no packing relieves it does not: it fails, and should do so at once.
        """
        if full and (self.stuck or self.bytes < MIB):
            return 0.0
        over = 2 * self.bytes / self.limit_bytes - 1
        if over <= 0:
            return 0.0
        slower = over**2 if over <= 1 else over**4
        return min(LONGEST_DELAY_SECONDS, length / self.rate * slower)
