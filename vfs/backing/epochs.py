"""Who may still be reading what is about to be unlinked.

Promises that an epoch is drained only when everybody who entered it, or one before it, has left; entering
and leaving cost a dictionary look-up, and nobody ever waits here.
"""

import threading


class Epochs:
    """Readers enter the present epoch and leave the one they entered; whoever removes things looks at both.

    To remove: make the thing unfindable, `advance`, and unlink it once the epoch that was given is `drained`.
    Readers that come meanwhile are in a later epoch and do not put that off.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present = 1
        self._inside: dict[int, int] = {}  # INVARIANT: every value is > 0

    def enter(self) -> int:
        """Begin to read; returns what `leave` needs."""
        with self._lock:
            epoch = self._present
            self._inside[epoch] = self._inside.get(epoch, 0) + 1
            return epoch

    def leave(self, epoch: int) -> None:
        """The reading that began with `enter` has ended."""
        with self._lock:
            left = self._inside[epoch] - 1
            if left:
                self._inside[epoch] = left
            else:
                del self._inside[epoch]

    def advance(self) -> int:
        """Begin a new epoch; returns the one that ends, to be asked for with `drained`."""
        with self._lock:
            ended = self._present
            self._present += 1
            return ended

    def drained(self, epoch: int) -> bool:
        """True when nobody is left who entered that epoch or an earlier one."""
        with self._lock:
            return all(inside > epoch for inside in self._inside)
