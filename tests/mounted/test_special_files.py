"""Nodes that are neither files nor directories: fifos, sockets and devices keep what makes them."""

import errno
import os
import socket
import stat

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import as_nobody, needs_root, start_python, wait_for

pytestmark = pytest.mark.mounted


@needs_root
def test_mknod_of_every_kind(mount_store: Mounter) -> None:
    mounted = mount_store("dev")
    kinds = {
        "regular": (stat.S_IFREG | 0o640, 0),
        "fifo": (stat.S_IFIFO | 0o600, 0),
        "socket": (stat.S_IFSOCK | 0o755, 0),
        "null": (stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        "large numbers": (stat.S_IFCHR | 0o600, os.makedev(4095, 1048575)),
        "block": (stat.S_IFBLK | 0o660, os.makedev(7, 200)),
    }
    mask = os.umask(0)
    try:
        for name, (mode, device) in kinds.items():
            os.mknod(mounted.path / name, mode, device)
    finally:
        os.umask(mask)
    for again in (mounted.remount, mounted.kill):
        for name, (mode, device) in kinds.items():
            status = os.lstat(mounted.path / name)
            assert (status.st_mode, status.st_rdev, status.st_size) == (mode, device, 0), name
        with open(mounted.path / "null", "r+b", buffering=0) as null:
            assert null.write(b"into the void") == 13
            assert null.read(1) == b""
        again()
    mounted.mount()
    for name in kinds:
        os.unlink(mounted.path / name)


@needs_root
def test_without_the_dev_option_devices_do_not_open(mounted: MountedStore) -> None:
    os.mknod(mounted.path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(OSError) as caught:
        os.open(mounted.path / "null", os.O_RDONLY)
    assert caught.value.errno == errno.EACCES


@needs_root
def test_users_make_fifos_and_sockets_but_no_devices(shared: MountedStore) -> None:
    shared.path.chmod(0o777)
    as_nobody(
        """
        import os, stat
        os.mkfifo("fifo")
        os.mknod("socket", stat.S_IFSOCK | 0o600)
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            try:
                os.mknod("device", kind | 0o600, os.makedev(1, 3))
            except PermissionError:
                continue
            raise AssertionError(kind)
        """,
        cwd=shared.path,
    )
    assert sorted(os.listdir(shared.path)) == ["fifo", "socket"]


def test_a_fifo_carries_bytes_between_processes(mounted: MountedStore) -> None:
    os.mkfifo(mounted.path / "fifo")
    reader = start_python("print(open('fifo').read(), end='')", cwd=mounted.path)
    (mounted.path / "fifo").write_text("through the fifo")
    assert wait_for(reader) == "through the fifo"


def test_a_socket_on_the_mount_is_connected(mounted: MountedStore) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{(folder := os.open(mounted.path, os.O_PATH))}/socket")
        listener.listen()
        assert stat.S_ISSOCK(os.lstat(mounted.path / "socket").st_mode)
        client = start_python(
            """
            import socket
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect("socket")
                connection.sendall(b"hello")
            """,
            cwd=mounted.path,
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(10) == b"hello"
        wait_for(client)
        os.close(folder)
