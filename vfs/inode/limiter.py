"""Counts the bytes that files keep in memory, and names the file that should give some up first.

It only counts: whoever holds it looks at `over` after a change and makes the `coldest` owner give up bytes.
"""

from collections import OrderedDict


class MemoryLimiter:
    """Bytes in memory by owner (an inode number), in the order in which owners were last charged."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0  # INVARIANT: the sum over all owners
        self._bearable_bytes = limit_bytes  # INVARIANT: at least the limit
        # An OrderedDict: in a dict whose first keys come and go the first key takes ever longer to find.
        self._charged: OrderedDict[int, int] = OrderedDict()  # INVARIANT: every value is > 0

    @property
    def over(self) -> bool:
        """Whether more is used than allowed, or after `wait` than is bearable."""
        return self.used_bytes > self._bearable_bytes

    @property
    def relieved(self) -> bool:
        """Whether an eighth of the limit is free: then it takes a while until there is too much again."""
        return self.used_bytes <= self.limit_bytes - self.limit_bytes // 8

    def charge(self, owner: int, delta: int) -> None:
        """The owner keeps `delta` bytes more (or less); ValueError where that gives back more than it has."""
        charged = self._charged
        held = charged.get(owner, 0) + delta
        if held > 0:
            charged[owner] = held
            charged.move_to_end(owner)
        elif held == 0:
            charged.pop(owner, None)
        else:
            raise ValueError(f"owner {owner} gives back {-held} bytes more than it was charged")
        self.used_bytes += delta
        if self.used_bytes <= self.limit_bytes:
            self._bearable_bytes = self.limit_bytes

    def held_by(self, owner: int) -> int:
        """Bytes charged to the owner."""
        return self._charged.get(owner, 0)

    def coldest(self) -> int | None:
        """The owner with bytes that was charged longest ago, None when nothing is used."""
        return next(iter(self._charged), None)

    def owners(self) -> list[int]:
        """All owners with bytes, the coldest first."""
        return list(self._charged)

    def stop_waiting(self) -> None:
        """What `wait` waited for has happened: more than the limit is too much again."""
        self._bearable_bytes = self.limit_bytes

    def wait(self) -> None:
        """Nobody can give up more before a checkpoint: not `over` until another eighth of the limit is used.

        Without this every single write would ask everybody in vain.
        """
        self._bearable_bytes = max(self.limit_bytes, self.used_bytes + self.limit_bytes // 8)
