"""The life of a mount as a user sees it: start, questions, every way to end it, and what goes wrong."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import vfs as library
from tests.cli.shell import vfs
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.protocol import socket_address

pytestmark = pytest.mark.mounted


def mount(store: Path, point: Path, *options: str, warning: str = "") -> int:
    """Mount in the background and return the daemon's pid."""
    ran = vfs("mount", store, point, *options)
    assert (ran.code, ran.err) == (0, warning)
    owner = find_owner(store)
    assert owner is not None
    assert owner.pid is not None
    assert ran.out.startswith(f"mounted {store} at {point} (pid {owner.pid}); unmount with: vfs umount ")
    return owner.pid


def is_mounted(store: Path) -> bool:
    return bool(mounts_of(store, read_mounts()))


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def log_of(store: Path) -> str:
    return (store / "vfs.log").read_text("utf-8", errors="surrogateescape")


@contextmanager
def program_inside(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that works in the folder and has a file of it open."""
    code = (
        "import time; f = open('held', 'a'); f.write('x'); f.flush(); print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        try:
            yield program
        finally:
            program.kill()


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


def test_a_busy_mount(store: Path, point: Path) -> None:
    mount(store, point)
    with program_inside(point) as program:
        ran = vfs("umount", point)
        assert ran.code == 1
        assert f"{point} is in use by python" in ran.error
        assert f"({program.pid}, works in it)" in ran.error
        assert "--lazy" in ran.error
        assert (point / "held").exists()
        ran = vfs("umount", "--lazy", point)
        assert ran.code == 0
        assert "when the last program that uses it ends" in ran.out
        assert not is_mounted(store)
        assert find_owner(store) is not None
    assert wait_until_free(store, 10)
    with library.open(store) as fs:
        assert fs.read_bytes("/held") == b"x"


def test_a_mount_inside_is_named(store: Path, point: Path, tmp_path: Path) -> None:
    inner_store = tmp_path / "inner"
    library.mkfs(inner_store)
    mount(store, point)
    inner = point / "inner point"
    inner.mkdir()
    mount(inner_store, inner)
    assert f"in use by a mount at {inner}" in vfs("umount", point).error
    assert vfs("umount", inner).code == 0
    assert vfs("umount", point).code == 0


def test_lazy_of_a_mount_that_nobody_uses_closes_it(store: Path, point: Path) -> None:
    mount(store, point)
    assert "closed cleanly" in vfs("umount", "--lazy", point).out
    assert find_owner(store) is None


def test_a_copy_of_the_mount_keeps_the_store(store: Path, point: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.xfail("only root makes bind mounts")
    mount(store, point)
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["mount", "--bind", point, copy], check=True)
    assert "stays mounted at another place" in vfs("umount", point).out
    assert "closed cleanly" in vfs("umount", copy).out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_unmount_cleanly(store: Path, point: Path, number: int) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, number)
    os.kill(pid, number)  # a second one changes nothing
    assert wait_until_free(store, 10)
    assert not is_mounted(store)
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/file") == b"data"


def test_a_signal_ends_a_busy_mount_and_keeps_what_was_written(store: Path, point: Path) -> None:
    pid = mount(store, point)
    with program_inside(point):
        os.kill(pid, signal.SIGTERM)
        assert wait_until_free(store, 10)
        assert not is_mounted(store)
    assert "what is open there ends with this daemon" in log_of(store)
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/held") == b"x"


def test_a_dead_daemon(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, signal.SIGKILL)
    assert wait_until_free(store, 10)
    ran = vfs("info", "--json", point)
    assert (ran.code, ran.document["pid"], ran.document["files"]) == (0, None, 1)
    assert "has died; clear it with: vfs umount" in ran.error
    assert vfs("fsck", point).code == 0
    ran = vfs("umount", point)
    assert (ran.code, ran.err) == (0, "")
    assert "its daemon had died" in ran.out
    assert not is_mounted(store)
    assert list(point.iterdir()) == []


def test_a_dead_mount_that_is_in_use_is_cleared(store: Path, point: Path) -> None:
    pid = mount(store, point)
    with program_inside(point):
        os.kill(pid, signal.SIGKILL)
        assert wait_until_free(store, 10)
        assert vfs("umount", point).code == 0
        assert not is_mounted(store)


def test_mounting_over_a_dead_mount_heals_it(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, signal.SIGKILL)
    warning = f"vfs: warning: clearing {point}: the daemon of this mount has died\n"
    assert mount(store, point, warning=warning) != pid
    assert (point / "file").read_text() == "data"
    assert len(mounts_of(store, read_mounts())) == 1
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
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
            assert done.returncode != 0
            assert f"process {pid} serves {store} but does not answer" in done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    assert vfs("umount", point).code == 0


def test_the_foreground(store: Path, point: Path) -> None:
    command = [sys.executable, "-m", "vfs", "mount", "--foreground", str(store), str(point)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as daemon:
        eventually(lambda: is_mounted(store))
        (point / "file").write_text("data")
        daemon.send_signal(signal.SIGINT)
        out, err = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert out == ""
    assert "SIGINT: unmounting" in err
    assert not (store / "vfs.log").exists()


def test_a_kernel_connection_that_is_cut_leaves_no_dead_mount(
    store: Path, point: Path, tmp_path: Path
) -> None:
    mount(store, point)
    (device,) = (mount_.device for mount_ in mounts_of(store, read_mounts()))
    connections = tmp_path / "connections"
    connections.mkdir()
    if subprocess.run(["mount", "-t", "fusectl", "none", connections], check=False).returncode != 0:
        pytest.xfail("only root mounts fusectl")
    try:
        (connections / device.split(":")[1] / "abort").write_text("1")
    finally:
        subprocess.run(["umount", connections], check=True)
    assert wait_until_free(store, 10)
    assert not is_mounted(store)


CRASHES = {
    "background": "async def fail(self, *, task_status):\n"
    "    task_status.started(); await trio.sleep(0.5); 1 / 0\n"
    "Adapter.background = fail\n",
    "main": "async def fail(): await trio.sleep(0.5); 1 / 0\nvfs.mount.daemon.pyfuse3.main = fail\n",
    "close": "FileSystem.close_ = FileSystem.close\n"
    "def fail(self): self.close_(); 1 / 0\nFileSystem.close = fail\n",
}


@pytest.mark.parametrize("place", CRASHES)
def test_an_exception_in_the_daemon_leaves_a_traceback_and_no_mount(
    store: Path, point: Path, place: str
) -> None:
    code = (
        "import sys, trio, vfs.mount.daemon\nfrom vfs.mount.adapter import Adapter\n"
        "from vfs.filesystem import FileSystem\nfrom vfs.cli import main\n"
        f"{CRASHES[place]}"
        "sys.exit(main(sys.argv[1:]))"
    )
    reading, writing = os.pipe()
    arguments = ["mount", "--foreground", f"--ready-fd={writing}", str(store), str(point)]
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.PIPE) as daemon:
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert place == "main" or json.loads(pipe.readline())["ready"]
        if place == "close":
            ran = vfs("umount", point)
            assert ran.code == 1
            assert "the traceback is in its vfs.log" in ran.error
        daemon.communicate(timeout=20)
    assert daemon.returncode == 1
    assert "ZeroDivisionError" in log_of(store)
    assert "Traceback" in log_of(store)
    assert not is_mounted(store)
    assert find_owner(store) is None
    assert not (store / "control.sock").exists()
    assert list(point.iterdir()) == []


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
