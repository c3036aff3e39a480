"""Pages that were dirtied before a rollback never show after it: written, appended, mapped, in any state."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import ROOT, MountedStore
from tests.mounted.rolling import Pause, end, freeze, is_quiet, refused, roll_back, write_back
from tests.mounted.trees import describe
from tests.waiting import eventually

pytestmark = pytest.mark.mounted

PAGE = mmap.PAGESIZE
FILES = 8
ROUNDS = 2


def plant(root: Path) -> None:
    """Some files, the same bytes in all of them, times of long ago."""
    for number in range(FILES):
        path = root / f"file {number}"
        path.write_bytes(bytes([65 + number]) * (150_000 + number))
        os.utime(path, ns=(1_000_000_000, 2_000_000_000 + number))


def start_writer(root: Path, seed: int, *how: str) -> subprocess.Popen[str]:
    """A process that dirties pages; it has all files open when this returns."""
    command = [sys.executable, "-m", "tests.mounted.rollback_writer", str(root), str(seed), *how]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    return writer


@contextmanager
def writers(root: Path, *given: tuple[int, tuple[str, ...]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Several of them; none is left behind."""
    running = [start_writer(root, seed, *how) for seed, how in given]
    try:
        yield running
    finally:
        for writer in running:
            writer.kill()
        for writer in running:
            writer.communicate(timeout=60)


def test_what_was_dirty_at_the_moment_is_in_no_file_afterwards(mount_store: Mounter, tmp_path: Path) -> None:
    mounted = mount_store("noatime")  # so that nothing but what is dirty tells these files from before
    at = mounted.path
    plant(at)
    then = describe(at)
    freeze(mounted, "then")
    pause = Pause(mounted, tmp_path / "signs")
    held = [os.open(at / f"file {number}", os.O_RDWR) for number in range(FILES)]
    written, appended, mapped, small, again, cut, quiet, read = held
    os.pwrite(again, b"written before", 5)
    os.fsync(again)
    rollback = pause.begin("then")
    os.pwrite(written, b"dirty" * PAGE, 3)
    os.pwrite(appended, b"dirty" * PAGE, os.fstat(appended).st_size)
    with mmap.mmap(mapped, 0) as mapping:
        mapping[7 * PAGE : 9 * PAGE] = b"d" * (2 * PAGE)
        os.pwrite(small, b"d", 10)
        os.pwrite(again, b"dirty", 50_000)
        os.ftruncate(cut, 1000)
        os.pwrite(cut, b"dirty", 2000)
        assert os.pread(read, 4, 0) == b"HHHH"
        new = os.open(at / "new", os.O_RDWR | os.O_CREAT)
        os.write(new, b"dirty" * 10_000)
        pause.go_on()
        end(rollback)
        assert describe(at) == then
    for file in (written, appended, mapped, small, again, cut, new):
        assert refused(lambda file=file: os.fsync(file)) == errno.ESTALE  # type: ignore[misc]
        assert refused(lambda file=file: os.pread(file, 1, 0)) == errno.ESTALE  # type: ignore[misc]
        assert refused(lambda file=file: os.close(file)) in (0, errno.ESTALE)  # type: ignore[misc]
    os.pwrite(quiet, b"goes on", 0)
    os.fsync(quiet)
    assert (at / "file 6").read_bytes()[:9] == b"goes onGG"
    os.pwrite(quiet, b"G" * 7, 0)
    os.utime(quiet, ns=(1_000_000_000, 2_000_000_006))
    for file in (quiet, read):
        os.close(file)
    write_back(mounted)
    assert describe(at) == then
    mounted.remount()
    assert describe(at) == then


def test_writers_that_are_stopped_before_the_moment_leave_nothing(
    mounted: MountedStore, tmp_path: Path
) -> None:
    at = mounted.path
    plant(at)
    then = describe(at)
    freeze(mounted, "then")
    pause = Pause(mounted, tmp_path / "signs")
    for turn in range(ROUNDS):
        kinds = [
            (10 * turn, ()),
            (10 * turn + 1, ()),
            (10 * turn + 2, ("mapped",)),
            (10 * turn + 3, ("mapped",)),
        ]
        with writers(at, *kinds) as running:
            rollback = pause.begin("then")
            time.sleep(0.1 * turn)  # more and more of what they dirty is in the kernel only
            for writer in running:
                writer.send_signal(signal.SIGSTOP)
            for writer in running:
                eventually(lambda writer=writer: is_quiet(writer))  # type: ignore[misc]
            pause.go_on()
            end(rollback)
            assert describe(at) == then
        assert describe(at) == then  # they were killed: what they had mapped and open is closed
        write_back(mounted)
        assert describe(at) == then
    mounted.remount()
    assert describe(at) == then


def test_a_crowd_of_writers_meets_one_rollback_after_the_other(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at)
    then = describe(at)
    freeze(mounted, "then")
    how = [("again",)] * 12 + [("mapped",)] * 4
    with writers(at, *enumerate(how)) as running:
        before = "then"
        for turn in range(3):
            before = roll_back(mounted, "then" if turn % 2 == 0 else before)
            os.statvfs(at)
        ended = [writer for writer in running if writer.poll() not in (None, -signal.SIGBUS)]
        assert [writer.communicate()[1] for writer in ended] == []
    roll_back(mounted, "then")
    assert describe(at) == then
    write_back(mounted)
    assert describe(at) == then
    mounted.remount()
    assert describe(at) == then
