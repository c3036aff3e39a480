"""The rules of flock and fcntl locks between processes: who may hold what, who waits, how waiting ends."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mounted.locker import ALONE, FREE, KINDS, SHARED, Locker
from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted

PROCESSES = 8
STEPS = 60

Start = Callable[[], Locker]
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedStore]:
    """A mount for all tests here: they are many and short, and each has a folder of its own."""
    store = MountedStore(tmp_path_factory.mktemp("locks"))
    try:
        store.mount()
        yield store
    finally:
        store.finish()


@pytest.fixture
def folder(mount: MountedStore, request: pytest.FixtureRequest) -> Path:
    """A folder with a file."""
    mount.watch()
    folder: Path = mount.path / request.node.name
    folder.mkdir()
    (folder / "file").write_bytes(b"0")
    return folder


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts processes that work in the folder and have `file` there open as "file"."""
    lockers: list[Locker] = []

    def make() -> Locker:
        locker = Locker(folder)
        lockers.append(locker)
        assert locker.do("open", "file", "file") is None
        return locker

    yield make
    for locker in lockers:
        locker.kill()


def wait_for_waiters(path: Path, count: int) -> None:
    """Return when so many wait for a lock on the file, as the kernel tells it of all mounts there are."""
    status = os.stat(path)
    ending = f" {os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino} "
    end = time.monotonic() + 60
    while True:
        lines = Path("/proc/locks").read_text().splitlines()
        if sum("->" in line and ending in line for line in lines) == count:
            return
        assert time.monotonic() < end, lines
        time.sleep(0.01)


@each_kind
def test_shared_and_exclusive(start: Start, kind: str) -> None:
    one, two, three = start(), start(), start()
    assert one.do("try", kind, "file", SHARED) is None
    assert two.do("try", kind, "file", SHARED) is None
    assert three.do("try", kind, "file", ALONE) == "EAGAIN"
    assert one.do("try", kind, "file", ALONE) == "EAGAIN", "two reads still"
    # A refused upgrade with flock(2) has given the lock back; fcntl(2) keeps it.
    assert two.do("try", kind, "file", ALONE) == (None if kind == "flock" else "EAGAIN")
    assert one.do("try", kind, "file", FREE) is None
    assert two.do("try", kind, "file", ALONE) is None
    for other in (one, three):
        assert other.do("try", kind, "file", SHARED) == "EAGAIN"
    assert two.do("try", kind, "file", SHARED) is None, "a downgrade lets readers in"
    assert three.do("try", kind, "file", SHARED) is None
    assert two.do("close", "file") is None
    assert three.do("try", kind, "file", ALONE) is None


@each_kind
def test_an_upgrade_waits_for_the_other_readers(folder: Path, start: Start, kind: str) -> None:
    one, two = start(), start()
    assert one.do("try", kind, "file", SHARED) is None
    assert two.do("try", kind, "file", SHARED) is None
    one.begin("wait", kind, "file", ALONE)
    wait_for_waiters(folder / "file", 1)
    assert two.do("try", kind, "file", FREE) is None
    assert one.answer() is None
    assert two.do("try", kind, "file", SHARED) == "EAGAIN"


@each_kind
def test_a_killed_holder_hands_on_and_a_killed_waiter_is_forgotten(
    folder: Path, start: Start, kind: str
) -> None:
    holder, waiter, given_up = start(), start(), start()
    assert holder.do("wait", kind, "file", ALONE) is None
    waiter.begin("wait", kind, "file", ALONE)
    given_up.begin("wait", kind, "file", ALONE)
    wait_for_waiters(folder / "file", 2)
    given_up.kill()
    wait_for_waiters(folder / "file", 1)
    holder.kill()
    assert waiter.answer() is None
    assert start().do("try", kind, "file", SHARED) == "EAGAIN"
    waiter.kill()
    assert start().do("try", kind, "file", ALONE) is None


@each_kind
def test_an_interrupted_wait_has_taken_nothing(folder: Path, start: Start, kind: str) -> None:
    holder, waiter = start(), start()
    assert holder.do("wait", kind, "file", ALONE) is None
    waiter.begin("wait", kind, "file", SHARED)
    wait_for_waiters(folder / "file", 1)
    os.kill(waiter.process.pid, signal.SIGUSR1)
    assert waiter.answer() == "EINTR"
    wait_for_waiters(folder / "file", 0)
    assert holder.do("try", kind, "file", FREE) is None
    assert start().do("try", kind, "file", ALONE) is None


@each_kind
def test_a_lock_is_the_files_whatever_its_name(folder: Path, start: Start, kind: str) -> None:
    holder, other = start(), start()
    assert holder.do("try", kind, "file", ALONE) is None
    assert other.do("rename", "file", "renamed") is None
    (folder / "file").write_bytes(b"another")
    assert other.do("open", "renamed", "renamed") is None
    assert other.do("open", "another", "file") is None
    assert other.do("try", kind, "renamed", SHARED) == "EAGAIN"
    assert other.do("try", kind, "another", ALONE) is None
    os.unlink(folder / "renamed")
    assert other.do("try", kind, "renamed", SHARED) == "EAGAIN"
    other.begin("wait", kind, "renamed", ALONE)
    holder.kill()
    assert other.answer() is None


@pytest.mark.parametrize("kind", ["process", "descriptor"])
def test_ranges(folder: Path, start: Start, kind: str) -> None:
    one, two = start(), start()
    assert one.do("try", kind, "file", ALONE, 100, 100) is None
    assert two.do("try", kind, "file", ALONE, 0, 100) is None
    assert two.do("try", kind, "file", ALONE, 200, 0) is None
    assert two.do("try", kind, "file", SHARED, 199, 1) == "EAGAIN"
    assert one.do("try", kind, "file", FREE, 140, 20) is None, "a hole in the middle"
    assert two.do("try", kind, "file", ALONE, 140, 20) is None
    assert one.do("try", kind, "file", SHARED, 100, 100) == "EAGAIN"
    two.begin("wait", kind, "file", ALONE, 0, 0)
    wait_for_waiters(folder / "file", 1)
    one.kill()
    assert two.answer() is None


def test_a_deadlock_is_told(folder: Path, start: Start) -> None:
    lockers = [start() for _ in range(3)]
    for number, locker in enumerate(lockers):
        assert locker.do("wait", "process", "file", ALONE, number, 1) is None
    for number in (0, 1):
        lockers[number].begin("wait", "process", "file", ALONE, number + 1, 1)
        wait_for_waiters(folder / "file", number + 1)
    assert lockers[2].do("wait", "process", "file", ALONE, 0, 1) == "EDEADLOCK", "EDEADLK, by its other name"
    assert lockers[2].do("try", "process", "file", FREE) is None
    assert lockers[1].answer() is None
    lockers[1].kill()
    assert lockers[0].answer() is None


def test_a_process_lock_goes_with_any_close_and_the_others_stay(start: Start) -> None:
    for kind, given_back in (("process", True), ("descriptor", False), ("flock", False)):
        one, two = start(), start()
        assert one.do("open", "again", "file") is None
        assert one.do("try", kind, "file", ALONE) is None
        assert one.do("close", "again") is None
        assert two.do("try", kind, "file", ALONE) == (None if given_back else "EAGAIN")
        one.kill()
        two.kill()


@each_kind
def test_eight_processes_count_together(folder: Path, start: Start, kind: str) -> None:
    lockers = [start() for _ in range(PROCESSES)]
    for locker in lockers:
        locker.begin("count", kind, "file", STEPS)
    for locker in lockers:
        assert locker.answer() is None
    assert (folder / "file").read_bytes() == b"%d" % (PROCESSES * STEPS)


def test_flock_and_fcntl_do_not_know_of_each_other(start: Start) -> None:
    one, two, three = start(), start(), start()
    assert one.do("try", "flock", "file", ALONE) is None
    assert two.do("try", "process", "file", ALONE) is None
    assert three.do("try", "descriptor", "file", SHARED) == "EAGAIN", "both kinds of fcntl do"
    assert three.do("try", "flock", "file", SHARED) == "EAGAIN"
