"""A mount as a user sees it: starting it, asking about it, and what is refused."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import vfs as library
from tests.beside import beside
from tests.cli.living import is_mounted, log_of, mount
from tests.cli.shell import vfs
from tests.waiting import eventually
from vfs.mount.owner import find_owner
from vfs.mount.protocol import socket_address

pytestmark = pytest.mark.mounted


def test_from_mount_to_umount(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("hello")
    facts = vfs("info", "--json", point).document
    assert (facts["pid"], facts["store"], facts["mountpoint"]) == (pid, str(store), str(point))
    assert (facts["files"], facts["directories"], facts["logical_bytes"]) == (1, 1, 5)
    assert vfs("info", "--json", store).document["pid"] == pid
    assert stat.S_IMODE((store / "control.sock").lstat().st_mode) == 0o600
    for target in (store, point):
        ran = vfs("fsck", "--json", target)
        assert (ran.code, ran.document["clean"]) == (0, True)
    ran = vfs("umount", point)
    assert ran == (0, f"unmounted {point}: the store is closed cleanly\n", "")
    assert find_owner(store) is None
    assert not is_mounted(store)
    assert sorted(path.name for path in store.iterdir()) == [
        "index.db",
        "lock",
        "log",
        "packs",
        "superblock.json",
        "vfs.log",
    ]
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/file") == b"hello"


def test_relative_paths_and_links(store: Path, point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.parent)
    Path("link").symlink_to(point)
    ran = vfs("mount", store.name, "link/")
    assert f"mounted {store} at {point}" in ran.out
    assert vfs("info", "--json", "link").document["mountpoint"] == str(point)
    assert vfs("umount", "link").code == 0


def test_a_store_with_a_long_path_that_is_not_utf8(tmp_path: Path, point: Path) -> None:
    store = tmp_path / ("lang " * 40) / os.fsdecode(b"caf\xe9, # \\ x")
    store.parent.mkdir()
    library.mkfs(store)
    pid = mount(store, point)
    assert vfs("info", "--json", point).document["store"] == str(store)
    assert vfs("info", "--json", store).document["pid"] == pid
    assert vfs("umount", point).code == 0


def test_nothing_may_be_in_the_way(store: Path, point: Path, tmp_path: Path) -> None:
    (tmp_path / "full" / "x").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (store / "inside").mkdir()
    for where, words in (
        (tmp_path / "missing", "create it with: mkdir -p"),
        (tmp_path / "full", "not empty"),
        (tmp_path / "file", "not a directory"),
        (store / "inside", "lies inside the store"),
        (store, "the store itself"),
        (tmp_path, "lies inside the mount point"),
    ):
        ran = vfs("mount", store, where)
        assert ran.code == 1
        assert words in ran.error
    other = tmp_path / "other store"
    library.mkfs(other)
    assert "the order is: vfs mount STORE MOUNTPOINT" in vfs("mount", store, other).error
    assert not is_mounted(store)


def test_what_is_mounted_is_not_mounted_again(store: Path, point: Path, tmp_path: Path) -> None:
    pid = mount(store, point)
    second, other = tmp_path / "second", tmp_path / "other store"
    second.mkdir()
    library.mkfs(other)
    for where in (point, second):
        ran = vfs("mount", store, where)
        assert ran.code == 1
        assert ran.error.startswith(
            f"{store} is already mounted at {point} by process {pid}; unmount it first"
        )
    assert f"{point} is the mount point of {store}" in vfs("mount", other, point).error
    assert f"it is the mount point of the store {store}" in vfs("mount", point, second).error
    assert "is the mount point of" in vfs("mkfs", point).error
    assert "unmount it by its mount point: vfs umount" in vfs("umount", store).error
    (point / "sub").mkdir()
    for verb in ("umount", "info", "fsck"):
        assert "lies inside a mount" in vfs(verb, point / "sub").error
    assert vfs("umount", point).code == 0


def test_a_daemon_that_hangs_hangs_nobody_else(store: Path, point: Path, tmp_path: Path) -> None:
    pid = mount(store, point)
    os.kill(pid, signal.SIGSTOP)
    try:
        code = (
            "import sys; from vfs.mount import client, probe; from vfs.cli import main\n"
            "client.ANSWER_SECONDS = 0.5; probe.ask.__defaults__ = (0.5,)\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        for arguments in (["info", "--json", point], ["umount", point], ["fsck", store]):
            command = [sys.executable, "-c", code, *map(str, arguments)]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode != 0
            assert f"process {pid} serves {store} but does not answer" in done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    assert vfs("umount", point).code == 0


def test_the_foreground(store: Path, point: Path) -> None:
    command = [sys.executable, "-m", "vfs", "mount", "--foreground", str(store), str(point)]
    with beside(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ) as daemon:
        eventually(lambda: is_mounted(store))
        (point / "file").write_text("data")
        daemon.send_signal(signal.SIGINT)
        out, err = daemon.communicate(timeout=60)
    assert daemon.returncode == 0
    assert out == ""
    assert "SIGINT: unmounting" in err
    assert not (store / "vfs.log").exists()


LATE_SOCKET = """
import sys, time
from vfs.cli import main
from vfs.mount.control import ControlServer
listen = ControlServer._listen
def late(self):
    time.sleep(1)
    return listen(self)
ControlServer._listen = late
sys.exit(main(sys.argv[1:]))
"""


def test_a_mount_that_has_just_begun_is_one_that_can_be_asked(store: Path, point: Path) -> None:
    """It shows before anything of it is answered."""
    command = [sys.executable, "-c", LATE_SOCKET, "mount", "--foreground", str(store), str(point)]
    with beside(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as daemon:
        eventually(lambda: is_mounted(store))
        ran = vfs("info", "--json", point)
        assert (ran.code, ran.err) == (0, "")
        assert ran.document["pid"] == daemon.pid
        assert vfs("umount", point).code == 0
        _, said = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, said


def test_a_mount_without_its_control_socket(store: Path, point: Path) -> None:
    mount(store, point)  # as on a read-only disk, which has no place for the socket
    (store / "control.sock").unlink()
    for verb in ("info", "fsck"):
        ran = vfs(verb, point)
        assert ran.code != 0
        assert "has no control socket" in ran.error
    assert vfs("umount", point).out == f"unmounted {point}: the store is closed cleanly\n"


def test_a_daemon_that_dies_while_starting_is_reported(store: Path, point: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif '--foreground' in sys.argv: sys.exit('no way')\n"
    )
    ran = vfs("mount", store, point, env={"PYTHONPATH": str(tmp_path)})
    assert ran.code == 1
    assert "before the mount was ready" in ran.error


def test_the_launcher_passes_the_daemons_error_on(store: Path, point: Path) -> None:
    (store / "control.sock").write_text("not a socket")
    ran = vfs("mount", store, point)
    assert ran.code == 1
    assert "control.sock in the store is not a socket" in ran.error
    assert not is_mounted(store)
    assert find_owner(store) is None


def test_garbage_on_the_real_socket(store: Path, point: Path) -> None:
    mount(store, point)
    for sent in (b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b'{"verb": "info", "x": [[[['):
        with socket_address(store) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            with suppress(ConnectionError):
                connection.sendall(sent)
    assert vfs("info", "--json", point).code == 0
    assert vfs("umount", point).code == 0
    assert "Traceback" not in log_of(store)


def test_options_reach_the_mount(store: Path, point: Path) -> None:
    mount(store, point, "-o", "ro,noexec,commit=1.5", "-o", "cache_size=128M")
    (shown,) = (
        line
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if "fuse.vfs" in line and str(point).replace(" ", "\\040") in line
    )
    assert {"ro", "noexec"} <= set(shown.split(" ")[3].split(","))
    with pytest.raises(OSError, match="Read-only"):
        (point / "x").write_text("")
    options = vfs("info", "--json", point).document["options"]
    assert (options["read_only"], options["commit_seconds"], options["cache_bytes"]) == (True, 1.5, 128 << 20)
    assert vfs("fsck", point).code == 0
    assert vfs("umount", point).code == 0


def test_debug_shows_tracebacks(store: Path, tmp_path: Path) -> None:
    ran = vfs("mount", "-o", "debug", store, tmp_path / "missing")
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("vfs: no such mount point")


def test_many_can_ask_at_once_while_fsck_runs(store: Path, point: Path) -> None:
    mount(store, point)
    for number in range(200):
        (point / str(number)).write_bytes(os.urandom(5000))
    checks = [
        subprocess.Popen([sys.executable, "-m", "vfs", "fsck", "--json", point], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for number in range(50):
        (point / f"new {number}").write_bytes(b"x" * 10_000)
    for check in checks:
        out, _ = check.communicate(timeout=60)
        assert check.returncode == 0, out
        assert json.loads(out)["clean"]
    assert vfs("umount", point).code == 0
