"""A mount after a crash replays the log at about the speed at which the disk can read it."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted

MIB = 1 << 20
LOG_BYTES = 160 * MIB  # below what makes a checkpoint due
TRIES = 5


def read_cold(files: list[Path]) -> float:
    """Seconds to read the files from the disk."""
    taken = 0.0
    for file in files:
        with open(file, "rb", buffering=0) as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            begin = time.monotonic()
            while handle.read(MIB):
                pass
            taken += time.monotonic() - begin
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return taken


@pytest.mark.serial
def test_replay_is_about_as_fast_as_the_disk(mounted: MountedStore) -> None:
    chance = random.Random(17)
    with open(mounted.path / "file", "wb") as file:
        for _ in range(LOG_BYTES // MIB):
            file.write(chance.randbytes(MIB))
    for _ in range(TRIES):  # the best of some: other work on this machine must not decide
        mounted.kill()
        reading = read_cold(sorted((mounted.store / "log").iterdir()))
        begin = time.monotonic()
        mounted.mount()
        mounting = time.monotonic() - begin
        print(f"log of {LOG_BYTES // MIB} MiB: read in {reading:.2f} s, mounted in {mounting:.2f} s")
        if mounting < 3 + 5 * reading:
            break
    else:
        pytest.fail("it takes longer each time")
    assert os.stat(mounted.path / "file").st_size == LOG_BYTES
