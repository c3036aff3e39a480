"""Files and directories that are open while their names go, change or are taken by others."""

import errno
import os
import resource
import stat
from contextlib import suppress

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import as_nobody, python

pytestmark = pytest.mark.mounted

MANY = 10_000


def test_an_unlinked_file_lives_until_it_is_closed(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"before ")
    os.unlink(file)
    assert not file.exists()
    os.write(descriptor, b"after")
    os.fsync(descriptor)
    assert os.fstat(descriptor).st_nlink == 0
    assert os.pread(descriptor, 100, 0) == b"before after"
    os.ftruncate(descriptor, 6)
    os.fchmod(descriptor, 0o600)
    assert os.fstat(descriptor).st_size == 6
    # Another file may take the name meanwhile.
    file.write_bytes(b"other")
    assert os.pread(descriptor, 100, 0) == b"before"
    os.close(descriptor)
    mounted.remount()
    assert file.read_bytes() == b"other"
    assert mounted.fsck()["counts"]["files"] == 1


def test_an_unlinked_open_file_is_gone_after_a_kill(mounted: MountedStore) -> None:
    descriptor = os.open(mounted.path / "file", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"x" * 100_000)
    os.unlink(mounted.path / "file")
    assert mounted.fsck()["counts"]["files"] == 0  # a check takes a checkpoint: the index has it now
    os.pwrite(descriptor, b"y" * 10_000, 300_000)
    os.fsync(descriptor)
    assert os.pread(descriptor, 5, 99_998) == b"xx\0\0\0"
    mounted.kill()
    with pytest.raises(OSError):
        os.fsync(descriptor)
    with suppress(OSError):  # the daemon is not there to hear of it
        os.close(descriptor)
    mounted.mount()
    assert os.listdir(mounted.path) == []
    assert mounted.fsck()["counts"]["files"] == 0


def test_names_that_go_while_only_their_inode_is_held(mounted: MountedStore) -> None:
    (mounted.path / "folder").mkdir()
    (mounted.path / "file").write_bytes(b"content")
    mounted.remount()
    # The kernel learns of both from the listing; a descriptor with O_PATH opens nothing at the daemon.
    with os.scandir(mounted.path) as entries:
        held = {entry.name: os.open(entry.path, os.O_PATH) for entry in entries}
    os.rmdir(mounted.path / "folder")
    os.unlink(mounted.path / "file")
    assert {name: os.fstat(descriptor).st_nlink for name, descriptor in held.items()} == {
        "folder": 0,
        "file": 0,
    }
    os.chmod(f"/proc/self/fd/{held['file']}", 0o600)
    with open(f"/proc/self/fd/{held['file']}", "rb") as again:
        assert again.read() == b"content"
    for descriptor in held.values():
        os.close(descriptor)
    assert os.listdir(mounted.path) == []


def test_a_file_renamed_over_an_open_one(mounted: MountedStore) -> None:
    old, new = mounted.path / "config", mounted.path / "config.new"
    old.write_bytes(b"old")
    with open(old, "r+b") as handle:
        new.write_bytes(b"new")
        os.rename(new, old)
        assert handle.read() == b"old"
        handle.write(b" and written to nowhere")
        handle.flush()
        os.fsync(handle.fileno())
        assert old.read_bytes() == b"new"
    mounted.remount()
    assert old.read_bytes() == b"new"
    assert os.listdir(mounted.path) == ["config"]


def test_the_working_directory_is_removed(mounted: MountedStore) -> None:
    os.mkdir(mounted.path / "gone")
    python(
        """
        import errno, os
        os.rmdir("../gone")
        assert os.listdir(".") == []
        assert os.stat(".").st_nlink == 0
        for attempt in (lambda: open("file", "w"), lambda: os.mkdir("folder"), os.getcwd):
            try:
                attempt()
            except FileNotFoundError:
                continue
            raise AssertionError(attempt)
        os.chdir("..")
        """,
        cwd=mounted.path / "gone",
    )
    assert os.listdir(mounted.path) == []


def test_files_opened_for_reading_only(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.write_bytes(b"content")
    file.chmod(0o444)
    shared.path.chmod(0o777)
    with open(file, "rb") as handle:
        with pytest.raises(OSError) as caught:
            os.write(handle.fileno(), b"x")
        assert caught.value.errno == errno.EBADF
        with pytest.raises(OSError) as caught:
            os.ftruncate(handle.fileno(), 0)
        assert caught.value.errno == errno.EINVAL
    as_nobody(
        """
        import os
        for mode in ("r+b", "wb", "ab"):
            try:
                open("file", mode)
            except PermissionError:
                continue
            raise AssertionError(mode)
        assert open("file", "rb").read() == b"content"
        # The mode given to open does not bind the one who makes the file.
        descriptor = os.open("own", os.O_WRONLY | os.O_CREAT, 0o400)
        os.write(descriptor, b"mine")
        os.close(descriptor)
        """,
        cwd=shared.path,
    )
    own = os.stat(shared.path / "own")
    assert (stat.S_IMODE(own.st_mode), own.st_uid, own.st_size) == (0o400, 65534, 4)


def test_open_flags(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    for flags, name, expected in [
        (os.O_CREAT | os.O_EXCL | os.O_WRONLY, "file", errno.EEXIST),
        (os.O_RDONLY, "missing", errno.ENOENT),
        (os.O_RDONLY | os.O_DIRECTORY, "file", errno.ENOTDIR),
        (os.O_WRONLY, ".", errno.EISDIR),
        (os.O_RDONLY, "file/below", errno.ENOTDIR),
    ]:
        with pytest.raises(OSError) as caught:
            os.open(mounted.path / name, flags)
        assert caught.value.errno == expected
    file.write_bytes(b"content")
    os.close(os.open(file, os.O_WRONLY | os.O_TRUNC))
    assert os.stat(file).st_size == 0


def test_attributes_of_10_000_open_files(mounted: MountedStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > MANY + 100, "the hard limit of open files is too low"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 100), hard))
    descriptors = []
    try:
        for number in range(MANY):
            descriptors.append(os.open(mounted.path / f"{number}", os.O_CREAT | os.O_RDWR))
            if number % 10 == 0:
                os.write(descriptors[-1], b"x" * number)
        for number in range(0, MANY, 2):
            os.unlink(mounted.path / f"{number}")
        for number, descriptor in enumerate(descriptors):
            status = os.fstat(descriptor)
            assert status.st_size == (number if number % 10 == 0 else 0)
            assert status.st_nlink == number % 2
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir(mounted.path)) == MANY // 2
