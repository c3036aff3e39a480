"""The vfs command, whose daemon gives a verb up after 2 s of one call to the disk instead of 30."""

import sys

from vfs.cli import main
from vfs.mount import control_thread

if __name__ == "__main__":
    control_thread.TOLD_SECONDS = 0.5
    control_thread.GIVE_UP_SECONDS = 2.0
    sys.exit(main())
