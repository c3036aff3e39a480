"""A small process that frees the kernel when the daemon is killed while one of its threads waits there.

Such a thread waits for pages that only the daemon could take, in a way that no signal ends, and as long as it
does the kernel does not end the connection: every program on the mount would wait for ever. The sentinel is
told of the death of the daemon's main thread, which nothing holds up, and aborts the connection.
Promises to do nothing else, and to be gone with its dismissal. Never needed while the daemon lives.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CONNECTIONS = Path("/sys/fs/fuse/connections")
"""Where the file system fusectl is mounted, and a folder for each connection, named by its device's minor."""

# $1: the file to write to; $2: where fusectl belongs. systemd mounts it; elsewhere root does it here, in a
# mount namespace of the sentinel's own. Without a `ready` there is no sentinel.
SCRIPT = """
trap 'echo 1 >"$1"; exit' TERM
[ -w "$1" ] || mount -n -t fusectl fusectl "$2" || exit
[ -w "$1" ] || exit
echo ready
read -r line
"""


class Sentinel:
    """Start it in the main thread; then use it in a `with` statement, in any thread."""

    def __init__(self, command: Sequence[str] | None) -> None:
        self._process = None if command is None else _start(command)

    @classmethod
    def start(cls, device: str | None) -> Self:
        """For the connection of a mount, given its device as `major:minor`."""
        if device is None:
            return cls(None)
        abort = CONNECTIONS / device.partition(":")[2] / "abort"
        apart = ["unshare", "--mount"] if not abort.exists() and os.geteuid() == 0 else []
        script = ["sh", "-c", SCRIPT, "vfs-sentinel", str(abort), str(CONNECTIONS)]
        return cls(["setpriv", "--pdeathsig", "TERM", *apart, *script])

    def __enter__(self) -> bool:
        """Whether anybody watches: not without util-linux, nor where this user may not."""
        process = self._process
        return process is not None and process.stdout is not None and process.stdout.readline() == b"ready\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    try:
        # A session of its own, so that a ctrl-C meant for the daemon does not end it.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return None  # it is not installed, or there is no room for a process
