"""Work that is looked for again and again beside requests, and that nobody has asked for.

Promises that a failure (a full disk, damaged data, a bug) is told once, only puts the work off, and never
ends the mount.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from vfs.errors import NoSpace, StoreFailed, VfsError
from vfs.mount.logs import tell_once

log = logging.getLogger("vfs")

RETRY_SECONDS = 30.0
"""How long all of it is put off after a failure: by then a disk may have room again."""

FULL_SECONDS = 5.0
"""The same on a full disk, where each delete may have made the room that is missing."""


class Background:
    """One kind of such work: `step` does what there is to do at a moment."""

    def __init__(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        self._what = what
        self._step = step
        self._told = ""  # the last failure that was logged: once is enough
        self.stopping = False
        """The mount ends: what fails now is not told any more."""

    async def run(self, look_seconds: float) -> None:
        """Look and work, until cancelled."""
        while True:
            await trio.sleep(look_seconds)
            try:
                await self._step()
                self._told = ""
            except NoSpace as error:
                self._tell(logging.WARNING, error)
                await trio.sleep(FULL_SECONDS)
            except StoreFailed as error:
                tell_once(str(error))
                await trio.sleep(RETRY_SECONDS)
            except VfsError as error:
                self._tell(logging.ERROR, error)
                await trio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("unexpected error while %s; it is tried again", self._what)
                await trio.sleep(RETRY_SECONDS)

    def _tell(self, level: int, error: VfsError) -> None:
        if not self.stopping and str(error) != self._told:
            self._told = str(error)
            log.log(level, "%s put off: %s", self._what, error)
