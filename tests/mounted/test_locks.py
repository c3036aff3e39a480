"""Locks between processes: flock, fcntl ranges, and their end with the process that held them."""

import fcntl
import os
import struct

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python, wait_for

pytestmark = pytest.mark.mounted

HOLDER = """
import fcntl, sys
file = open("file", "r+b")
{take}
print("held", flush=True)
sys.stdin.readline()
"""

COUNTER = """
import fcntl, os, sys
descriptor = os.open("counter", os.O_RDWR)
for _ in range(300):
    {take}
    value = int(os.pread(descriptor, 20, 0) or b"0")
    os.pwrite(descriptor, b"%d" % (value + 1), 0)
    {leave}
"""


def test_flock_keeps_a_second_process_out(mounted: MountedStore) -> None:
    (mounted.path / "file").write_bytes(b"x")
    holder = start_python(HOLDER.format(take="fcntl.flock(file, fcntl.LOCK_EX)"), cwd=mounted.path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with open(mounted.path / "file", "r+b") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        holder.kill()  # the lock ends with its holder
        holder.communicate()
        fcntl.flock(file, fcntl.LOCK_EX)


def test_fcntl_locks_ranges(mounted: MountedStore) -> None:
    (mounted.path / "file").write_bytes(b"x" * 1000)
    holder = start_python(HOLDER.format(take="fcntl.lockf(file, fcntl.LOCK_EX, 100, 50)"), cwd=mounted.path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with open(mounted.path / "file", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 50, 0)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 150)
        for start, length in ((0, 51), (149, 1), (100, 10), (0, 0)):
            with pytest.raises(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, length, start)
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 100, 1, 0)
        kind, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        assert (kind, start, length, pid) == (fcntl.F_WRLCK, 50, 100, holder.pid)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        wait_for(holder)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_locked_increments_from_three_processes_are_all_there(mounted: MountedStore) -> None:
    counter = mounted.path / "counter"
    for kind in ("flock", "lockf"):
        counter.write_bytes(b"0")
        source = COUNTER.format(
            take=f"fcntl.{kind}(descriptor, fcntl.LOCK_EX)", leave=f"fcntl.{kind}(descriptor, fcntl.LOCK_UN)"
        )
        processes = [start_python(source, cwd=mounted.path) for _ in range(3)]
        for process in processes:
            wait_for(process)
        assert counter.read_bytes() == b"900"
    mounted.remount()
    assert counter.read_bytes() == b"900"
