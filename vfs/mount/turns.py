"""Whether the owner's thread comes to things when they are due.

Promises to look every 50 ms until no request has come for a second, then once a second, which costs at most
half a percent of one CPU (a look takes 0.1 to 0.2 ms, most of it the kernel's). So what holds the thread is
seen up to 50 ms shorter than it is, and what is shorter not always. Never does anything about it.
"""

import trio

from vfs.mount.requests import Requests, Upkeep

BUSY_SECONDS = 0.05
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
