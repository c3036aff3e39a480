"""Checkpoints beside operations: what is logged, cloned or let go between a capture's moment and its end."""

import os
import time
from pathlib import Path

import pytest

import vfs
from vfs import FileSystem
from vfs.inode.inode import Inode


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"


def opened(store: Path) -> FileSystem:
    """The store, with a little memory, and checkpoints only where a test takes one."""
    fs = vfs.open(store, cache_bytes=1 << 20)
    fs.autopilot = False
    return fs


def unlinked_file(fs: FileSystem, pieces: list[bytes]) -> Inode:
    """A file that is open and has no name."""
    inode = fs.mknod(1, b"unlinked", 0o644)
    fs.open(inode.ino)
    offset = 0
    for piece in pieces:
        offset += fs.write(inode.ino, offset, piece)
    fs.unlink(1, b"unlinked")
    return inode


def end_checkpoint(fs: FileSystem) -> None:
    """All of a checkpoint that comes after its beginning."""
    while not fs.gather_checkpoint():
        pass
    fs.sync()
    fs.commit_checkpoint()
    fs.end_checkpoint()


def write_chunks(fs: FileSystem, path: str, count: int) -> None:
    """Fill so many small chunks of the log."""
    inode = fs.write_bytes(path, b"")
    for number in range(3 * count):
        fs.write(inode.ino, 30_000 * number, os.urandom(30_000))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.backing.log.CHUNK_BYTES", 100_000)


def test_memory_of_an_unlinked_file_settled_after_the_moment_of_a_capture_that_never_takes_it(
    store: Path,
) -> None:
    fs = opened(store)
    gone = unlinked_file(fs, [os.urandom(100) for _ in range(100)])
    fs.begin_checkpoint()
    other = fs.mknod(1, b"other", 0o644)
    assert gone.file is not None
    while gone.file.unlogged_memory():  # until memory runs short
        fs.write(other.ino, other.size, os.urandom(100))
    fs.release(gone.ino)
    end_checkpoint(fs)
    fs.store.close()  # as a kill leaves it: the record that settles the file stands behind the checkpoint
    with vfs.open(store) as fs:
        assert fs.replayed_records > 0
        assert fs.listdir() == [b"other"]
    assert vfs.check(store).clean


@pytest.mark.usefixtures("small_chunks")
def test_a_clone_outlives_a_source_that_is_dropped_during_a_capture(store: Path) -> None:
    fs = opened(store)
    data = os.urandom(20_000)
    source = unlinked_file(fs, [data])
    target = fs.mknod(1, b"target", 0o644)
    write_chunks(fs, "/filler", 3)
    fs.remove("/filler")  # nothing of the first chunk is needed but the source
    fs.begin_checkpoint()
    fs.clone_range(source.ino, 0, len(data), target.ino, 0)
    fs.release(source.ino)
    end_checkpoint(fs)
    assert fs.read_bytes("/target") == data
    fs.close()
    with vfs.open(store) as fs:
        assert fs.read_bytes("/target") == data
    assert vfs.check(store).clean


@pytest.mark.usefixtures("small_chunks")
def test_a_damaged_header_of_an_old_chunk_keeps_no_other_chunk(store: Path) -> None:
    with vfs.open(store) as fs:
        write_chunks(fs, "/file", 4)
        chunks = fs.log.chunk_numbers()
    with open(store / "log" / f"chunk-{chunks[0]:08d}", "r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    with vfs.open(store) as fs:
        fs.remove("/file")
        fs.checkpoint()
        assert fs.log.chunk_numbers() == [chunks[0], chunks[-1]]
    assert vfs.check(store).clean


def gathering_seconds(store: Path, files: int) -> float:
    """For one file, when so many were made since the last checkpoint."""
    vfs.mkfs(store)
    with opened(store) as fs:
        for number in range(files):
            fs.mknod(1, b"%d" % number, 0o644)
        fs.begin_checkpoint()
        begin = time.process_time()
        while not fs.gather_checkpoint():
            pass
        seconds = time.process_time() - begin
        fs.sync()
        fs.commit_checkpoint()
        fs.end_checkpoint()
    return seconds / files


def test_gathering_takes_no_longer_for_each_when_there_are_many(tmp_path: Path) -> None:
    few = min(gathering_seconds(tmp_path / f"few{number}", 4000) for number in range(3))
    # Once more where a neighbour of the machine has slowed it down for a moment.
    assert any(gathering_seconds(tmp_path / f"many{number}", 60_000) < 5 * few for number in range(3))
