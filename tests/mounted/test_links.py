"""Hard and symbolic links: counts, limits, and what remains when names go."""

import errno
import os
import stat
import time

import pytest

from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted


def test_names_of_one_file_share_everything(mounted: MountedStore) -> None:
    first, second = mounted.path / "first", mounted.path / "folder" / "second"
    second.parent.mkdir()
    first.write_bytes(b"one")
    os.link(first, second)
    with open(second, "ab") as file:
        file.write(b" two")
    os.chmod(first, 0o640)
    assert first.read_bytes() == b"one two"
    assert os.stat(first) == os.stat(second)
    assert os.stat(first).st_nlink == 2
    before = os.stat(first).st_ctime_ns
    time.sleep(0.02)  # the kernel's clock for such stamps stands still for up to 10 ms
    os.unlink(first)
    assert os.stat(second).st_nlink == 1
    assert os.stat(second).st_ctime_ns > before
    mounted.remount()
    assert second.read_bytes() == b"one two"
    assert stat.S_IMODE(os.stat(second).st_mode) == 0o640


def test_a_thousand_names_of_a_file(mounted: MountedStore) -> None:
    (mounted.path / "0").write_bytes(b"x")
    for number in range(1, 1000):
        os.link(mounted.path / f"{number - 1}", mounted.path / f"{number}")
    mounted.kill()
    mounted.mount()
    statuses = {os.stat(mounted.path / f"{number}") for number in range(1000)}
    assert len({(status.st_ino, status.st_nlink) for status in statuses}) == 1
    assert statuses.pop().st_nlink == 1000
    for number in range(999):
        os.unlink(mounted.path / f"{number}")
    assert os.stat(mounted.path / "999").st_nlink == 1


def test_what_cannot_be_linked(mounted: MountedStore) -> None:
    folder = mounted.path / "folder"
    folder.mkdir()
    (mounted.path / "file").touch()
    for source, target, expected in [
        ("folder", "second", errno.EPERM),
        ("file", "folder", errno.EEXIST),
        ("missing", "second", errno.ENOENT),
        ("file", "file/second", errno.ENOTDIR),
    ]:
        with pytest.raises(OSError) as caught:
            os.link(mounted.path / source, mounted.path / target)
        assert caught.value.errno == expected
    with pytest.raises(OSError) as caught:
        os.link(mounted.path / "file", mounted.store / "outside")
    assert caught.value.errno == errno.EXDEV


def test_a_symbolic_link_itself_can_have_two_names(mounted: MountedStore) -> None:
    os.symlink("target", mounted.path / "link")
    os.link(mounted.path / "link", mounted.path / "second", follow_symlinks=False)
    assert os.lstat(mounted.path / "second").st_nlink == 2
    assert os.readlink(mounted.path / "second") == "target"


def test_targets_of_symbolic_links(mounted: MountedStore) -> None:
    root = os.fsencode(mounted.path)
    lengths = (1, 255, 4094, 4095)
    for length in lengths:
        os.symlink((b"\xff" + b"abc/" * 1024)[:length], b"%s/%d" % (root, length))
    for _ in range(2):
        for length in lengths:
            status = os.lstat(b"%s/%d" % (root, length))
            assert (status.st_size, stat.S_IMODE(status.st_mode)) == (length, 0o777)
            assert os.readlink(b"%s/%d" % (root, length)) == (b"\xff" + b"abc/" * 1024)[:length]
        mounted.remount()


def test_a_target_of_4096_bytes_is_too_long(mounted: MountedStore) -> None:
    with pytest.raises(OSError) as caught:
        os.symlink(b"x" * 4096, os.fsencode(mounted.path / "link"))
    assert caught.value.errno == errno.ENAMETOOLONG


def test_link_counts_of_directories(mounted: MountedStore) -> None:
    root = mounted.path
    for name in ("a", "a/b", "a/c", "d"):
        os.mkdir(root / name)

    def counts() -> list[int]:
        return [os.stat(root / name).st_nlink for name in (".", "a", "d")]

    assert counts() == [4, 4, 2]
    os.rename(root / "a/b", root / "d/b")
    assert counts() == [4, 3, 3]
    os.rmdir(root / "d/b")
    os.rename(root / "a/c", root / "d/c")
    assert counts() == [4, 2, 3]
    mounted.remount()
    assert counts() == [4, 2, 3]
