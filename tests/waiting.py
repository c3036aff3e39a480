"""Waiting for what comes to pass some time: a minute, however busy the machine is. Never says who is late."""

import time
from collections.abc import Callable

import trio

PATIENCE_SECONDS = 60.0


def eventually(
    condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS, *, otherwise: str = "it did not happen"
) -> None:
    """Return when the condition holds; AssertionError with those words when it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """The same, for a task: others go on meanwhile. trio.TooSlowError when it takes longer."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody could tell
            await trio.sleep(0.005)
