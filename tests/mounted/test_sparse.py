"""Sparse files: huge ones, copies with holes, what du shows, and truncation up and down."""

import os
import random
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run
from tests.mounted.taken_room import taken_bytes

pytestmark = pytest.mark.mounted

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def occupied(path: Path) -> int:
    return os.stat(path).st_blocks * 512


def test_a_file_of_5_gib_with_islands_of_data(mounted: MountedStore) -> None:
    file = mounted.path / "huge"
    islands = {0: b"start", GIB + 5: b"first", 4 * GIB - 3: b"across", 5 * GIB - 3: b"end"}
    with open(file, "wb") as handle:
        for at, data in islands.items():
            handle.seek(at)
            handle.write(data)
    for _ in range(2):
        assert os.stat(file).st_size == 5 * GIB
        assert 0 < occupied(file) < MIB
        assert int(run("du", "--block-size=1", file).split()[0]) == occupied(file)
        with open(file, "rb") as handle:
            for at, data in islands.items():
                handle.seek(max(0, at - 10))
                around = handle.read(10 + len(data) + 10) if at else handle.read(len(data) + 10)
                expected = bytes(10 if at else 0) + data + (b"" if data == b"end" else bytes(10))
                assert around == expected
        mounted.remount()
    assert taken_bytes(mounted.store) < 8 * MIB


def test_cp_sparse_makes_holes_and_reflink_falls_back(mounted: MountedStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    chance = random.Random(6)
    with open(source, "wb") as handle:
        for block in range(64):
            handle.seek(block * 512 * KIB)
            handle.write(chance.randbytes(8 * KIB))
        handle.truncate(40 * MIB)
    run("cp", "--sparse=always", source, mounted.path / "copy")
    run("cp", "--sparse=auto", "--reflink=auto", mounted.path / "copy", mounted.path / "second")
    run("cmp", source, mounted.path / "copy")
    run("cmp", source, mounted.path / "second")
    assert occupied(mounted.path / "copy") == 64 * 8 * KIB
    mounted.remount()
    run("cmp", source, mounted.path / "copy")
    run("cmp", source, mounted.path / "second")
    assert occupied(mounted.path / "copy") == 64 * 8 * KIB


def test_st_blocks_follow_writes_and_truncation(mounted: MountedStore) -> None:
    # With its write-back cache the kernel asks for st_blocks anew only after a close, not after each write.
    file = mounted.path / "file"
    chance = random.Random(7)
    file.write_bytes(chance.randbytes(MIB))
    assert occupied(file) == MIB
    os.truncate(file, 512 * KIB)
    assert occupied(file) == 512 * KIB
    os.truncate(file, 10 * MIB)
    assert occupied(file) == 512 * KIB
    with open(file, "r+b") as handle:
        os.pwrite(handle.fileno(), chance.randbytes(4 * KIB), 8 * MIB)
    assert occupied(file) == 516 * KIB
    with open(file, "ab") as handle:
        handle.write(chance.randbytes(64 * KIB))
    assert occupied(file) == 580 * KIB
    mounted.remount()
    assert occupied(file) == 580 * KIB


def test_truncated_data_never_comes_back(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    data = random.Random(8).randbytes(100_000)
    with open(file, "w+b") as handle:
        descriptor = handle.fileno()
        os.pwrite(descriptor, data, 0)
        for size in (70_001, 4097, 4096, 4095, 1, 0):
            os.ftruncate(descriptor, size)
            os.ftruncate(descriptor, 100_000)
            assert os.pread(descriptor, 100_001, 0) == data[:size] + bytes(100_000 - size)
            os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, 5000)
        os.fsync(descriptor)
        os.ftruncate(descriptor, 3 * MIB)
        os.pwrite(descriptor, b"after", 2 * MIB)
    expected = data[:5000] + bytes(2 * MIB - 5000) + b"after" + bytes(MIB - 5)
    assert file.read_bytes() == expected
    mounted.kill()
    mounted.mount()
    assert file.read_bytes() == expected


def test_random_writes_and_truncations_equal_those_on_the_host(mounted: MountedStore, tmp_path: Path) -> None:
    chance = random.Random(9)
    here, there = mounted.path / "file", tmp_path / "file"
    descriptors = [os.open(path, os.O_RDWR | os.O_CREAT) for path in (here, there)]
    for step in range(600):
        at = int(chance.paretovariate(0.4) * 100) % (20 * MIB)
        if step % 10 == 9:
            for descriptor in descriptors:
                os.ftruncate(descriptor, at)
        else:
            data = chance.randbytes(1) * chance.randrange(70_000) if step % 3 else chance.randbytes(9000)
            for descriptor in descriptors:
                os.pwrite(descriptor, data, at)
        if step % 50 == 49:
            os.fsync(descriptors[0])
            assert os.fstat(descriptors[0]).st_size == os.fstat(descriptors[1]).st_size
    for descriptor in descriptors:
        os.close(descriptor)
    run("cmp", here, there)
    mounted.remount()
    run("cmp", here, there)


def test_seek_data_and_seek_hole_answer_as_the_kernel_can(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    with open(file, "wb") as handle:
        handle.truncate(MIB)
        # pyfuse3 has no lseek handler: to the kernel the file is all data, with its hole at the end.
        assert os.lseek(handle.fileno(), 0, os.SEEK_DATA) == 0
        assert os.lseek(handle.fileno(), 0, os.SEEK_HOLE) == MIB


def test_the_largest_files(mounted: MountedStore) -> None:
    sizes = (2**31, 2**40, 2**62, 2**63 - 1)
    for size in sizes:
        file = mounted.path / f"{size}"
        file.touch()
        os.truncate(file, size)
        assert (os.stat(file).st_size, os.stat(file).st_blocks) == (size, 0)
        with open(file, "r+b") as handle:
            os.pwrite(handle.fileno(), b"end", min(size, 2**62) - 3)
    mounted.remount()
    for size in sizes:
        file = mounted.path / f"{size}"
        assert os.stat(file).st_size == size
        with open(file, "rb") as handle:
            assert os.pread(handle.fileno(), 10, min(size, 2**62) - 4)[:4] == b"\0end"
        os.truncate(file, 0)
        assert os.stat(file).st_blocks == 0
