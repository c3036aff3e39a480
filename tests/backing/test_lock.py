"""One owner: refused with the owner's pid while it lives, free the moment it is dead."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.beside import beside
from vfs.backing import lock, lock_holder
from vfs.backing.lock import NAME, StoreLock
from vfs.backing.storage import DirectoryStorage
from vfs.errors import StoreBusy, StoreUnreadable
from vfs.mount.owner import find_owner

OWNER = """
import sys
from vfs.backing.lock import StoreLock
from vfs.backing.storage import DirectoryStorage
lock = StoreLock.acquire(DirectoryStorage(sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path)


def test_a_second_owner_in_the_same_process_is_refused(storage: DirectoryStorage, tmp_path: Path) -> None:
    with StoreLock.acquire(storage):
        with pytest.raises(StoreBusy) as busy:
            StoreLock.acquire(storage)
        assert busy.value.pid == os.getpid()
        assert str(os.getpid()) in str(busy.value)
        assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n"
        assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    owned = StoreLock.acquire(storage)
    owned.release()
    owned.release()
    storage.close()


def test_a_shared_lock_is_held_until_both_are_released(storage: DirectoryStorage) -> None:
    owned = StoreLock.acquire(storage)
    with owned.share():
        owned.release()
        with pytest.raises(StoreBusy):
            StoreLock.acquire(storage)
    StoreLock.acquire(storage).release()


LOOKER = """
import fcntl, sys, time
from pathlib import Path
from vfs.mount import owner
flock = fcntl.flock
def kept_from_going_on(*arguments):
    flock(*arguments)
    Path(sys.argv[2]).touch()
    time.sleep(0.5)
fcntl.flock = kept_from_going_on
assert owner.find_owner(Path(sys.argv[1])) is None
"""


def test_who_asks_for_an_owner_keeps_nobody_from_becoming_it(
    storage: DirectoryStorage, tmp_path: Path
) -> None:
    """As those do who unmount, or wait for a daemon to end, many times a second."""
    StoreLock.acquire(storage).release()
    looks = tmp_path / "looks"
    with subprocess.Popen([sys.executable, "-c", LOOKER, str(tmp_path), str(looks)], cwd=ROOT) as looker:
        while not looks.exists():
            assert looker.poll() is None
            time.sleep(0.001)
        StoreLock.acquire(storage).release()
    assert looker.returncode == 0


def test_a_second_process_is_refused_until_the_first_is_dead(
    storage: DirectoryStorage, tmp_path: Path
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "mine\n"
        for _ in range(2):
            with pytest.raises(StoreBusy) as busy:
                StoreLock.acquire(storage)
            assert busy.value.pid == owner.pid
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        with StoreLock.acquire(storage):
            assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n"
    storage.close()


HEIR = """
import os, sys
from vfs.backing.lock import StoreLock
from vfs.backing.storage import DirectoryStorage
lock = StoreLock.acquire(DirectoryStorage(sys.argv[1]))
if not os.fork():
    sys.stdin.read()
"""


def test_a_program_that_a_killed_owner_was_starting_is_waited_for(
    storage: DirectoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between fork and exec it has the lock, and nobody can tell whose it is."""
    command = [sys.executable, "-c", HEIR, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.wait(60) == 0
        monkeypatch.setattr(lock, "HEIR_SECONDS", 0.05)
        with pytest.raises(StoreBusy):
            StoreLock.acquire(storage)
        monkeypatch.setattr(lock, "HEIR_SECONDS", 60)
        threading.Timer(0.3, owner.stdin.close).start()
        StoreLock.acquire(storage).release()
    storage.close()


@pytest.mark.parametrize("content", [b"", b"none", b"-1\n", b"0", b"9" * 10_000, b"\xff\0"])
def test_whatever_the_file_holds_the_lock_decides(
    storage: DirectoryStorage, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    with StoreLock.acquire(storage):
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(StoreBusy, match="in use by") as busy:
            StoreLock.acquire(storage)
        assert busy.value.pid in (os.getpid(), None)
    storage.close()


def test_a_lock_that_the_kernel_leaves_out_is_looked_for_again(
    storage: DirectoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts lines to go on after a page of them, and some of those may have gone meanwhile."""
    looks = iter((Path("/dev/null"), lock_holder.LOCKS))

    class Locks:
        def read_text(self, *how: str) -> str:
            return next(looks).read_text(*how)

    monkeypatch.setattr(lock_holder, "LOCKS", Locks())
    with StoreLock.acquire(storage):
        with pytest.raises(StoreBusy) as busy:
            StoreLock.acquire(storage)
    assert busy.value.pid == os.getpid()
    assert next(looks, None) is None


def test_a_pid_of_an_earlier_owner_is_never_named(storage: DirectoryStorage, tmp_path: Path) -> None:
    """It stands there until the next one has written its own, and its number may be anybody's by then."""
    with beside(subprocess.Popen(["sleep", "60"])) as other:
        with StoreLock.acquire(storage):
            (tmp_path / NAME).write_text(f"{other.pid}\n")
            with pytest.raises(StoreBusy) as busy:
                StoreLock.acquire(storage)
            assert busy.value.pid in (os.getpid(), None)  # None where the file system hides its device
            owner = find_owner(tmp_path)
            assert owner is not None
            assert owner.pid == busy.value.pid
        other.kill()
    storage.close()


def test_whoever_looks_for_ever_is_not(
    storage: DirectoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StoreLock.acquire(storage).release()
    monkeypatch.setattr(lock, "LOOKERS_SECONDS", 0.05)
    with open(tmp_path / NAME, "rb") as looker:
        assert lock_holder.try_lock(looker.fileno(), fcntl.LOCK_SH)
        with pytest.raises(StoreBusy, match="another process"):
            StoreLock.acquire(storage)
    StoreLock.acquire(storage).release()
    storage.close()


def test_a_link_in_its_place_is_refused(storage: DirectoryStorage, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / NAME).symlink_to("other")
    with pytest.raises(StoreUnreadable, match="its lock"):
        StoreLock.acquire(storage)
    assert (tmp_path / "other").read_bytes() == b"precious"
    storage.close()


def refuse_writing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    real = os.open

    def refused(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == NAME and flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(code, os.strerror(code))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refused)


def test_a_store_on_a_disk_that_is_read_only(
    storage: DirectoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_bytes(b"77\n")
    refuse_writing(monkeypatch, errno.EROFS)
    with pytest.raises(StoreUnreadable, match="Read-only"):
        StoreLock.acquire(storage)
    with StoreLock.acquire(storage, read_only=True):
        with pytest.raises(StoreBusy):
            StoreLock.acquire(storage, read_only=True)
    (tmp_path / NAME).unlink()
    with pytest.raises(StoreUnreadable, match="No such file"):
        StoreLock.acquire(storage, read_only=True)
    storage.close()


def test_a_full_disk_does_not_refuse_an_owner(
    storage: DirectoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with StoreLock.acquire(storage):
        with pytest.raises(StoreBusy) as busy:
            StoreLock.acquire(storage)
        assert busy.value.pid in (os.getpid(), None)  # the kernel knows it all the same
    storage.close()


def test_a_failing_disk_does(storage: DirectoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as context:
        context.setattr(os, "pwrite", failing)
        with pytest.raises(StoreUnreadable, match="Input/output error"):
            StoreLock.acquire(storage)
    StoreLock.acquire(storage).release()
    storage.close()
