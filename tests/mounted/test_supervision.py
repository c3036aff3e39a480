"""`vfs mount --supervise`: a daemon that dies comes again, one that is told to end does not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.beside import beside
from tests.cli.living import is_mounted, log_of
from tests.cli.shell import vfs
from tests.mounted.mounting import copy_of_an_empty_store
from tests.mounted.vitals import vitals
from tests.waiting import eventually
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.process_end import ProcessEnd

pytestmark = pytest.mark.mounted

SECONDS = 60.0

# Writes and syncs numbered files, whatever happens to the mount. Prints which of them are safe there.
WRITER = """
import os, select, sys
folder, number = sys.argv[1], 0
below = os.stat(os.path.dirname(folder)).st_dev
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    try:
        descriptor = os.open(f"{folder}/{number:06d}", os.O_WRONLY | os.O_CREAT)
        try:
            os.write(descriptor, b"%06d" % number)
            os.fsync(descriptor)
            mounted = os.fstat(descriptor).st_dev != below
        finally:
            os.close(descriptor)
    except OSError:
        continue
    if mounted:
        print(number, flush=True)
"""


MOUNTED = ("supervisor: mounted at ", "supervisor: mounted again at ")
"""What is said of a mount by the first daemon and by each later one."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    copy_of_an_empty_store(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    if is_mounted(tmp_path / "store"):
        subprocess.run(["fusermount3", "-u", "-z", "-q", "--", str(path)], check=False, timeout=20)


def info(point: Path) -> dict[str, Any]:
    ran = vfs("info", "--json", point)
    assert ran.code == 0, ran.err
    facts: dict[str, Any] = ran.document
    return facts


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def begins_over_dead(pid: int) -> bool:
    return b"--over-dead" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


@contextmanager
def supervised(store: Path, point: Path, changed: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A supervisor in the foreground, in which some code has changed something first."""
    code = (
        "import sys\nfrom vfs.cli import main\nfrom vfs.mount import supervisor\n"
        f"{changed}\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "mount", "--supervise", "--foreground", str(store), str(point)]
    with beside(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as supervisor:
        yield supervisor


def wait_for_line(stream: IO[str] | None, words: str) -> None:
    """Read what a program says until it has said that."""
    assert stream is not None
    said = []
    while words not in (line := stream.readline()):
        said.append(line)
        assert line, said


def owner_of(store: Path) -> int:
    """The daemon that serves the store, which certainly one does; its pid."""
    owner = find_owner(store)
    assert owner is not None
    assert owner.pid is not None
    return owner.pid


def mounted_again(store: Path, times: int) -> int:
    """The daemon of the mount, once it has been started again so often; its pid."""
    eventually(lambda: log_of(store).count(MOUNTED[True]) >= times, SECONDS)
    return owner_of(store)


def test_it_keeps_no_folder_of_whoever_mounted_busy(
    store: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk can be unmounted on which somebody stood, and from which modules came by a relative path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "modules")
    ran = vfs("mount", "--supervise", store, point)
    assert (ran.code, ran.err) == (0, "")
    facts = info(point)
    for pid in (facts["pid"], facts["supervisor_pid"]):
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
    environment = Path(f"/proc/{facts['pid']}/environ").read_bytes().split(b"\0")
    [paths] = [entry for entry in environment if entry.startswith(b"PYTHONPATH=")]
    assert bytes(tmp_path / "modules") in paths
    assert vfs("umount", point).code == 0


def test_killed_again_and_again_under_a_writer_it_comes_again(store: Path, point: Path) -> None:
    ran = vfs("mount", "--supervise", "-o", "commit=1", store, point)
    assert (ran.code, ran.err) == (0, "")
    facts = info(point)
    daemon, supervisor = facts["pid"], facts["supervisor_pid"]
    assert f"(pid {daemon})" in ran.out
    assert (facts["restarts"], children_of(supervisor)) == (0, [daemon])
    memory = vitals(supervisor).memory_bytes
    said = store.parent / "said"
    command = [sys.executable, "-c", WRITER, str(point)]
    with open(said, "wb") as out, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as writer:
        for kills in range(1, 5):
            size = said.stat().st_size
            eventually(lambda size=size: said.stat().st_size > size, SECONDS)  # type: ignore[misc]
            if kills < 4:
                os.kill(daemon, signal.SIGKILL)
                daemon = mounted_again(store, kills)
        writer.communicate(b"", timeout=60)
    facts = info(point)
    assert (facts["pid"], facts["supervisor_pid"], facts["restarts"]) == (daemon, supervisor, 3)
    assert facts["options"]["commit_seconds"] == 1
    acknowledged = [int(line) for line in said.read_text().split()]
    assert len(acknowledged) >= 4
    for number in acknowledged:
        assert (point / f"{number:06d}").read_bytes() == b"%06d" % number
    assert log_of(store).count("supervisor: the daemon ended by SIGKILL; restart ") == 3
    assert log_of(store).count("supervisor: mounted again at ") == 3
    assert children_of(supervisor) == [daemon]
    assert vitals(supervisor).memory_bytes < memory * 1.2
    assert vfs("umount", point).code == 0
    eventually(lambda: not is_alive(supervisor), SECONDS)
    assert find_owner(store) is None
    assert vfs("fsck", store).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_ends_both_cleanly(store: Path, point: Path, number: int) -> None:
    with supervised(store, point) as supervisor:
        wait_for_line(supervisor.stderr, "supervisor: mounted at ")
        daemon = owner_of(store)
        if number == signal.SIGINT:  # first a death, which shows on stderr too
            os.kill(daemon, signal.SIGKILL)
            wait_for_line(supervisor.stderr, "restart 1")
            wait_for_line(supervisor.stderr, "mounted again")
            daemon = owner_of(store)
        supervisor.send_signal(number)
        _, said = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, said
    assert not is_alive(daemon)
    assert not is_mounted(store)
    assert find_owner(store) is None


def test_told_to_end_it_stays_ended_and_without_its_supervisor_it_goes_on_alone(
    store: Path, point: Path
) -> None:
    assert vfs("mount", "--supervise", store, point).code == 0
    daemon = owner_of(store)
    supervisor = parent_of(daemon)
    os.kill(daemon, signal.SIGTERM)
    eventually(lambda: not is_alive(supervisor), SECONDS)
    assert wait_until_free(store, SECONDS)
    assert not is_mounted(store)
    assert "restart" not in log_of(store)

    assert vfs("mount", "--supervise", store, point).code == 0
    facts = info(point)
    with ProcessEnd(facts["supervisor_pid"]) as supervisors:  # then its child has another parent
        os.kill(facts["supervisor_pid"], signal.SIGKILL)
        assert supervisors.wait(SECONDS)
    (point / "file").write_text("data")
    alone = info(point)
    assert (alone["pid"], alone["supervisor_pid"]) == (facts["pid"], None)
    assert vfs("umount", point).code == 0
    assert not is_alive(facts["pid"])


def test_told_to_end_while_no_daemon_serves_it_clears_the_dead_mount(store: Path, point: Path) -> None:
    with supervised(store, point) as supervisor:
        for kills in range(1, 3):
            wait_for_line(supervisor.stderr, MOUNTED[kills > 1])
            os.kill(owner_of(store), signal.SIGKILL)
            wait_for_line(supervisor.stderr, f"restart {kills}")
        supervisor.send_signal(signal.SIGTERM)  # the second restart comes after a second
        supervisor.communicate(timeout=60)
    assert supervisor.returncode in (0, 128 + signal.SIGTERM)
    assert not is_mounted(store)
    assert find_owner(store) is None


# A daemon that is to serve a dead mount again begins when there is the file that it is told of.
SLOW_TO_BEGIN = """
import os, sys, time
while "--over-dead" in sys.orig_argv and not os.path.exists(os.environ["BEGIN"]):
    time.sleep(0.01)
"""


@pytest.mark.parametrize("delay", [0, 1])
def test_unmounted_while_no_daemon_serves_it_stays_ended(
    store: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: int
) -> None:
    """Before the next daemon is started, and while it starts."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_BEGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BEGIN", str(tmp_path / "begin"))
    with supervised(store, point, f"supervisor.DELAYS_SECONDS = ({delay},)") as supervisor:
        wait_for_line(supervisor.stderr, MOUNTED[False])
        os.kill(owner_of(store), signal.SIGKILL)
        wait_for_line(supervisor.stderr, "restart 1")
        assert "its daemon had died" in vfs("umount", point).out
        (tmp_path / "begin").touch()
        _, said = supervisor.communicate(timeout=60)
    assert (supervisor.returncode, is_mounted(store), find_owner(store)) == (0, False, None), said
    assert f"{point} was unmounted while no daemon served it: it is not mounted again" in said


def test_unmounted_after_a_second_death_over_the_same_dead_mount_it_stays_ended(
    store: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second daemon dies before it has taken off what the first one had left."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_BEGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BEGIN", str(tmp_path / "begin"))
    with supervised(store, point, "supervisor.DELAYS_SECONDS = (0, 1)") as supervisor:
        wait_for_line(supervisor.stderr, MOUNTED[False])
        os.kill(owner_of(store), signal.SIGKILL)
        wait_for_line(supervisor.stderr, "restart 1")
        eventually(lambda: any(map(begins_over_dead, children_of(supervisor.pid))), SECONDS)
        [second] = children_of(supervisor.pid)
        os.kill(second, signal.SIGKILL)
        wait_for_line(supervisor.stderr, "restart 2")
        assert "its daemon had died" in vfs("umount", point).out
        (tmp_path / "begin").touch()
        _, said = supervisor.communicate(timeout=60)
    assert (supervisor.returncode, is_mounted(store), find_owner(store)) == (0, False, None), said
    assert f"{point} was unmounted while no daemon served it: it is not mounted again" in said


def test_told_to_end_it_leaves_a_mount_that_somebody_has_made_meanwhile(store: Path, point: Path) -> None:
    with supervised(store, point, "supervisor.DELAYS_SECONDS = (600.0,)") as supervisor:
        wait_for_line(supervisor.stderr, "supervisor: mounted at ")
        os.kill(owner_of(store), signal.SIGKILL)
        wait_for_line(supervisor.stderr, "restart 1 in 600 s")
        assert vfs("mount", store, point).code == 0
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0
    (point / "file").write_text("data")
    assert vfs("umount", point).code == 0


# The first daemon ends by a fault of its own as soon as it is told to, and takes its mount with it; then
# somebody writes into the folder that shows until there is the next one.
FAULTY = """
FAULT = '''
import sys, trio
from pathlib import Path
from vfs.cli import main
from vfs.mount.daemon import Daemon
say_ready = Daemon._say_ready
async def fail(self):
    await say_ready(self)
    while not Path(sys.argv[-1]).with_name("go").exists():
        await trio.sleep(0.01)
    1 / 0
Daemon._say_ready = fail
sys.exit(main())
'''
daemon_command = supervisor.daemon_command
def command(store, point, *rest):
    words = daemon_command(store, point, *rest)
    if "--restarts=0" in words:
        at = words.index("-m")
        words[at : at + 2] = ["-c", FAULT]
    else:
        (point / "below").touch()
    return words
supervisor.daemon_command = command
"""


def test_what_was_written_below_between_two_daemons_keeps_nobody_from_mounting(
    store: Path, point: Path
) -> None:
    with supervised(store, point, FAULTY) as supervisor:
        wait_for_line(supervisor.stderr, MOUNTED[False])
        point.with_name("go").touch()
        wait_for_line(supervisor.stderr, "the daemon ended with exit code 1; restart 1")
        wait_for_line(
            supervisor.stderr, f"what was written into the folder {point} while nothing was mounted"
        )
        wait_for_line(supervisor.stderr, MOUNTED[True])
        assert os.listdir(point) == []
        supervisor.send_signal(signal.SIGTERM)
        _, said = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, said
    assert os.listdir(point) == ["below"]


def test_it_gives_up_on_a_daemon_that_dies_again_and_again(store: Path, point: Path) -> None:
    """With the waits of a tenth, and four deaths counted however long the starts between them take."""
    patience = "supervisor.DELAYS_SECONDS = (0.0, 0.1, 0.2)\nsupervisor.WINDOW_SECONDS = 600"
    with supervised(store, point, patience) as supervisor:
        for kills in range(4):
            wait_for_line(supervisor.stderr, MOUNTED[kills > 0])
            os.kill(owner_of(store), signal.SIGKILL)
        _, said = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 128 + signal.SIGKILL
    assert "given up, it was the death number 4 within 600 s" in said
    assert "given up" in log_of(store)
    with pytest.raises(OSError, match="not connected"):
        os.listdir(point)
    assert "its daemon had died" in vfs("umount", point).out


def test_what_cannot_begin_is_not_tried_again(store: Path, point: Path) -> None:
    (store / "control.sock").write_text("not a socket")
    ran = vfs("mount", "--supervise", store, point)
    assert ran.code == 1
    assert "control.sock in the store is not a socket" in ran.error
    assert not is_mounted(store)
    assert find_owner(store) is None
    assert "restart" not in log_of(store)
