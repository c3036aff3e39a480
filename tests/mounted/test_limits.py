"""What the kernel binding cannot do, pinned: refused with an errno that programs know, never done halfway."""

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import needs_root, run

pytestmark = pytest.mark.mounted

FICLONE = 0x40049409
FS_IOC_GETFLAGS = 0x80086601
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE = 1, 2, 8, 16

_libc = ctypes.CDLL(None, use_errno=True)


def refusal(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        action()
    return caught.value.errno


def fallocate(path: Path, mode: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if _libc.fallocate(descriptor, mode, ctypes.c_long(0), ctypes.c_long(4096)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def test_what_is_refused(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(b"content")
    for mode in (0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE):
        assert refusal(partial(fallocate, file, mode)) == errno.EOPNOTSUPP
    assert refusal(lambda: os.open(mounted.path, os.O_TMPFILE | os.O_RDWR)) == errno.EOPNOTSUPP
    with open(file, "rb") as source, open(mounted.path / "target", "wb") as target:
        assert refusal(lambda: fcntl.ioctl(target, FICLONE, source.fileno())) == errno.EOPNOTSUPP
        assert refusal(lambda: fcntl.ioctl(source, FS_IOC_GETFLAGS, bytes(8))) == errno.ENOTTY
    run("cp", "--reflink=always", file, mounted.path / "copy", exit_code=1)
    run("chattr", "+i", file, exit_code=1)
    assert file.read_bytes() == b"content"


@needs_root
def test_a_write_by_root_also_clears_the_set_id_bits(mounted: MountedStore) -> None:
    # On ext4 they would stay. The daemon is not told who wrote what comes out of the kernel's cache.
    file = mounted.path / "file"
    file.write_bytes(b"content")
    file.chmod(0o6755)
    with open(file, "r+b") as handle:
        handle.write(b"changed")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o755


def test_the_size_of_a_directory_is_its_number_of_entries(mounted: MountedStore) -> None:
    for number in range(7):
        (mounted.path / f"{number}").touch()
    os.unlink(mounted.path / "3")
    assert os.stat(mounted.path).st_size == 6


def test_a_close_after_the_daemon_has_died_says_nothing(mounted: MountedStore) -> None:
    (mounted.path / "first").write_bytes(b"closed while the daemon lived")
    closed = os.open(mounted.path / "closed", os.O_WRONLY | os.O_CREAT)
    synced = os.open(mounted.path / "synced", os.O_WRONLY | os.O_CREAT)
    for descriptor in (closed, synced):
        os.write(descriptor, b"in the kernel's cache")
    mounted.kill()
    assert refusal(lambda: os.fsync(synced)) == errno.ENOTCONN
    os.close(closed)
    os.close(synced)
    mounted.mount()
    assert (mounted.path / "first").read_bytes() == b"closed while the daemon lived"
    assert os.stat(mounted.path / "closed").st_size == 0
