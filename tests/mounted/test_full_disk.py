"""The disk under the store fills up: what was acknowledged stays, and work goes on once there is room."""

import errno
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import needs_root

pytestmark = [pytest.mark.mounted, needs_root]

MIB = 1 << 20
BLOCK_BYTES = 4 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 150 MiB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "small", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def block(file: Path) -> bytes:
    """What a file holds: no two the same, or packing would make room for ever."""
    return random.Random(str(file)).randbytes(BLOCK_BYTES)


def fill(folder: Path, first: int = 0) -> list[Path]:
    """Write files of one block each, synced, until there is no room; returns those that were acknowledged."""
    written: list[Path] = []
    for number in range(first, 1000):
        file = folder / f"{number}"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
            try:
                os.write(descriptor, block(file))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return written
        written.append(file)
    pytest.fail("it never got full")


def make_links(folder: Path) -> None:
    for number in range(100_000):
        (folder / f"link-{number}").symlink_to("x" * 4000)


def wait_for_room(folder: Path, room_bytes: int) -> None:
    """Removed data makes room once chunks of the log are free of data, after a checkpoint or several."""
    end = time.monotonic() + 60
    while True:
        status = os.statvfs(folder)
        if status.f_bavail * status.f_frsize > room_bytes:
            return
        assert time.monotonic() < end, "no room was made"
        time.sleep(0.1)


def test_a_full_disk(small_disk: Path) -> None:
    mounted = MountedStore(small_disk)
    mounted.mount()
    try:
        more = mounted.path / "more"
        more.mkdir()
        written = fill(mounted.path)
        assert len(written) > 20
        end = time.monotonic() + 60
        while os.statvfs(mounted.path).f_bavail >= 4 * MIB // 4096:
            # Since the write that found none, a checkpoint has made room.
            written += fill(mounted.path, first=int(written[-1].name) + 1)
            assert time.monotonic() < end, "it says that there is room, and takes nothing"
        with pytest.raises(OSError) as caught:
            make_links(more)
        assert caught.value.errno == errno.ENOSPC
        assert all(file.read_bytes() == block(file) for file in written)
        for file in written[2:]:
            file.unlink()
        wait_for_room(mounted.path, 12 * BLOCK_BYTES)
        written = written[:2] + fill(more)
        assert len(written) > 10
        for again in (mounted.kill, mounted.unmount):
            assert all(file.read_bytes() == block(file) for file in written)
            again()
            mounted.fsck()
            mounted.mount()
        assert all(file.read_bytes() == block(file) for file in written)
    finally:
        mounted.finish()
