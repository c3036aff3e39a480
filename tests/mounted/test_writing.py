"""Ways to write a file: appends by two processes, past the page cache, preallocated, synced, at random."""

import errno
import mmap
import os
import random
import sys

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run, start_python, wait_for

pytestmark = pytest.mark.mounted

KIB, MIB = 1 << 10, 1 << 20


def test_appends_of_two_processes_do_not_overwrite_each_other(mounted: MountedStore) -> None:
    (mounted.path / "journal").touch()
    append = """
    import os, sys
    descriptor = os.open("journal", os.O_WRONLY | os.O_APPEND)
    for number in range(2000):
        os.write(descriptor, f"{sys.argv[1]} {number:04}\\n".encode())
        if number % 500 == 0:
            os.fsync(descriptor)
    """
    processes = [start_python(append, name, cwd=mounted.path) for name in "ab"]
    for process in processes:
        wait_for(process)
    for _ in range(2):
        lines = (mounted.path / "journal").read_text().splitlines()
        for name in "ab":
            own = [line for line in lines if line.startswith(name)]
            assert own == [f"{name} {number:04}" for number in range(2000)]
        assert len(lines) == 4000
        mounted.remount()


def test_direct_io(mounted: MountedStore) -> None:
    data = random.Random(12).randbytes(MIB)
    buffer = mmap.mmap(-1, MIB)  # aligned, as direct I/O may want it
    buffer.write(data)
    direct = os.open(mounted.path / "file", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    cached = os.open(mounted.path / "file", os.O_RDWR)
    assert os.writev(direct, [buffer]) == MIB
    assert os.pread(cached, MIB, 0) == data
    os.pwrite(cached, b"through the cache", 4096)
    target = mmap.mmap(-1, 8192)
    assert os.preadv(direct, [target], 0) == 8192
    assert target[:] == data[:4096] + b"through the cache" + data[4096 + 17 : 8192]
    target[:4] = b"DIRE"
    assert os.pwritev(direct, [target], 8192) == 8192
    assert os.pread(cached, 4, 8192) == b"DIRE"
    assert os.preadv(direct, [target], MIB) == 0
    os.close(direct)
    os.close(cached)
    expected = data[:4096] + b"through the cache" + data[4096 + 17 : 8192] + target[:8192] + data[16_384:]
    mounted.kill()
    mounted.mount()
    assert (mounted.path / "file").read_bytes() == expected


def test_posix_fallocate_gives_size_and_keeps_data(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(b"start")
    with open(file, "r+b") as handle:
        os.posix_fallocate(handle.fileno(), 0, 3 * MIB)
        assert os.fstat(handle.fileno()).st_size == 3 * MIB
        os.posix_fallocate(handle.fileno(), MIB, MIB)
        assert os.fstat(handle.fileno()).st_size == 3 * MIB
    # The kernel binding has no fallocate, so the C library does it. What is more than that is refused.
    run("fallocate", "--punch-hole", "--offset=0", "--length=4096", file, exit_code=1)
    assert file.read_bytes() == b"start" + bytes(3 * MIB - 5)
    mounted.remount()
    assert file.read_bytes() == b"start" + bytes(3 * MIB - 5)


def test_every_way_to_sync_returns(mounted: MountedStore) -> None:
    (mounted.path / "folder").mkdir()
    folder = os.open(mounted.path / "folder", os.O_RDONLY | os.O_DIRECTORY)
    for flags in (0, os.O_SYNC, os.O_DSYNC, os.O_APPEND | os.O_SYNC):
        descriptor = os.open(mounted.path / "folder" / f"{flags}", os.O_RDWR | os.O_CREAT | flags)
        os.write(descriptor, b"written")
        os.fdatasync(descriptor)
        os.fsync(descriptor)
        os.fsync(folder)
        os.fdatasync(folder)
        os.close(descriptor)
    reading = os.open(mounted.path / "folder" / "0", os.O_RDONLY)
    os.fsync(reading)
    run("sync", "--file-system", mounted.path)
    os.close(reading)
    os.close(folder)
    mounted.kill()
    mounted.mount()
    contents = {file.read_bytes() for file in (mounted.path / "folder").iterdir()}
    assert contents == {b"written"}
    assert len(os.listdir(mounted.path / "folder")) == 4


def test_copies_inside_the_kernel(mounted: MountedStore) -> None:
    data = random.Random(13).randbytes(3 * MIB + 77)
    (mounted.path / "source").write_bytes(data)
    source = os.open(mounted.path / "source", os.O_RDONLY)
    for name in ("copy_file_range", "sendfile"):
        target = os.open(mounted.path / name, os.O_WRONLY | os.O_CREAT)
        at = 0
        while at < len(data):
            if name == "sendfile":
                at += os.sendfile(target, source, at, len(data) - at)
            else:
                at += os.copy_file_range(source, target, len(data) - at, at)
        os.close(target)
    os.close(source)
    mounted.remount()
    for name in ("copy_file_range", "sendfile"):
        assert (mounted.path / name).read_bytes() == data


def test_offsets_and_lengths_at_the_edges(mounted: MountedStore) -> None:
    with open(mounted.path / "file", "w+b") as handle:
        descriptor = handle.fileno()
        assert os.write(descriptor, b"") == 0
        assert os.pread(descriptor, 10, 0) == b""
        assert os.pread(descriptor, 10, 2**62) == b""
        with pytest.raises(OSError) as caught:
            os.pwrite(descriptor, b"xx", sys.maxsize)
        assert caught.value.errno in (errno.EFBIG, errno.EINVAL)
        with pytest.raises(OSError) as caught:
            os.ftruncate(descriptor, -1)
        assert caught.value.errno == errno.EINVAL
        assert os.fstat(descriptor).st_size == 0
        assert os.writev(descriptor, [b"a" * 4095, b"b", b"", b"c" * 5000]) == 9096
        buffers = [bytearray(4096), bytearray(1), bytearray(9000)]
        assert os.preadv(descriptor, buffers, 0) == 9096
        assert bytes(buffers[0]) == b"a" * 4095 + b"b"
        assert bytes(buffers[1]) == b"c"
        assert bytes(buffers[2][:4999]) == b"c" * 4999


def test_fio_reads_back_what_it_wrote(mounted: MountedStore) -> None:
    settings = ["--size=20M", "--rw=randrw", "--bssplit=512/20:4k/40:20k/20:128k/20", "--fsync=64"]
    settings += ["--fallocate=none", "--verify=crc32c", "--ioengine=psync", "--randseed=3", "--minimal"]
    jobs = [
        (
            "fio",
            f"--name={name}",
            f"--filename={mounted.path}/{name}",
            f"--direct={direct}",
            "--verify_state_save=0",
            *settings,
        )
        for name, direct in (("cached", 0), ("direct", 1))
    ]
    for job in jobs:
        run(*job)
    # A pass that only verifies, of what the first run wrote, after the store was closed and opened.
    mounted.remount()
    for job in jobs:
        run(*job, "--verify_only")
