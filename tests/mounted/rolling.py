"""Rolling a mounted store back, for tests: snapshots, the command, and what programs meet that hold files.

Promises that a rollback that hangs fails the test: the command is given a minute. Never compares anything.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.mounted.mounting import ROOT, MountedStore, vfs
from tests.waiting import eventually

PAUSED_DAEMON = (sys.executable, "-m", "tests.mounted.paused_daemon")
READY, GO, STUCK, WAITING = "ready", "go", "stuck", "waiting"
"""Files that say: the daemon waits before the moment; it may go on; it shall answer no write to a stale file;
there is one."""


def freeze(mounted: MountedStore, name: str) -> None:
    """Take a snapshot."""
    vfs("snapshot", "create", mounted.path, name)


def roll_back(mounted: MountedStore, name: str) -> str:
    """Roll the mount back; the name of the snapshot of what was before."""
    report = json.loads(vfs("rollback", "--json", mounted.path, name))
    assert report["store"] == str(mounted.store)
    return str(report["kept_as"])


def refused(call: Callable[[], object]) -> int:
    """The errno with which a call fails, 0 when it does not."""
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def start_rollback(mounted: MountedStore, name: str) -> subprocess.Popen[str]:
    """Begin to roll back, as a user would."""
    command = [sys.executable, "-m", "vfs", "rollback", "--json", str(mounted.path), name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_it_asks(command: subprocess.Popen[str]) -> None:
    """Return when a command is connected to its daemon, or has ended: however long it takes to start."""
    eventually(lambda: command.poll() is not None or _is_connected(command.pid))


def _is_connected(pid: int) -> bool:
    sockets = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    connected = {f"socket:[{fields[6]}]" for fields in sockets if fields[5] == "03"}
    with suppress(OSError):  # it may end, or close one, as we look
        return any(os.readlink(descriptor) in connected for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return False


class Pause:
    """A daemon that stops between the kernel's writing of what it keeps and the moment of a rollback."""

    def __init__(self, mounted: MountedStore, folder: Path) -> None:
        self._mounted = mounted
        self._folder = folder
        folder.mkdir(exist_ok=True)
        mounted.unmount()
        mounted.command = (*PAUSED_DAEMON, str(folder))
        mounted.mount(*mounted.options)

    def begin(self, name: str) -> subprocess.Popen[str]:
        """Begin a rollback; it waits right before its moment when this returns."""
        for sign in (READY, GO):
            (self._folder / sign).unlink(missing_ok=True)
        command = start_rollback(self._mounted, name)
        eventually((self._folder / READY).exists)
        return command

    def go_on(self) -> None:
        """Let the moment come."""
        (self._folder / GO).touch()

    def get_stuck(self) -> None:
        """From now on the daemon answers no write to a file that is stale, or about to be."""
        (self._folder / STUCK).touch()

    def wait_until_stuck(self) -> None:
        """Return when there is such a write."""
        eventually((self._folder / WAITING).exists)


def end(command: subprocess.Popen[str]) -> str:
    """Wait for a rollback; the name of the snapshot of what was before."""
    said, errors = command.communicate(timeout=60)
    assert command.returncode == 0, errors
    return str(json.loads(said)["kept_as"])


def write_back(mounted: MountedStore) -> None:
    """Have the kernel write what it keeps of the mount; it says so when that was in vain for a stale file."""
    subprocess.run(["sync", "-f", "--", mounted.path], stderr=subprocess.DEVNULL, timeout=60, check=False)


def is_quiet(process: subprocess.Popen[str]) -> bool:
    """Whether a process is stopped or has ended, so that it writes nothing more."""
    if process.poll() is not None:
        return True
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def put(path: Path, data: bytes) -> int:
    """Make a file with that content; a descriptor of it for reading and writing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(descriptor, data)
    return descriptor
