"""The vfs command, whose daemon takes automatic snapshots by a clock of the test's: the seconds in a file.

It looks at it twenty times a second.
"""

import os
import sys
from pathlib import Path

from vfs.cli import main
from vfs.mount import automatic
from vfs.snapshots import actions

VARIABLE = "VFS_TEST_CLOCK"


def now_ns() -> int:
    return int(Path(os.environ[VARIABLE]).read_text()) * 10**9


if __name__ == "__main__":
    automatic.LOOK_SECONDS = 0.05
    for module in (automatic, actions):
        setattr(module, "now_ns", now_ns)  # noqa: B010 -- it is not theirs to export
    sys.exit(main())
