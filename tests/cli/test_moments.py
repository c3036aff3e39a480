"""What others find at any moment while a mount begins or ends: each of these moments is made a long one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import vfs as library
from tests.beside import beside
from tests.cli.living import is_mounted, log_of, mount, open_files
from tests.cli.shell import vfs
from tests.mounted.namespace import apart
from tests.waiting import eventually
from vfs.mount import unmount
from vfs.mount.kernel import KernelMount
from vfs.mount.mountinfo import Mount, mounts_of, read_mounts
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.unmount import Outcome

pytestmark = pytest.mark.mounted


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "another store"
    library.mkfs(path)
    return path


@pytest.fixture
def at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a daemon does last of all, long after its last line: code, to be written into this file."""
    folder = tmp_path / "imported at the start of each process"
    folder.mkdir()
    code = folder / "last"
    code.write_text("")
    begin = "import atexit, sys\nif '--foreground' in sys.argv:\n"
    last = f"    atexit.register(lambda: exec(open({str(code)!r}).read()))\n"
    (folder / "sitecustomize.py").write_text(begin + last)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return code


@contextmanager
def daemon(store: Path, point: Path, code: str) -> Iterator["subprocess.Popen[str]"]:
    """A daemon in which some code has changed something first; `go_on()` in it waits for `let_go`."""
    waiting = f"def go_on():\n    while not os.path.exists({str(gate(point))!r}): time.sleep(0.01)\n"
    begin = f"import os, signal, sys, time, vfs.mount.daemon as daemon\nfrom vfs.cli import main\n{waiting}"
    command = [sys.executable, "-c", f"{begin}{code}\nsys.exit(main(sys.argv[1:]))"]
    command += ["mount", "--foreground", str(store), str(point)]
    with beside(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        try:
            yield process
        finally:
            let_go(point)


def gate(point: Path) -> Path:
    return point.with_name(f"{point.name}.go on")


def let_go(point: Path, words: str = "") -> None:
    written = gate(point).with_suffix(".new")
    written.write_text(words)
    written.rename(gate(point))


def test_a_store_that_is_free_is_not_written_by_its_last_owner(
    store: Path, point: Path, at_the_end: Path
) -> None:
    """Whoever owns it next writes and rotates the same log."""
    at_the_end.write_text("import time; time.sleep(0.5); print('the very last words', file=sys.stderr)")
    pid = mount(store, point)
    os.kill(pid, signal.SIGTERM)
    assert wait_until_free(store, 60)
    assert log_of(store).endswith(f"closed {store}\nthe very last words\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_as_it_ends_a_daemon_ends_well(
    store: Path, point: Path, at_the_end: Path, number: int
) -> None:
    """As systemd and a supervisor tell it, one each."""
    at_the_end.write_text(f"import os; os.kill(os.getpid(), {int(number)})")
    with daemon(store, point, "") as process:
        eventually(lambda: is_mounted(store))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.endswith(f"closed {store}\n")


def test_ctrl_c_while_the_store_is_opened_is_no_fault(store: Path, point: Path) -> None:
    code = "daemon.open_filesystem = lambda *_, **__: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))"
    with daemon(store, point, code) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "vfs: interrupted\n")


def test_what_comes_to_the_place_of_a_mount_that_has_gone_stays(
    store: Path, point: Path, other: Path
) -> None:
    """The kernel gives it the device number that the first one had, if no other mount is faster."""
    code = (
        "def late(self):\n    go_on()\n"
        f"    self.device = open({str(gate(point))!r}).read() or self.device\n    remove(self)\n"
        "remove, daemon.KernelMount.remove = daemon.KernelMount.remove, late"
    )
    with daemon(store, point, code) as process:
        eventually(lambda: is_mounted(store))
        subprocess.run(["fusermount3", "-u", point], check=True, timeout=60)
        mount(other, point)
        (second,) = mounts_of(other, read_mounts())
        let_go(point, second.device)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert is_mounted(other)
    (point / "file").write_text("data")
    KernelMount(store, second.device).detach()  # as a signal would have it done
    assert (point / "file").read_text() == "data"
    assert vfs("umount", point).code == 0


def test_what_is_told_the_kernel_too_late_goes_nowhere(store: Path, point: Path) -> None:
    """A thread that tells it something may be stopped on its way, and go on while the store is closed."""
    code = (
        "from vfs.mount.handshake import sessions\nimport pyfuse3\n"
        "def late(self):\n"
        "    made = sessions()\n    remove(self)\n"
        "    new = {os.dup(2) for _ in range(20)}\n"
        "    pyfuse3.invalidate_inode(1, attr_only=True)\n"
        "    print('our numbers:', len(made), made & new, sessions(), file=sys.stderr)\n"
        "remove, daemon.KernelMount.remove = daemon.KernelMount.remove, late"
    )
    with daemon(store, point, code) as process:
        eventually(lambda: is_mounted(store))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "our numbers: 1 set() set()" in said


ELSEWHERE = """
"$bin/vfs" mkfs "$work/store" >/dev/null
mkdir "$work/mnt"
"$bin/vfs" mount "$work/store" "$work/mnt" >/dev/null
pid=$(cat "$work/store/lock")
unshare --mount --propagation private sh -c 'touch "$work/apart"; exec sleep 300' &
trap "kill $! 2>/dev/null || true" EXIT
until [ -e "$work/apart" ]; do sleep 0.05; done
"$bin/python" -c '
import sys
from vfs.cli import main
from vfs.mount import unmount
unmount.ELSEWHERE_SECONDS = 0.1
sys.exit(main(sys.argv[1:]))' umount "$work/mnt"
if mountpoint -q "$work/mnt"; then echo "it is there"; fi
[ -d "/proc/$pid" ] || echo "the daemon has ended"
kill %1
until "$bin/vfs" fsck "$work/store" >/dev/null 2>&1; do sleep 0.1; done
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mount namespaces")
def test_an_unmount_does_not_wait_for_what_another_mount_namespace_shows(tmp_path: Path) -> None:
    environment = {**os.environ, "work": str(tmp_path), "bin": str(Path(sys.executable).parent)}
    ran = subprocess.run(
        apart(tmp_path, ELSEWHERE), env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    said = f"unmounted {tmp_path}/mnt: off the tree here; the store stays mounted at another place\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said, "")


def test_of_two_stores_that_come_to_one_place_at_once_one_is_refused(
    store: Path, point: Path, other: Path
) -> None:
    code = "check = daemon.check_point\ndaemon.check_point = lambda *given: (check(*given), go_on())"
    with daemon(store, point, code) as process:
        eventually(lambda: find_owner(store) is not None)
        mount(other, point)
        (point / "file").write_text("data")
        let_go(point)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == (
        f"vfs: {point} is the mount point of {other}; unmount it first: vfs umount '{point}'"
    )
    assert not is_mounted(store)
    assert (point / "file").read_text() == "data"
    assert vfs("umount", point).code == 0


SLOW = "import time; time.sleep(0.5)"


@pytest.mark.parametrize("more", [(), ("--lazy",)])
def test_a_daemon_without_a_control_socket_has_ended_after_an_unmount(
    store: Path, point: Path, at_the_end: Path, more: tuple[str, ...]
) -> None:
    at_the_end.write_text(SLOW)
    pid = mount(store, point)
    (store / "control.sock").unlink()
    assert str(store / "vfs.log") in open_files(pid)
    ran = vfs("umount", *more, point)
    assert (ran.code, ran.out) == (0, f"unmounted {point}: the store is closed cleanly\n")
    assert open_files(pid) == set()


@pytest.mark.parametrize("is_late", [False, True])
def test_an_unmount_that_meets_the_end_of_the_mount_waits_for_it_and_calls_nobody_dead(
    store: Path, point: Path, at_the_end: Path, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    at_the_end.write_text(SLOW)
    pid = mount(store, point)
    old = read_mounts()
    looks: list[list[Mount]] = [old]
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not (store / "control.sock").exists())
    if is_late:
        assert wait_until_free(store, 60)
    monkeypatch.setattr(unmount, "read_mounts", lambda: looks.pop() if looks else read_mounts())
    assert unmount.unmount(point) == Outcome.CLOSED
    assert open_files(pid) == set()
