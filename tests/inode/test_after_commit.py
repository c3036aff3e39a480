"""What memory lets go of behind a commit, a little at a time, with operations in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
import vfs.inode.after_commit
from vfs import FileSystem
from vfs.inode.after_commit import AfterCommit
from vfs.inode.inode import Inode
from vfs.inode.table import SWEEP_STEP

FOLDERS, FILES = 4, 30


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store", cache_bytes=1 << 20) as opened:
        opened.autopilot = False
        yield opened


def plant(fs: FileSystem, name: str = "file") -> None:
    for folder in range(FOLDERS):
        fs.make_directory(f"/{folder}")
        for number in range(FILES):
            fs.write_bytes(f"/{folder}/{name}{number}", b"content")


def commit(fs: FileSystem) -> AfterCommit:
    """A checkpoint up to where memory follows."""
    fs.begin_checkpoint()
    while not fs.gather_checkpoint():
        pass
    fs.sync()
    fs.commit_checkpoint()
    return fs.table.after_commit()


def test_no_step_does_more_than_it_may(fs: FileSystem) -> None:
    plant(fs)
    things = len(fs.table.tracker)
    work = commit(fs)
    steps = 1
    while not work.step(10):
        steps += 1
    assert steps >= things // 10


def test_operations_between_the_steps(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vfs.inode.after_commit, "WHOLE_DIRECTORY_ENTRIES", 5)
    plant(fs)
    fs.checkpoint()
    expected = {f"/{folder}": {b"file%d" % number for number in range(FILES)} for folder in range(FOLDERS)}
    for folder, names in expected.items():  # all of it is to be committed
        fs.write_bytes(f"{folder}/new", b"")
        names.add(b"new")
        for number in range(0, FILES, 3):
            fs.remove(f"{folder}/file{number}")
            names.discard(b"file%d" % number)
    work = commit(fs)
    number, more = 0, True
    while more:
        more = not work.step(7)
        folder = f"/{number % FOLDERS}"
        fs.write_bytes(f"{folder}/between{number}", b"")
        expected[folder].add(b"between%d" % number)
        gone = sorted(expected[folder])[number % 5]
        fs.remove(f"{folder}/{gone.decode()}")
        expected[folder].discard(gone)
        number += 1
        fs.table.check_invariants()
        for place, names in expected.items():
            listed = fs.listdir(place)
            assert sorted(listed) == sorted(names)
            assert all(fs.find(fs.resolve(place).ino, name) for name in names)
    assert number > FOLDERS
    fs.checkpoint()
    for place, names in expected.items():
        assert set(fs.listdir(place)) == names


def test_a_checkpoint_begins_after_all_that_the_last_one_left(fs: FileSystem) -> None:
    plant(fs)
    fs.begin_checkpoint()
    while not fs.gather_checkpoint():
        pass
    fs.sync()
    fs.commit_checkpoint()
    fs.end_checkpoint()
    assert fs.table.crowded is False
    fs.write_bytes("/0/one more", b"")
    fs.begin_checkpoint()
    assert fs.tidy()  # nothing is left of the one before
    fs.abandon_checkpoint()


def test_who_adds_an_inode_looks_at_a_few_others_only(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.table._cached_inodes = 20
    plant(fs)
    looked: list[int] = []
    is_held = fs.table.tracker.is_held

    def counting(ino: int) -> bool:
        looked.append(ino)
        return is_held(ino)

    monkeypatch.setattr(fs.table.tracker, "is_held", counting)
    for number in range(50):
        looked.clear()
        fs.mknod(1, b"x%d" % number, 0o644)
        assert len(looked) <= SWEEP_STEP
    monkeypatch.undo()
    fs.checkpoint()
    for _ in range(10):  # what comes and goes does not pile up
        for folder in range(FOLDERS):
            for number in range(FILES):
                fs.resolve(f"/{folder}/file{number}")
        assert sum(1 for _ in fs.table.loaded()) < 60


def test_relief_asks_a_few_owners_for_each_operation(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.journal.RELIEF_OWNERS", 3)
    plant(fs)
    fs.limiter.limit_bytes = fs.limiter._bearable_bytes = fs.limiter.used_bytes // 2
    settled: list[Inode] = []
    settle = fs._settle

    def counting(inode: Inode) -> None:
        settled.append(inode)
        settle(inode)

    monkeypatch.setattr(fs, "_settle", counting)
    operations = 0
    while fs.limiter.over:
        settled.clear()
        fs.read_bytes(f"/0/file{operations % FILES}")
        assert len(settled) <= 2 * 3  # a read has two looks at memory at most
        operations += 1
        assert operations < 1000
    assert operations >= 2
