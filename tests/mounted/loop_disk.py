"""A small real disk for a store, an ext4 file system on a loop device, that a test can freeze.

Promises that it is thawed and gone at the end. Frozen, it keeps whoever writes to it waiting, as a disk that
hangs does, and forgets nothing; after a minute and a half it thaws by itself, since nothing else would
end who waits.
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


FROZEN_SECONDS = 90.0


class LoopDisk:
    """The disk, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thaw_anyway: threading.Timer | None = None

    def freeze(self) -> None:
        """From here on whoever writes waits."""
        subprocess.run(["fsfreeze", "--freeze", self.path], check=True, timeout=60)
        self._thaw_anyway = threading.Timer(FROZEN_SECONDS, self._thaw)
        self._thaw_anyway.daemon = True
        self._thaw_anyway.start()

    def thaw(self) -> None:
        """Everybody goes on; idempotent."""
        if self._thaw_anyway is not None:
            self._thaw_anyway.cancel()
            self._thaw_anyway = None
            self._thaw()

    def _thaw(self) -> None:
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=False, timeout=60)


@contextmanager
def loop_disk(folder: Path, size_bytes: int = 192 * MIB) -> Iterator[LoopDisk]:
    """Make a disk in a new folder; root only."""
    folder.mkdir()
    image, path = folder / "image", folder / "disk"
    path.mkdir()
    with open(image, "wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", image, path], check=True, timeout=60)
    disk = LoopDisk(path)
    try:
        yield disk
    finally:
        disk.thaw()
        subprocess.run(["umount", path], check=True, timeout=60)
