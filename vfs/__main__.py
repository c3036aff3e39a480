"""`python -m vfs`: the same as the command `vfs`. Nothing else stands here."""

import sys

from vfs.cli import main

if __name__ == "__main__":
    sys.exit(main())
