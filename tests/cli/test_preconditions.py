"""What must hold before a mount: each check with its message, also those of a user who is not root."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import vfs
from vfs.errors import MountError, NotAStore, StoreNotFound
from vfs.mount import preconditions
from vfs.mount.healing import AlreadyMounted
from vfs.mount.mountinfo import Mount
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.preconditions import (
    check_allow_other,
    check_apart,
    check_device,
    check_fusermount,
    check_point,
    check_store,
)


def vfs_mount(point: Path, type_: str = "fuse.vfs") -> Mount:
    return Mount(7, 1, "0:9", "/", point, type_, "/some/st%20ore")


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def device_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = os.open

    def refuse(path: object, *arguments: int, **keywords: int) -> int:
        if path == preconditions.FUSE_DEVICE:
            raise OSError(number, os.strerror(number), "/dev/fuse")
        return real(path, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "there is no /dev/fuse; load the module (modprobe fuse)"),
        (errno.EACCES, "no permission to open /dev/fuse"),
        (errno.EPERM, "no permission to open /dev/fuse"),
        (errno.ENODEV, "module is not loaded"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_device(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    device_error(monkeypatch, number)
    with pytest.raises(MountError) as caught:
        check_device()
    assert words in str(caught.value)
    assert "container" in str(caught.value)


@pytest.mark.usefixtures("as_user")
def test_fusermount_is_needed_by_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MountError, match="fusermount3 is not installed; install it with: apt install fuse3"):
        check_fusermount()


def test_fusermount_is_not_needed_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check_fusermount()


@pytest.mark.usefixtures("as_user")
@pytest.mark.parametrize("content", [None, "", "#user_allow_other\n", "mount_max = 1000\n"])
def test_allow_other_is_refused_to_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    conf = tmp_path / "fuse.conf"
    if content is not None:
        conf.write_text(content)
    monkeypatch.setattr(preconditions, "FUSE_CONF", conf)
    with pytest.raises(MountError, match="user_allow_other"):
        check_allow_other()


@pytest.mark.usefixtures("as_user")
def test_allow_other_where_the_machine_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "fuse.conf"
    conf.write_text("# comment\n user_allow_other \n")
    monkeypatch.setattr(preconditions, "FUSE_CONF", conf)
    check_allow_other()


def test_neither_may_lie_inside_the_other() -> None:
    check_apart(Path("/a/store"), Path("/a/store2"))
    for store, point, words in (
        ("/a", "/a", "the store itself"),
        ("/a", "/a/m", "lies inside the store"),
        ("/m/a", "/m", "lies inside the mount point"),
    ):
        with pytest.raises(MountError, match=words):
            check_apart(Path(store), Path(point))


def test_mount_point(tmp_path: Path) -> None:
    check_point(tmp_path, [])
    missing = tmp_path / "a b"
    with pytest.raises(MountError, match=r"create it with: mkdir -p '.*/a b'"):
        check_point(missing, [])
    missing.write_text("")
    with pytest.raises(MountError, match="not a directory"):
        check_point(missing, [])
    with pytest.raises(MountError, match="not empty"):
        check_point(tmp_path, [])
    (tmp_path / "superblock.json").write_text("")
    with pytest.raises(MountError, match="the order is: vfs mount STORE MOUNTPOINT"):
        check_point(tmp_path, [])


def test_mount_point_that_is_one_already(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="is the mount point of /some/st ore; unmount it first: vfs umount"):
        check_point(tmp_path, [vfs_mount(tmp_path)])
    with pytest.raises(MountError, match="choose a free one"):
        check_point(tmp_path, [vfs_mount(tmp_path, "ext4")])


@pytest.mark.usefixtures("as_user")
def test_mount_point_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(MountError, match="no permission to mount"):
        check_point(tmp_path, [])


def test_mount_point_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(MountError, match="no permission to look into"):
        check_point(tmp_path, [])


def test_store(store: Path, tmp_path: Path) -> None:
    check_store(store, [])
    with pytest.raises(StoreNotFound):
        check_store(tmp_path / "none", [])
    with pytest.raises(NotAStore, match="superblock"):
        check_store(tmp_path, [])
    with pytest.raises(NotAStore, match="mount point of the store /some/st ore"):
        check_store(tmp_path, [vfs_mount(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [store.name]  # nothing was created to find out


def test_owner(store: Path) -> None:
    assert find_owner(store) is None
    assert find_owner(store / "none") is None
    assert wait_until_free(store, 0.1)


def test_owner_while_it_is_open(store: Path) -> None:
    with vfs.open(store):
        owner = find_owner(store)
        assert owner is not None
        assert owner.pid == os.getpid()
        assert not wait_until_free(store, 0.05)
        assert f"by process {os.getpid()}; unmount" in str(AlreadyMounted(store, Path("/m n")))
        assert "vfs umount '/m n'" in str(AlreadyMounted(store, Path("/m n")))
    assert find_owner(store) is None
