"""Times: nanoseconds, the distant past and future, which operation changes which, and relatime."""

import ctypes
import os
import time
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted

SECOND = 10**9
DAY = 86_400 * SECOND
TICK = 10_000_000
"""The kernel stamps some changes itself, from a clock that stands still for up to 10 ms."""

AT_FDCWD = -100
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2

_libc = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def utimensat(path: Path, access: tuple[int, int], modification: tuple[int, int]) -> None:
    times = (Timespec * 2)(Timespec(*access), Timespec(*modification))
    assert _libc.utimensat(AT_FDCWD, os.fsencode(path), times, 0) == 0, os.strerror(ctypes.get_errno())


def test_times_of_any_age_survive(mounted: MountedStore) -> None:
    times = [
        (0, 0),
        (-1, -SECOND - 1),
        (-8_000_000_000 * SECOND + 123_456_789, 2**31 * SECOND + 999_999_999),  # 1716 and 2038
        (2**32 * SECOND + 1, 2**33 * SECOND - 1),  # 2106 and 2242
        (1_234_567_890_123_456_789, 987_654_321_987_654_321),
    ]
    expected = {}
    for number, (access, modification) in enumerate(times):
        paths = [mounted.path / f"{kind}{number}" for kind in ("file", "folder", "link", "fifo")]
        file, folder, link, fifo = paths
        file.write_bytes(b"x")
        folder.mkdir()
        link.symlink_to("x")
        os.mkfifo(fifo)
        for path in paths:
            os.utime(path, ns=(access, modification), follow_symlinks=False)
            expected[path] = (access, modification)
    for again in (mounted.remount, mounted.kill):
        statuses = {path: os.lstat(path) for path in expected}
        assert {
            path: (status.st_atime_ns, status.st_mtime_ns) for path, status in statuses.items()
        } == expected
        again()
    mounted.mount()


def test_times_out_of_range_become_the_nearest_there_is(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    for seconds, kept in ((2**40, 2**63 - 1), (-(2**40), -(2**63) + 1), (2**62, 2**63 - 1)):
        file.touch()
        utimensat(file, (seconds, 0), (seconds, 0))
        mounted.remount()
        status = os.stat(file)
        assert (status.st_atime_ns, status.st_mtime_ns) == (kept, kept)


def test_utimensat_with_now_and_omit(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.touch()
    utimensat(file, (100, 1), (200, 2))
    utimensat(file, (0, UTIME_OMIT), (300, 3))
    status = os.stat(file)
    assert (status.st_atime_ns, status.st_mtime_ns) == (100 * SECOND + 1, 300 * SECOND + 3)
    before = time.time_ns()
    utimensat(file, (0, UTIME_NOW), (0, UTIME_OMIT))
    status = os.stat(file)
    assert before - TICK <= status.st_atime_ns <= time.time_ns() + TICK
    assert status.st_mtime_ns == 300 * SECOND + 3
    utimensat(file, (5, 5), (0, UTIME_NOW))
    status = os.stat(file)
    assert status.st_atime_ns == 5 * SECOND + 5
    assert before - TICK <= status.st_mtime_ns <= time.time_ns() + TICK
    ctime = status.st_ctime_ns
    utimensat(file, (0, UTIME_OMIT), (0, UTIME_OMIT))
    assert os.stat(file).st_ctime_ns == ctime


def changed(path: Path, action: object) -> set[str]:
    """The times that an action changes, of the path that they are set back on before."""
    os.utime(path, ns=(SECOND, 2 * SECOND))
    before = os.stat(path)
    time.sleep(2 * TICK / SECOND)
    assert callable(action)
    action()
    after = os.stat(path)
    return {
        name
        for name in ("mtime", "ctime")
        if getattr(after, f"st_{name}_ns") != getattr(before, f"st_{name}_ns")
    }


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def test_which_operation_changes_which_time(mounted: MountedStore) -> None:
    folder, file = mounted.path / "folder", mounted.path / "folder" / "file"
    folder.mkdir()
    file.write_bytes(b"content")
    both, ctime = {"mtime", "ctime"}, {"ctime"}
    assert changed(file, lambda: append(file)) == both
    assert changed(file, lambda: os.truncate(file, 3)) == both
    assert changed(file, lambda: file.chmod(0o600)) == ctime
    assert changed(file, lambda: os.chown(file, os.getuid(), os.getgid())) == ctime
    assert changed(file, lambda: os.setxattr(file, "user.x", b"1")) == ctime
    assert changed(file, lambda: os.link(file, folder / "link")) == ctime
    assert changed(file, lambda: os.unlink(folder / "link")) == ctime
    assert changed(file, file.read_bytes) == set()
    assert changed(folder, lambda: (folder / "new").touch()) == both
    assert changed(folder, lambda: os.unlink(folder / "new")) == both
    assert changed(folder, lambda: (folder / "sub").mkdir()) == both
    assert changed(folder, lambda: (folder / "sub").rmdir()) == both
    assert changed(folder, lambda: append(file)) == set()
    assert changed(folder, lambda: folder.chmod(0o700)) == ctime


def test_mtime_of_written_files_is_the_same_before_and_after_a_remount(mounted: MountedStore) -> None:
    for number in range(50):
        file = mounted.path / f"{number}"
        file.write_bytes(b"x" * number)
        append(file)
    before = {name: os.stat(mounted.path / name).st_mtime_ns for name in os.listdir(mounted.path)}
    assert all(abs(mtime - time.time_ns()) < 60 * SECOND for mtime in before.values())
    for again in (mounted.kill, mounted.unmount):
        again()
        mounted.mount()
        assert {name: os.stat(mounted.path / name).st_mtime_ns for name in before} == before


def test_relatime(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(b"content")
    now = time.time_ns()

    def atime_after_reading(atime: int, mtime: int) -> int:
        os.utime(file, ns=(atime, mtime))
        mounted.remount()  # what the kernel still has of the file is not read again
        assert file.read_bytes() == b"content"
        return os.stat(file).st_atime_ns

    old = now - 2 * DAY
    assert atime_after_reading(old, old - DAY) >= now  # older than a day
    # A recent one that is newer than every change stays, an older one than a change does not.
    os.utime(file, ns=(now - DAY // 2, now - DAY))
    recent = os.stat(file)
    assert recent.st_ctime_ns > recent.st_atime_ns
    mounted.remount()
    file.read_bytes()
    noted = os.stat(file).st_atime_ns
    assert noted >= recent.st_ctime_ns
    mounted.remount()
    time.sleep(0.01)
    file.read_bytes()
    assert os.stat(file).st_atime_ns == noted


def test_with_noatime_reading_notes_no_access(mount_store: Mounter) -> None:
    mounted = mount_store("noatime")
    file = mounted.path / "file"
    file.write_text("content")
    os.utime(file, ns=(10**9, 10**9))
    assert file.read_text() == "content"
    mounted.remount()
    assert file.read_text() == "content"
    mounted.remount("relatime")
    assert file.stat().st_atime_ns == 10**9
    assert file.read_text() == "content"
    mounted.remount()
    assert file.stat().st_atime_ns > 10**9
