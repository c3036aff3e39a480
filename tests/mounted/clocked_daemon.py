"""The vfs command, whose daemon takes automatic snapshots by a clock of the test's: the seconds in a file.

It looks at it twenty times a second, and says in the file beside it when it has done what is due at a time.
"""

import os
import sys
from pathlib import Path

from vfs.cli import main
from vfs.mount import automatic
from vfs.snapshots import actions

VARIABLE = "VFS_TEST_CLOCK"
LOOKED = ".looked"
"""The suffix of the file that says it."""

look = automatic.Automatic.look


def now_ns() -> int:
    return int(Path(os.environ[VARIABLE]).read_text()) * 10**9


def tell(seconds: int) -> None:
    clock = Path(os.environ[VARIABLE])
    new = clock.with_suffix(".newly" + LOOKED)
    new.write_text(str(seconds))
    new.rename(clock.with_suffix(LOOKED))


async def look_and_tell(self: automatic.Automatic) -> None:
    began = now_ns()
    await look(self)
    tell(began // 10**9)


if __name__ == "__main__":
    automatic.Automatic.look = look_and_tell  # type: ignore[method-assign]
    automatic.LOOK_SECONDS = 0.05
    for module in (automatic, actions):
        setattr(module, "now_ns", now_ns)  # noqa: B010 -- it is not theirs to export
    sys.exit(main())
