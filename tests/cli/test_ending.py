"""Every way in which a mount can end, and what is left: nothing of the mount, everything of the data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import vfs as library
from tests.beside import beside
from tests.cli.living import is_mounted, log_of, mount, open_files, program_inside
from tests.cli.shell import vfs
from tests.mounted import late_daemon
from tests.mounted.mounting import ROOT
from tests.waiting import eventually
from vfs.backing.lock import StoreLock
from vfs.backing.storage import DirectoryStorage
from vfs.mount import flushing
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.process_end import ProcessEnd
from vfs.mount.unmount import Outcome, unmount

pytestmark = pytest.mark.mounted


def test_a_helper_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sync"
    program.write_text("#!/bin/sh\nexec sleep 300\n")
    program.chmod(0o700)
    monkeypatch.setattr(flushing, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    start = time.monotonic()
    flushing.flush_pages(Path("/somewhere"))
    assert 0.1 < time.monotonic() - start < 60


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
    assert wait_until_free(store, 60)
    with library.open(store) as fs:
        assert fs.read_bytes("/held") == b"x"


def test_a_program_that_has_pages_written_is_waited_for(store: Path, point: Path, tmp_path: Path) -> None:
    """The daemon itself starts such a one for each snapshot; nobody has to know of it to unmount."""
    program = tmp_path / "sync"
    shutil.copy("/bin/sleep", program)
    mount(store, point)
    inside = os.open(point, os.O_RDONLY)
    with subprocess.Popen([program, "2"], stdin=inside) as slow:
        os.close(inside)
        assert vfs("umount", point) == (0, f"unmounted {point}: the store is closed cleanly\n", "")
        assert slow.wait(60) == 0  # it has nothing open any more, which comes before its end


def test_a_user_who_ends_as_the_mount_is_tried_keeps_it_from_nobody(
    store: Path, point: Path, tmp_path: Path
) -> None:
    helper = tmp_path / "fusermount3"
    tried = tmp_path / "tried"
    refusal = f"if [ ! -e '{tried}' ]; then : >'{tried}'; echo 'Device or resource busy' >&2; exit 1; fi"
    helper.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which("fusermount3")} "$@"\n')
    helper.chmod(0o700)
    mount(store, point)
    ran = vfs("umount", point, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert ran == (0, f"unmounted {point}: the store is closed cleanly\n", "")
    assert tried.exists()


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


@pytest.fixture
def daemons_slow_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is busy: half a second goes by between the last line of a daemon and its end."""
    folder = tmp_path / "imported at the start of each process"
    folder.mkdir()
    late = 'import atexit, sys, time\nif "--foreground" in sys.argv: atexit.register(time.sleep, 0.5)\n'
    (folder / "sitecustomize.py").write_text(late)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.usefixtures("daemons_slow_to_end")
@pytest.mark.parametrize("more", [(), ("--lazy",)])
def test_after_an_unmount_the_daemon_has_nothing_of_the_store_open(
    store: Path, point: Path, more: tuple[str, ...]
) -> None:
    pid = mount(store, point)
    assert str(store / "vfs.log") in open_files(pid)
    assert vfs("umount", *more, point).code == 0
    assert open_files(pid) == set()


@pytest.mark.parametrize("lazy", [False, True])
def test_whoever_owns_the_store_next_is_not_waited_for(
    store: Path, point: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    """As where a store is mounted again at the first look at it."""
    owners: list[StoreLock] = []
    wait = ProcessEnd.wait

    def wait_and_be_late(end: ProcessEnd, seconds: float) -> bool:
        ended = wait(end, seconds)
        owners.append(StoreLock.acquire(DirectoryStorage(store)))
        return ended

    mount(store, point)
    monkeypatch.setattr(ProcessEnd, "wait", wait_and_be_late)
    try:
        assert unmount(point, lazy=lazy) is Outcome.CLOSED
        assert owners
    finally:
        for owner in owners:
            owner.release()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_unmount_cleanly(store: Path, point: Path, number: int) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, number)
    with suppress(ProcessLookupError):
        os.kill(pid, number)  # a second one changes nothing
    assert wait_until_free(store, 60)
    assert not is_mounted(store)
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/file") == b"data"


@pytest.mark.usefixtures("point")  # which takes off what a failure leaves
def test_a_signal_unmounts_wherever_the_mount_shows_by_then(store: Path, tmp_path: Path) -> None:
    (tmp_path / "before" / "point").mkdir(parents=True)
    pid = mount(store, tmp_path / "before" / "point")
    (tmp_path / "before").rename(tmp_path / "after")
    (tmp_path / "after" / "point" / "file").write_text("data")
    os.kill(pid, signal.SIGTERM)
    assert wait_until_free(store, 60)
    assert not is_mounted(store)
    assert list((tmp_path / "after" / "point").iterdir()) == []
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/file") == b"data"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts other things")
def test_a_signal_unmounts_all_copies_of_the_mount(store: Path, point: Path, tmp_path: Path) -> None:
    pid = mount(store, point)
    copy = tmp_path / "copy"
    copy.mkdir()
    for place in (copy, point, point):  # one over the other
        subprocess.run(["mount", "--bind", point, place], check=True, timeout=60)
    assert len(mounts_of(store, read_mounts())) == 4
    with ProcessEnd(pid) as daemon:
        os.kill(pid, signal.SIGTERM)
        assert daemon.wait(60)
    assert not is_mounted(store)
    assert "another mount namespace" not in log_of(store)


def test_a_signal_ends_a_busy_mount_and_keeps_what_was_written(store: Path, point: Path) -> None:
    pid = mount(store, point)
    with program_inside(point):
        os.kill(pid, signal.SIGTERM)
        assert wait_until_free(store, 60)
        assert not is_mounted(store)
    assert "what is open there ends with this daemon" in log_of(store)
    with library.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/held") == b"x"


LARGE = 30_000_000  # more than the kernel sends before it waits for answers


def test_a_signal_keeps_what_the_kernel_has_not_handed_over(store: Path, point: Path) -> None:
    command = [sys.executable, "-m", late_daemon.__name__, "mount", "--foreground", str(store), str(point)]
    with beside(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)) as daemon:
        eventually(lambda: is_mounted(store), 60)
        with open(point / "held", "wb", buffering=0) as held:
            held.write(b"x" * LARGE)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0
            with suppress(OSError):
                held.close()
    with library.open(store) as fs:
        assert fs.read_bytes("/held") == b"x" * LARGE


def test_a_dead_daemon(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, signal.SIGKILL)
    assert wait_until_free(store, 60)
    ran = vfs("info", "--json", point)
    assert (ran.code, ran.document["pid"], ran.document["files"]) == (0, None, 1)
    assert "has died; clear it with: vfs umount" in ran.error
    ran = vfs("copy", point / "file", point / "copy")
    assert (ran.code, ran.out) == (1, "")
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
        assert wait_until_free(store, 60)
        assert vfs("umount", point).code == 0
        assert not is_mounted(store)


def test_mounting_over_a_dead_mount_heals_it(store: Path, point: Path) -> None:
    pid = mount(store, point)
    (point / "file").write_text("data")
    os.kill(pid, signal.SIGKILL)
    assert wait_until_free(store, 60)  # or we are told that it is waited for, too
    warning = f"vfs: warning: clearing {point}: the daemon of this mount has died\n"
    assert mount(store, point, warning=warning) != pid
    assert (point / "file").read_text() == "data"
    assert len(mounts_of(store, read_mounts())) == 1
    assert vfs("umount", point).code == 0


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
    assert wait_until_free(store, 60)
    assert not is_mounted(store)


CRASHES = {
    "background": "async def fail(self, *, task_status):\n"
    "    task_status.started()\n"
    "    while not os.path.exists(sys.argv[-1] + '.go on'): await trio.sleep(0.01)\n"
    "    1 / 0\n"
    "Adapter.background = fail\n",
    "main": "async def fail(*handshake, **_):\n"
    "    if handshake: return await main_(*handshake)\n"
    "    await trio.sleep(0.5); 1 / 0\n"
    "main_, pyfuse3.main = pyfuse3.main, fail\n",
    "close": "FileSystem.close_ = FileSystem.close\n"
    "def fail(self): self.close_(); 1 / 0\nFileSystem.close = fail\n",
}


@pytest.mark.parametrize("place", CRASHES)
def test_an_exception_in_the_daemon_leaves_a_traceback_and_no_mount(
    store: Path, point: Path, place: str
) -> None:
    code = (
        "import os, pyfuse3, sys, trio, vfs.mount.daemon\nfrom vfs.mount.adapter import Adapter\n"
        "from vfs.filesystem import FileSystem\nfrom vfs.cli import main\n"
        f"{CRASHES[place]}"
        "sys.exit(main(sys.argv[1:]))"
    )
    reading, writing = os.pipe()
    arguments = ["mount", "--foreground", f"--ready-fd={writing}", str(store), str(point)]
    command = [sys.executable, "-c", code, *arguments]
    with beside(subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.PIPE)) as daemon:
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert place == "main" or json.loads(pipe.readline())["ready"]
        point.with_name(f"{point.name}.go on").touch()
        if place == "close":
            ran = vfs("umount", point)
            assert ran.code == 1
            assert "the traceback is in its vfs.log" in ran.error
        daemon.communicate(timeout=60)
    assert daemon.returncode == 1
    assert "ZeroDivisionError" in log_of(store)
    assert "Traceback" in log_of(store)
    assert not is_mounted(store)
    assert find_owner(store) is None
    assert not (store / "control.sock").exists()
    assert list(point.iterdir()) == []


ABORTED = (
    "async def cut(*handshake, **_):\n"
    "    if handshake: return await main_(*handshake)\n"
    "    await trio.sleep(0.5)\n"
    "    raise ExceptionGroup('', [ConnectionAbortedError(103, 'fuse_session_receive_buf failed')])\n"
    "main_, pyfuse3.main = pyfuse3.main, cut\n"
)


def test_a_connection_that_ends_amid_a_request_is_an_ordinary_end(store: Path, point: Path) -> None:
    code = f"import pyfuse3, sys, trio\nfrom vfs.cli import main\n{ABORTED}sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "mount", "--foreground", str(store), str(point)]
    ran = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert "closed" in ran.stderr
    assert not is_mounted(store)


LATE = (
    "adapter = vfs.mount.daemon.Adapter\n"
    "answer = adapter.release\n"
    "async def late(self, fh):\n"
    "    Path(f'{sys.argv[3]} was asked').touch()\n"
    "    while mounts_of(Path(sys.argv[3]), read_mounts()):\n"
    "        await trio.sleep(0.01)\n"
    "    await answer(self, fh)\n"
    "    print('answered late', file=sys.stderr, flush=True)\n"
    "adapter.release = late\n"
)


def test_an_answer_that_comes_after_the_mount_has_gone_is_no_error(store: Path, point: Path) -> None:
    code = (
        "import sys, trio, vfs.mount.daemon\nfrom pathlib import Path\nfrom vfs.cli import main\n"
        f"from vfs.mount.mountinfo import mounts_of, read_mounts\n{LATE}sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "mount", "--foreground", str(store), str(point)]
    with beside(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as daemon:
        eventually(lambda: is_mounted(store))
        (point / "file").write_text("data")
        # The kernel asks when the file is closed already, and asks nothing more without the mount.
        eventually(store.with_name(f"{store.name} was asked").exists)
        subprocess.run(["umount", point], check=True, timeout=60)
        _, said = daemon.communicate(timeout=60)
    assert daemon.returncode == 0
    assert "answered late" in said
    assert "ERROR" not in said
    assert not is_mounted(store)
