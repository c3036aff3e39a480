"""The vfs command on a disk that is slow to sync and to read: each sync, and each read, takes 0.2 s
more, or VFS_SLOW_SECONDS. With VFS_SLOW_UNTIL each sync takes until there is a file of that name."""

import os
import sys
import time

from vfs.backing.inflight import disk_call
from vfs.backing.log import Log, SyncTicket
from vfs.cli import main
from vfs.contents import ReadPlan
from vfs.filesystem import FileSystem
from vfs.mount import cold_reads

SLOW_SECONDS = float(os.environ.get("VFS_SLOW_SECONDS", "0.2"))
SLOW_UNTIL = os.environ.get("VFS_SLOW_UNTIL")

run_sync, run_read = FileSystem.run_sync, FileSystem.run_read


def sync_slowly(fs: FileSystem, ticket: SyncTicket) -> None:
    with disk_call("sync of", "log"):
        if SLOW_UNTIL is None:
            time.sleep(SLOW_SECONDS)
        else:
            while not os.path.exists(SLOW_UNTIL):
                time.sleep(0.01)
    run_sync(fs, ticket)


def nothing_is_resident(fs: FileSystem, ino: int, offset: int, length: int) -> None:
    """No byte is in memory: every read has to wait for the disk."""


def nothing_is_coming(log: Log, plan: ReadPlan) -> bool:
    """Nor does it come soon."""
    return False


def read_slowly(fs: FileSystem, plan: ReadPlan) -> bytes | memoryview:
    time.sleep(SLOW_SECONDS)
    return run_read(fs, plan)


if __name__ == "__main__":
    FileSystem.run_sync = sync_slowly  # type: ignore[assignment, method-assign]
    FileSystem.read_resident = nothing_is_resident  # type: ignore[assignment, method-assign]
    FileSystem.run_read = read_slowly  # type: ignore[assignment, method-assign]
    vars(cold_reads)["is_coming"] = nothing_is_coming
    sys.exit(main())
