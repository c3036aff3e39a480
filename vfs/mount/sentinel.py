"""A small process that frees the kernel when the daemon is killed while one of its threads waits there.

Such a thread waits for pages that only the daemon could take, in a way that no signal ends, and as long as it
does the kernel does not end the connection: every program on the mount would wait for ever. The sentinel is
told of the death of the daemon's main thread, which nothing holds up, and aborts the connection.
Promises to do nothing else, and to be gone with its dismissal. Never needed while the daemon lives.
"""

import ctypes
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CONNECTIONS = Path("/sys/fs/fuse/connections")
"""Where the file system fusectl is mounted, as systemd does, and a folder for each connection, named by its
device's minor."""

# $1: the file to write to. Without a `ready` there is no sentinel.
SCRIPT = """
trap 'echo 1 >"$1"; exit' TERM
[ -w "$1" ] || exit
echo ready
read -r line
"""

FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
"""System calls of Linux 5.2 and newer, see fsopen(2)."""

CLOEXEC, CREATE = 1, 6
"""FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC; FSCONFIG_CMD_CREATE."""


class Sentinel:
    """Start it in the main thread; then use it in a `with` statement, in any thread."""

    def __init__(self, abort: int | None) -> None:
        self._process = None if abort is None else _start(abort)

    @classmethod
    def start(cls, device: str | None) -> Self:
        """For the connection of a mount, given its device as `major:minor`."""
        abort = None if device is None else _abort_file(device.partition(":")[2])
        try:
            return cls(abort)
        finally:
            if abort is not None:
                os.close(abort)

    def __enter__(self) -> bool:
        """Whether anybody watches: not without util-linux, nor where this user may not."""
        process = self._process
        return process is not None and process.stdout is not None and process.stdout.readline() == b"ready\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()


def _start(abort: int) -> subprocess.Popen[bytes] | None:
    script = ["sh", "-c", SCRIPT, "vfs-sentinel", f"/proc/self/fd/{abort}"]
    try:
        # A session of its own, so that a ctrl-C meant for the daemon does not end it.
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=(abort,),
            start_new_session=True,
        )
    except OSError:
        return None  # it is not installed, or there is no room for a process


def _abort_file(minor: str) -> int | None:
    """The file that ends a connection, open to be written; None where this user has no way to it."""
    with suppress(OSError):
        return os.open(CONNECTIONS / minor / "abort", os.O_WRONLY | os.O_CLOEXEC)
    with suppress(OSError):  # only root may, and an old kernel cannot
        folder = _fusectl()
        try:
            return os.open(f"{minor}/abort", os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
    return None


def _fusectl() -> int:
    """A mount of fusectl that shows nowhere.

    It could be mounted in a namespace as well, but that would have a copy of each other mount, and whoever
    unmounts one meanwhile, or wants its disk, would have to wait.
    """
    system = _call(FSOPEN, b"fusectl", CLOEXEC)
    try:
        _call(FSCONFIG, system, CREATE, None, None, 0)
        return _call(FSMOUNT, system, CLOEXEC, 0)
    finally:
        os.close(system)


def _call(number: int, *arguments: Any) -> int:
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
