"""What can be said of a daemon without its owner's thread: what it waits for, and what was last known of it.

Promises answers at once, from any thread, whatever the owner waits for. Never touches the store, nor anything
that the owner changes but single numbers.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from types import FrameType
from typing import Any

from vfs.backing.inflight import DiskCall, calls_under_way

SHOWN_SECONDS = 0.25
"""A call to the disk that takes longer is something that is waited for."""

SLOW_SECONDS = 1.0
"""One that takes so long is nothing that `info` may wait for."""

CONNECTIONS = Path("/sys/fs/fuse/connections")
PACKAGE = str(Path(__file__).resolve().parents[1])


def disk_is_slow() -> bool:
    """Whether something waits for the disk, and has for a while."""
    return any(not call.long for call in calls_under_way(SLOW_SECONDS))


class Watch:
    """What the control thread knows by itself."""

    def __init__(
        self,
        facts: dict[str, Any],
        changing: Callable[[], dict[str, Any]],
        requests: Callable[[], int],
        activity: Callable[[], dict[str, Any]],
        device: str | None,
    ) -> None:
        # constant
        self._facts = facts
        self._changing = changing  # for any thread
        self._requests = requests  # the same
        self._activity_of_mount = activity  # the same
        self._owner = get_ident()
        self._connection = CONNECTIONS / device.partition(":")[2] if device is not None else None
        # mutable
        self._known: tuple[float, dict[str, Any]] | None = None

    def activity(self) -> dict[str, Any]:
        """What was asked of the mount and what was done for it, with the times; of which store."""
        return {**self._facts, **self._activity_of_mount()}

    def longest_wait(self) -> DiskCall | None:
        """The oldest call to the disk, None when none takes long (or one that rightly does)."""
        return next((call for call in calls_under_way(SHOWN_SECONDS) if not call.long), None)

    def complete(self, figures: dict[str, Any]) -> dict[str, Any]:
        """The owner's figures with what is known here; they are remembered."""
        self._known = (time.monotonic(), figures)
        return {
            **self._facts,
            **figures,
            **self._changing(),
            **self._activity_of_mount(),
            "figures_age_seconds": 0.0,
            **self._waits(None),
        }

    def glimpse(self, unheard_seconds: float | None) -> dict[str, Any]:
        """What is known without the owner, which has not heard us for so long (None: it has)."""
        known: dict[str, Any] = {}
        age = None
        if self._known is not None:
            since, known = self._known
            age = round(time.monotonic() - since, 1)
        return {
            **self._facts,
            **known,
            **self._changing(),
            **self._activity_of_mount(),
            "figures_age_seconds": age,
            **self._waits(unheard_seconds),
        }

    def _waits(self, unheard_seconds: float | None) -> dict[str, Any]:
        calls = calls_under_way(SHOWN_SECONDS)
        waiting = [
            {
                "what": call.what,
                "seconds": round(call.seconds, 1),
                "thread": "owner" if call.thread == self._owner else "worker",
            }
            for call in calls
        ]
        if unheard_seconds is not None and not any(call.thread == self._owner for call in calls):
            where = _where(sys._current_frames().get(self._owner))
            waiting.append({"what": where, "seconds": round(unheard_seconds, 1), "thread": "owner"})
        return {"waiting": waiting, "waiting_requests": self.waiting_requests()}

    def waiting_requests(self) -> int:
        """Requests of programs that are not answered: as the kernel counts them, else as the daemon does."""
        if self._connection is not None:
            with suppress(OSError, ValueError):
                return int((self._connection / "waiting").read_text())
        return self._requests()


def _where(frame: FrameType | None) -> str:
    """The innermost place of ours in a stack."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            file = os.path.relpath(code.co_filename, os.path.dirname(PACKAGE))
            return f"{code.co_name} in {file}, line {frame.f_lineno}"
        frame = frame.f_back
    return "its own work"
