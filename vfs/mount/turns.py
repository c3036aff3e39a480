"""Whether the owner's thread comes to things when they are due.

Promises to look every 10 ms until no request has come for a second, then once a second, which costs 0.5 % of
one CPU at the most. So what holds the thread is seen up to 10 ms shorter than it is. Never does anything
about it.
"""

import trio

from vfs.mount.requests import Requests, Upkeep

BUSY_SECONDS = 0.01
IDLE_SECONDS = 1.0


async def watch_turns(requests: Requests, upkeep: Upkeep) -> None:
    """Note how late this task is woken, until cancelled. The timer itself is good to a millisecond."""
    seen = requests.total_ns
    quiet_at = now = trio.current_time()
    while True:
        due = now + (BUSY_SECONDS if now < quiet_at else IDLE_SECONDS)
        await trio.sleep_until(due)
        now = trio.current_time()
        upkeep.turn.note(max(0, int((now - due) * 1e9)))
        if requests.total_ns != seen:
            seen = requests.total_ns
            quiet_at = now + IDLE_SECONDS
