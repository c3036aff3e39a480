"""Whether a refusal is right: for what POSIX says, or for a fault of the disk that is under way.

Never looks at the store. `Failure` is what a life ends with when a promise was broken.
"""

import errno

from tests.crash.steps import Step
from vfs.errors import (
    DataDamaged,
    IndexDamaged,
    IndexUnwritten,
    NoSpace,
    OperationError,
    PackUnwritten,
    ReadOnly,
    SnapshotError,
    StoreFailed,
    StoreUnreadable,
    VfsError,
)

READING = ("read", "read_open", "begin_read", "end_read", "release")
NEEDS_NO_ROOM = (*READING, "open", "sync", "begin_sync", "run_sync", "end_sync")
OF_THE_DISK = (DataDamaged, IndexDamaged, IndexUnwritten, PackUnwritten, StoreUnreadable)
OF_A_FAILED_STORE = (ReadOnly, StoreFailed)


class Failure(Exception):
    """The store broke a promise. `kind` is the promise, in a word."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {what}")


class Trouble:
    """Which faults may strike, or have struck, since it was calm the last time."""

    def __init__(self) -> None:
        self.is_small = False
        """The disk has little room."""
        self.errors: set[int] = set()
        self.struck: set[int] = set()
        """What could strike since the store was opened: a sync that failed may be told of later."""

    def __bool__(self) -> bool:
        return self.is_small or bool(self.errors)

    def __repr__(self) -> str:
        names = [errno.errorcode[code] for code in self.errors]
        return f"trouble: {', '.join([*names, *(['little room'] if self.is_small else [])]) or 'none'}"

    def expect(self, code: int) -> None:
        """Calls may fail with that error from now on."""
        self.errors.add(code)
        self.struck.add(code)

    def opened(self) -> None:
        """The store was opened again, and remembers nothing."""
        self.struck = set(self.errors)

    def forget(self) -> None:
        """No call fails any more; the room stays as it is."""
        self.errors.clear()

    @property
    def lacks_room(self) -> bool:
        return self.is_small or errno.ENOSPC in self.errors


def is_right_refusal(
    step: Step, error: VfsError, expected: Exception | None, trouble: Trouble, *, failed: bool
) -> bool:
    """Whether the step may end with that error. `expected` is what POSIX alone would answer."""
    if step.verb == "rollback" and isinstance(error, SnapshotError) and isinstance(error.__cause__, VfsError):
        error = error.__cause__
    if isinstance(error, NoSpace):
        return trouble.lacks_room and step.verb not in NEEDS_NO_ROOM
    if isinstance(error, OF_A_FAILED_STORE):
        return failed and step.verb not in READING
    if isinstance(error, OF_THE_DISK):
        return errno.EIO in trouble.errors
    if step.verb == "rename" and isinstance(expected, OperationError):
        return True  # several things can be wrong at once, and which of them is told is free
    return type(error) is type(expected)
