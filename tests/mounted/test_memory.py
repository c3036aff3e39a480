"""A daemon with a small cache serves more than fits into it: nothing is lost, its memory stays bounded."""

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

import vfs as library
from bench.processes import DROP_EVERYTHING, drop_caches
from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore
from tests.mounted.vitals import vitals, watched

pytestmark = pytest.mark.mounted

MIB = 1 << 20
FILES = 2500
ATTRIBUTED = 350
WALKED = 30_000


def resident_bytes(mounted: MountedStore) -> int:
    lines = Path(f"/proc/{mounted.pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def drop_kernel_caches() -> None:
    """Make the kernel forget inodes and ask for data again; without the right to it, all stays as it is."""
    with suppress(OSError):
        drop_caches(DROP_EVERYTHING)


def content(number: int) -> bytes:
    return b"%d " % number * (number % 700)


def test_more_inodes_than_the_cache_holds(mount_store: Mounter) -> None:
    mounted = mount_store("cache_size=1M")
    for number in range(FILES):
        folder = mounted.path / f"{number % 40}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}").write_bytes(content(number))
        if number % 10 == 0:
            os.setxattr(folder / f"{number}", "user.number", b"%d" % number)
    mounted.fsck()  # takes a checkpoint: from here on inodes can be dropped from memory
    held = [os.open(mounted.path / f"{number % 40}" / f"{number}", os.O_RDWR) for number in range(100)]
    for number in range(50):
        os.unlink(mounted.path / f"{number % 40}" / f"{number}")
    for _ in range(2):
        drop_kernel_caches()
        for number in range(50, FILES):
            path = mounted.path / f"{number % 40}" / f"{number}"
            assert os.stat(path).st_size == len(content(number))
            assert path.read_bytes() == content(number)
            if number % 10 == 0:
                assert os.getxattr(path, "user.number") == b"%d" % number
        mounted.fsck()
    for number, descriptor in enumerate(held):
        assert os.pread(descriptor, MIB, 0) == content(number)
        assert os.fstat(descriptor).st_nlink == (number >= 50)
        os.close(descriptor)
    assert sum(len(os.listdir(folder)) for folder in mounted.path.iterdir()) == FILES - 50


def test_memory_stays_bounded_while_small_and_large_writes_come(mount_store: Mounter) -> None:
    mounted = mount_store("cache_size=8M")
    at_first = resident_bytes(mounted)
    chance = random.Random(16)
    descriptors = [os.open(mounted.path / f"{number}", os.O_RDWR | os.O_CREAT) for number in range(20)]
    for number in range(6000):
        # Scattered small writes do not merge: each of them is a piece of its own in memory.
        os.pwrite(descriptors[number % 20], b"%d" % number, chance.randrange(200 * MIB))
        if number % 1000 == 0:
            os.pwrite(descriptors[0], chance.randbytes(8 * MIB), 300 * MIB)
    for descriptor in descriptors:
        os.fsync(descriptor)
        os.close(descriptor)
    grown = resident_bytes(mounted) - at_first
    print(f"{grown / MIB:.1f} MiB more than at first")
    assert grown < 100 * MIB


def test_large_attributes_of_many_files(mount_store: Mounter) -> None:
    mounted = mount_store()
    mounted.unmount()
    values = {f"user.{number}": bytes([number]) * 50_000 for number in range(4)}
    with library.open(mounted.store) as fs:
        for number in range(ATTRIBUTED):
            file = fs.write_bytes(f"/{number}", b"%d" % number).ino
            for name, value in values.items():
                fs.set_xattr(file, name.encode(), value)
    mounted.mount("cache_size=4M")
    at_first = vitals(mounted.pid)
    with watched(mounted.pid) as most:
        for _ in range(2):
            for number in range(ATTRIBUTED):
                path = mounted.path / f"{number}"
                assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == values
        for number in range(ATTRIBUTED):
            os.setxattr(mounted.path / f"{number}", "user.0", b"changed" * 7000)
        mounted.fsck()
    print(f"{at_first} at first, at most {most}")
    assert most.memory_bytes < at_first.memory_bytes + 35 * MIB, "half of what was read"


def test_a_walk_of_many_files(mount_store: Mounter) -> None:
    mounted = mount_store()
    mounted.unmount()
    with library.open(mounted.store) as fs:
        for number in range(WALKED // 100):
            folder = fs.make_directory(f"/{number}").ino
            for name in range(100):
                fs.mknod(folder, b"%d" % name, 0o644)
    mounted.mount("cache_size=1M")
    at_first = vitals(mounted.pid)
    with watched(mounted.pid) as most:
        for _ in range(2):
            found = sum(len(files) for _, _, files in os.walk(mounted.path))
            assert found == WALKED
            drop_kernel_caches()
    print(f"{at_first} at first, at most {most}")
    assert most.memory_bytes < at_first.memory_bytes + 20 * MIB, "a third of what all inodes would take"
