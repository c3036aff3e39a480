"""Files of the mount mapped into memory: shared by processes, written back, and lasting as msync promises."""

import mmap
import os
import random
from contextlib import suppress

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python, wait_for

pytestmark = pytest.mark.mounted

PAGE = mmap.PAGESIZE


def test_a_shared_mapping_is_one_memory_for_two_processes(mounted: MountedStore) -> None:
    file = mounted.path / "shared"
    file.write_bytes(bytes(64 * PAGE))
    # The other process waits for a byte to appear in its mapping, and answers in another page.
    other = start_python(
        """
        import mmap, sys, time
        with open("shared", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
            print("ready", flush=True)
            end = time.monotonic() + 60
            while mapping[0] != 7 and time.monotonic() < end:
                time.sleep(0.001)
            mapping[63 * mmap.PAGESIZE] = mapping[0] + 1
        """,
        cwd=mounted.path,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    with open(file, "r+b") as handle, mmap.mmap(handle.fileno(), 0) as mapping:
        mapping[0] = 7
        wait_for(other)
        assert mapping[63 * PAGE] == 8
        # read(2) and write(2) see and change what is mapped.
        assert os.pread(handle.fileno(), 1, 63 * PAGE) == b"\x08"
        os.pwrite(handle.fileno(), b"written", 10 * PAGE - 3)
        assert mapping[10 * PAGE - 3 : 10 * PAGE + 4] == b"written"
    mounted.remount()
    kept = file.read_bytes()
    assert (kept[0], kept[63 * PAGE], kept[10 * PAGE - 3 : 10 * PAGE + 4]) == (7, 8, b"written")


def test_what_msync_acknowledged_survives_a_kill(mounted: MountedStore) -> None:
    chance = random.Random(4)
    file = mounted.path / "mapped"
    size = 5 * (1 << 20) + 123
    expected = bytearray(size)
    handle = os.open(file, os.O_RDWR | os.O_CREAT)
    os.ftruncate(handle, size)
    mapping = mmap.mmap(handle, size)
    for _ in range(300):
        data = chance.randbytes(chance.randrange(1, 9000))
        at = chance.randrange(size - len(data))
        mapping[at : at + len(data)] = expected[at : at + len(data)] = data
    mapping.flush()
    mounted.kill()
    mapping.close()
    with suppress(OSError):
        os.close(handle)
    mounted.mount()
    assert file.read_bytes() == expected
    assert os.stat(file).st_blocks * 512 < size + (1 << 20)


def test_a_private_mapping_changes_nothing(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(b"a" * (3 * PAGE))
    with open(file, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY) as mapping:
        mapping[PAGE] = 0
        assert os.pread(handle.fileno(), 1, PAGE) == b"a"
    mounted.remount()
    assert file.read_bytes() == b"a" * (3 * PAGE)


def test_a_mapping_outlives_its_descriptor_and_its_name(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(bytes(range(256)) * 64)
    with open(file, "r+b") as handle:
        mapping = mmap.mmap(handle.fileno(), 0)
    file.unlink()
    mapping[5000:5003] = b"xyz"
    mapping.flush()
    assert mapping[4996:5006] == bytes([132, 133, 134, 135]) + b"xyz" + bytes([139, 140, 141])
    mapping.close()
    assert os.listdir(mounted.path) == []
