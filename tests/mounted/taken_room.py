"""How much of the disk a store takes while its daemon works: files may go as we look, and count for nothing.

Never follows a link, and never asks the daemon.
"""

import os
from contextlib import suppress
from pathlib import Path


def taken_bytes(top: Path) -> int:
    """Of the disk, by all that lies in the folder of a store, or in one inside it."""
    total = 0
    for folder, names, others in os.walk(top):
        for name in [*names, *others]:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
