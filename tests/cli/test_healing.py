"""Mounting where a daemon died: in use, stacked, by many at once, still dying, and of another store."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import vfs as library
from tests.cli.living import is_mounted, mount, program_inside
from tests.cli.shell import vfs
from vfs.backing.file_names import LOCK_NAME
from vfs.errors import MountError, StoreBusy
from vfs.mount import healing
from vfs.mount.healing import refuse_living
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.owner import Owner, find_owner, wait_until_free
from vfs.mount.protocol import SOCKET_NAME

pytestmark = pytest.mark.mounted

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts other things")


def cleared(point: Path) -> str:
    return f"vfs: warning: clearing {point}: the daemon of this mount has died\n"


def dead_mount(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, signal.SIGKILL)
    assert wait_until_free(store, 60)


def test_programs_that_still_use_the_dead_mount_keep_nobody_from_mounting_again(
    store: Path, point: Path
) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    with program_inside(point) as program:
        os.kill(pid, signal.SIGKILL)
        assert wait_until_free(store, 60)  # or we are told that it is waited for, too
        mount(store, point, warning=cleared(point))
        assert (point / "file").read_text() == "data"
        assert (point / "held").exists()
        assert program.poll() is None
        assert len(mounts_of(store, read_mounts())) == 1
    assert vfs("umount", point).code == 0


@root_only
def test_a_dead_mount_that_shows_twice(store: Path, point: Path, tmp_path: Path) -> None:
    pid = mount(store, point)
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["mount", "--bind", point, copy], check=True)
    subprocess.run(["mount", "--bind", point, point], check=True)  # stacked on itself
    assert len(mounts_of(store, read_mounts())) == 3
    os.kill(pid, signal.SIGKILL)
    assert wait_until_free(store, 60)
    ran = vfs("mount", store, point)
    assert ran.code == 0, ran.err
    assert ran.err.count("clearing ") >= 2
    assert [mount_.point for mount_ in mounts_of(store, read_mounts())] == [point]
    assert vfs("umount", point).code == 0


@root_only
def test_a_dead_mount_under_another_file_system(store: Path, point: Path, tmp_path: Path) -> None:
    pid = mount(store, point)
    subprocess.run(["mount", "-t", "tmpfs", "over it", point], check=True)
    try:
        assert "is already mounted at" in vfs("mount", store, point).error
        os.kill(pid, signal.SIGKILL)
        assert wait_until_free(store, 60)
        ran = vfs("mount", store, point)
        assert ran.code == 1
        assert f"{point} is the mount point of over it (tmpfs); choose a free one" in ran.err
        other = tmp_path / "other"
        other.mkdir()
        ran = vfs("mount", store, other)  # it is in nobody's way there
        assert ran.code == 0, ran.err
        assert vfs("umount", other).code == 0
    finally:
        subprocess.run(["umount", point], check=True)
    assert vfs("umount", point).code == 0


def test_many_mount_at_once_over_a_dead_mount_and_one_of_them_does(store: Path, point: Path) -> None:
    dead_mount(store, point)
    command = [sys.executable, "-m", "vfs", "mount", str(store), str(point)]
    tries = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = [(process.communicate(timeout=100), process.returncode) for process in tries]
    assert sorted(code for _, code in ended) == [0, 1, 1], ended
    assert len(mounts_of(store, read_mounts())) == 1
    assert (point / "file").read_text() == "data"
    for (_, error), code in ended:
        assert code == 0 or b"Traceback" not in error
    assert vfs("umount", point).code == 0


def test_a_killed_process_is_told_from_a_living_one() -> None:
    assert not Owner(os.getpid()).is_dying()
    assert not Owner(None).is_dying()
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not Owner(process.pid).is_dying()
        process.kill()
        assert Owner(process.pid).is_dying()  # until it is waited for
    assert not Owner(process.pid).is_dying()


def test_a_daemon_that_has_crashed_and_is_not_gone_yet_is_waited_for(
    store: Path, point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection to the mount is over before its lock: the kernel takes one after the other from it."""
    dead_mount(store, point)
    owners = [Owner(None)] * 3
    monkeypatch.setattr(healing, "find_owner", lambda store: owners.pop() if owners else None)
    healing.refuse_living(store)
    assert not owners
    assert vfs("umount", point).code == 0


def test_who_works_on_a_store_with_a_dead_mount_is_waited_for_once(
    store: Path, point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by each of the launcher, the supervisor and the daemon."""
    dead_mount(store, point)
    monkeypatch.setattr(healing, "DYING_SECONDS", 0.1)
    with library.open(store), pytest.raises(StoreBusy, match=f"in use by process {os.getpid()}"):
        refuse_living(store)
    assert vfs("umount", point).code == 0


def test_who_has_the_store_after_a_killed_process_is_named(
    store: Path, point: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As its supervisor's next daemon: nobody waits for that to end, as for one that was killed."""
    living = mount(store, point)
    with subprocess.Popen(["sleep", "60"]) as process:
        process.kill()
        owners = [Owner(process.pid), Owner(process.pid)]
        monkeypatch.setattr(healing, "find_owner", lambda store: owners.pop() if owners else Owner(living))
        with pytest.raises(MountError, match=f"is already mounted at {point} by process {living}"):
            refuse_living(store)
        assert caplog.messages == [f"waiting for process {process.pid} to end: it was killed"]
    assert vfs("umount", point).code == 0


OWNER = """
import fcntl, sys, time
fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


def test_a_daemon_that_the_kernel_is_taking_apart_is_not_asked(store: Path, point: Path) -> None:
    """It is killed, but its lock and its socket are not closed yet: here we have them, too."""
    dead_mount(store, point)
    (store / SOCKET_NAME).unlink()
    lock = os.open(store / LOCK_NAME, os.O_RDWR)
    command = [sys.executable, "-c", OWNER, str(lock)]
    with (
        socket.socket(socket.AF_UNIX) as listening,
        subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[lock]) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        listening.bind(str(store / SOCKET_NAME))
        listening.listen()
        ran = vfs("umount", point)
    os.close(lock)
    assert (ran.code, ran.err) == (0, "")
    assert "its daemon had died" in ran.out


def test_the_dead_mount_of_another_store_is_left_alone(store: Path, point: Path, tmp_path: Path) -> None:
    dead_mount(store, point)
    other = tmp_path / "other store"
    library.mkfs(other)
    ran = vfs("mount", other, point)
    assert ran.code == 1
    assert f"{point} is the dead mount of another store, {store}, whose daemon has died" in ran.error
    assert "vfs umount" in ran.error
    assert is_mounted(store)
    assert find_owner(other) is None
    mount(store, point, warning=cleared(point))
    assert vfs("umount", point).code == 0
