"""Clones on the mount: what ordinary programs do with them, and how they end under those who use them."""

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted


@pytest.fixture
def folder(mounted: MountedStore) -> Path:
    """The mount, with a snapshot `then` and a clone of it, `try`."""
    for number in range(30):
        (mounted.path / f"folder{number % 3}/deep").mkdir(parents=True, exist_ok=True)
        (mounted.path / f"folder{number % 3}/deep/file{number}").write_text(f"{number}")
    vfs("snapshot", "create", mounted.path, "then")
    vfs("clone", mounted.path, "then", mounted.path / "try")
    return mounted.path


def write_and_sync(descriptor: int) -> None:
    """The first may well succeed: the kernel takes it."""
    os.pwrite(descriptor, b"x" * 8192, 0)
    os.fsync(descriptor)


def refusal(action: object) -> int | None:
    assert callable(action)
    with pytest.raises(OSError) as caught:
        action()
    return caught.value.errno


def test_ordinary_programs(folder: Path, mounted: MountedStore) -> None:
    run("diff", "-r", folder / "folder0", folder / "try/folder0")
    run("sed", "-i", "s/3/three/", folder / "try/folder0/deep/file3")
    run("mv", folder / "try/folder1/deep/file1", folder / "moved")
    run("mv", folder / "folder2", folder / "try/from-outside")
    run("cp", "-a", folder / "folder0", folder / "try/copied")
    assert refusal(lambda: os.link(folder / "moved", folder / "try/linked")) == errno.EXDEV
    assert (folder / "moved").read_text() == "1"
    assert (folder / "folder1/deep/file1").read_text() == "1"
    assert (folder / "folder0/deep/file3").read_text() == "3"
    assert len(os.listdir(folder / "try/from-outside/deep")) == 10
    assert len({(folder / where / "folder0/deep/file0").stat().st_ino for where in ("", "try")}) == 2
    run("mv", folder / "try", folder / "folder1/elsewhere")
    assert (folder / "folder1/elsewhere/folder0/deep/file3").read_text() == "three"
    mounted.remount()
    assert (folder / "folder1/elsewhere/folder0/deep/file3").read_text() == "three"
    run("rm", "-rf", folder / "folder1/elsewhere")
    assert os.listdir(folder / "folder1") == ["deep"]
    assert len(os.listdir(folder / ".snapshots/then/folder2/deep")) == 10


def test_a_clone_goes_under_those_who_use_it_and_nothing_hangs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = os.open(folder / "try/written", os.O_RDWR | os.O_CREAT)
    mapped = os.open(folder / "try/folder0/deep/file0", os.O_RDWR)
    inside = os.open(folder / "try/folder1", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.write(written, b"w" * 300_000)  # which the kernel still keeps
        os.ftruncate(mapped, 8192)
        with mmap.mmap(mapped, 8192) as pages:
            pages[5000] = ord("m")
            with monkeypatch.context() as there:
                there.chdir(folder / "try/folder2")
                vfs("clone", "--delete", folder, "try")
                assert refusal(lambda: os.open("new", os.O_CREAT | os.O_WRONLY)) in (
                    errno.ENOENT,
                    errno.ESTALE,
                )
            assert refusal(lambda: os.listdir(inside)) == errno.ESTALE
            assert not (folder / "try").exists()
            assert refusal(lambda: write_and_sync(written)) in (errno.ESTALE, errno.EIO)
    finally:
        for descriptor in (written, mapped, inside):
            with suppress(OSError):  # which may well be told here
                os.close(descriptor)
    vfs("clone", folder, "then", folder / "try")
    assert not (folder / "try/written").exists()
    assert (folder / "try/folder0/deep/file0").read_text() == "0"
    assert (folder / "folder0/deep/file0").read_text() == "0"
