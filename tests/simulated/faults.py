"""What can go wrong on a simulated disk: single calls that fail, and the machine that stops.

Only describes; `SimulatedStorage` lets it happen.
"""

import os
from dataclasses import dataclass


class Stopped(BaseException):
    """The machine stopped in the middle of a call. No `except Exception` is in its way, as in real life."""


@dataclass
class Fault:
    """One failure to come.

    `kind`: append, write (of the index), truncate, sync, create, open, rename, unlink, make_folder,
    sync_folder or read; None for the next call of any kind that changes the disk. `name`: only for that file
    or folder. `area`: only for what has a name that begins so. `skip`: so many fitting calls pass first.
    `times`: so many fail. `partial`: bytes of an append that are written all the same.
    """

    code: int
    kind: str | None = None
    name: str | None = None
    skip: int = 0
    times: int = 1
    partial: int = 0
    area: str = ""

    def strikes(self, kind: str, name: str) -> bool:
        """Count a call; whether it fails."""
        if self.times <= 0 or kind != (self.kind or kind) or name != (self.name or name):
            return False
        if not name.startswith(self.area) or (self.kind is None and kind == "read"):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def failure(code: int, name: str = "") -> OSError:
    """Return the error that the system would raise."""
    return OSError(code, os.strerror(code), name)
