"""kill -9 of the daemon at a moment that a seed decides, also amid a checkpoint or a pass of the packer.

`VFS_KILL_ROUNDS` says how often each program is hit (`make kill ROUNDS=n`); without it a few times. Never
ends anything but the daemon of the store that it is given.
"""

import os
import random
import subprocess
import time

from tests.mounted.mounting import ROOT, VFS, MountedStore

ASKED_ROUNDS = int(os.environ.get("VFS_KILL_ROUNDS", "0"))

FOUND_ERRORS = 4
"""The exit code of fsck(8); another one says that it could not be done, since the daemon had died."""

MOMENTS = ((), ("fsck",), ("flush",))
"""What the daemon does beside its clients as it dies: nothing, a checkpoint, a pass of the packer."""

FIRST_SEED = int(os.environ.get("VFS_KILL_SEED", "0"))
"""The first seed: another one gives other moments and other loads."""


def seeds(usual: int) -> range:
    """One seed for each kill: as many as were asked for, or the usual number."""
    return range(FIRST_SEED, FIRST_SEED + (ASKED_ROUNDS or usual))


def start_beside(mounted: MountedStore, seed: int) -> subprocess.Popen[bytes] | None:
    """Have the daemon do something that is a good moment to die in, in two of three rounds."""
    verb = MOMENTS[seed % len(MOMENTS)]
    if not verb:
        return None
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*VFS, *verb, str(mounted.path)], cwd=ROOT, stdout=quiet, stderr=quiet)


def kill_amid(mounted: MountedStore, seed: int, *, least_seconds: float, most_seconds: float) -> None:
    """Kill the daemon somewhere between these times from now.

    Its dead mount stays until `clear`. Programs have to end before that: one that is slow would go on in the
    folder below."""
    beside = start_beside(mounted, seed)
    time.sleep(random.Random(seed).uniform(least_seconds, most_seconds))
    mounted.kill_daemon()
    if beside is not None:
        assert beside.wait(timeout=60) != FOUND_ERRORS
