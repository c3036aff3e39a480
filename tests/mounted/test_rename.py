"""rename(2) and renameat2(2): replacement, its refusals, and the flags."""

import errno
import os
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.renaming import EXCHANGE, NOREPLACE, WHITEOUT, renameat2

pytestmark = pytest.mark.mounted


def refusal(old: Path, new: Path, flags: int = 0) -> int:
    """The errno with which the rename is refused."""
    with pytest.raises(OSError) as caught:
        renameat2(old, new, flags)
    assert caught.value.errno is not None
    return caught.value.errno


def test_noreplace(mounted: MountedStore) -> None:
    one, two = mounted.path / "one", mounted.path / "two"
    one.write_text("one")
    two.write_text("two")
    assert refusal(one, two, NOREPLACE) == errno.EEXIST
    assert refusal(one, one, NOREPLACE) == errno.EEXIST
    assert (one.read_text(), two.read_text()) == ("one", "two")
    renameat2(one, mounted.path / "three", NOREPLACE)
    mounted.remount()
    assert sorted(os.listdir(mounted.path)) == ["three", "two"]
    assert (mounted.path / "three").read_text() == "one"


def test_exchange(mounted: MountedStore) -> None:
    file, folder = mounted.path / "file", mounted.path / "outer" / "folder"
    file.write_text("file")
    folder.mkdir(parents=True)
    (folder / "inside").write_text("inside")
    os.symlink("x", mounted.path / "link")
    assert refusal(file, mounted.path / "missing", EXCHANGE) == errno.ENOENT
    assert refusal(mounted.path / "outer", folder, EXCHANGE) == errno.EINVAL
    assert refusal(folder, mounted.path / "outer", EXCHANGE) == errno.EINVAL
    numbers = os.stat(file).st_ino, os.stat(folder).st_ino
    for _ in range(2):
        renameat2(file, folder, EXCHANGE)
        assert (os.stat(folder).st_ino, os.stat(file).st_ino) == numbers
        assert folder.read_text() == "file"
        assert (file / "inside").read_text() == "inside"
        assert os.path.samefile(file / "..", mounted.path)
        assert (os.stat(mounted.path).st_nlink, os.stat(mounted.path / "outer").st_nlink) == (4, 2)
        mounted.kill()
        mounted.mount()
        renameat2(folder, file, EXCHANGE)
        assert file.read_text() == "file"
        assert (os.stat(mounted.path).st_nlink, os.stat(mounted.path / "outer").st_nlink) == (3, 3)
    renameat2(file, mounted.path / "link", EXCHANGE)
    assert os.readlink(file) == "x"
    mounted.remount()
    assert (mounted.path / "link").read_text() == "file"


def test_other_flags_are_refused(mounted: MountedStore) -> None:
    one, two = mounted.path / "one", mounted.path / "two"
    one.write_text("one")
    two.write_text("two")
    for flags in (WHITEOUT, NOREPLACE | EXCHANGE, WHITEOUT | EXCHANGE, 8, 1 << 31):
        assert refusal(one, two, flags) == errno.EINVAL
    assert refusal(one, mounted.path / "free", WHITEOUT | NOREPLACE) == errno.EINVAL
    assert (one.read_text(), two.read_text()) == ("one", "two")


def test_replacement_and_its_refusals(mounted: MountedStore) -> None:
    root = mounted.path
    for name in ("empty", "full", "full/inner"):
        (root / name).mkdir()
    (root / "full/file").write_text("x")
    for name in ("one", "two"):
        (root / name).write_text(name)
    assert refusal(root / "one", root / "empty") == errno.EISDIR
    assert refusal(root / "empty", root / "one") == errno.ENOTDIR
    assert refusal(root / "empty", root / "full") == errno.ENOTEMPTY
    assert refusal(root / "full", root / "full/inner/below") == errno.EINVAL
    assert refusal(root / "full/inner", root / "full") == errno.ENOTEMPTY
    assert refusal(root / "missing", root / "two") == errno.ENOENT
    assert refusal(root / "one/below", root / "two") == errno.ENOTDIR

    os.rename(root / "full", root / "empty")  # a directory may replace an empty one
    os.rename(root / "one", root / "two")
    os.link(root / "two", root / "same")
    os.rename(root / "two", root / "same")  # two names of one file: nothing is done
    mounted.remount()
    assert sorted(os.listdir(root)) == ["empty", "same", "two"]
    assert sorted(os.listdir(root / "empty")) == ["file", "inner"]
    assert (root / "two").read_text() == "one"
    assert os.stat(root / "two").st_nlink == 2


def test_a_moved_directory_knows_its_new_parent(mounted: MountedStore) -> None:
    (mounted.path / "a/b/c").mkdir(parents=True)
    (mounted.path / "d").mkdir()
    os.rename(mounted.path / "a/b", mounted.path / "d/b")
    for _ in range(2):
        assert os.path.samefile(mounted.path / "d/b/..", mounted.path / "d")
        assert os.path.samefile(mounted.path / "d/b/c/../../..", mounted.path)
        mounted.remount()


def test_the_replaced_name_is_never_missing(mounted: MountedStore) -> None:
    target = mounted.path / "target"
    target.write_text("0")
    seen = 0
    descriptor = os.open(mounted.path, os.O_RDONLY)
    for number in range(300):
        (mounted.path / "new").write_text(f"{number}")
        os.rename(mounted.path / "new", target)
        assert "target" in os.listdir(descriptor)
        value = int(target.read_text())
        assert value == number >= seen
        seen = value
    os.close(descriptor)
