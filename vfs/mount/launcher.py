"""Starts a daemon in the background and waits until its mount answers.

Promises that a failure to start comes back as the daemon's own line, and that nobody is told of success
before a program can use the mount. The daemon says `{"ready": true, "pid": n}` or `{"error": "..."}` in one
line through a pipe that it inherits, and to its supervisor also `{"leaving": true}`, when it was unmounted or
told to end. Never serves a mount itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from vfs.errors import MountError
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.notify import notify
from vfs.mount.probe import ask

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
MOST_BYTES = 1 << 16

UNMOUNTED_MEANWHILE = "%s was unmounted while no daemon served it: it is not mounted again"
"""What the log says of a dead mount that was to be served again."""


class ReadyPipe:
    """The daemon's end of the pipe, if it has one: else systemd is told, where that listens.

    A launcher reads one line and goes, a supervisor listens as long as the daemon lives.
    """

    def __init__(self, descriptor: int | None, *, supervised: bool = False) -> None:
        self._fd = descriptor
        self._supervised = supervised
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def ready(self, pid: int | None = None) -> None:
        """The mount is there, served by this process or another one."""
        if self._fd is None:
            notify(f"READY=1\nSTATUS=serving, process {pid or os.getpid()}")
        self._say({"ready": True, "pid": pid or os.getpid()})

    def failed(self, text: str) -> None:
        """It could not be made."""
        self._say({"error": text})

    def leaving(self) -> None:
        """It was unmounted, or told to end: however that goes, it is meant."""
        if self._fd is None:
            notify("STOPPING=1")
        elif self._supervised:
            self._say({"leaving": True})

    def _say(self, message: dict[str, object]) -> None:
        if self._fd is None:
            return
        descriptor = self._fd
        # Whoever started us may have been impatient; the mount is there all the same.
        with suppress(BrokenPipeError):
            os.write(descriptor, json.dumps(message).encode("ascii") + b"\n")
        if not self._supervised:
            self._fd = None
            os.close(descriptor)


def read_message(line: bytes) -> dict[str, object]:
    """What the daemon said in one line."""
    message: dict[str, object] = json.loads(line)
    return message


def launch(
    store: Path, point: Path, options: Sequence[str], *, read_only: bool, supervise: bool = False
) -> int:
    """Start a daemon, or one with a supervisor, for resolved paths.

    Returns the daemon's pid when the mount answers; MountError when it does not.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with tempfile.TemporaryFile() as words, open(reading, "rb") as pipe:
        try:
            daemon = subprocess.Popen(
                daemon_command(store, point, options, read_only, writing, *(["--supervise"] * supervise)),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=(writing,),
                start_new_session=True,
                env=daemon_environment(),
            )
        finally:
            os.close(writing)
        try:
            line = pipe.readline(MOST_BYTES)
        except KeyboardInterrupt:
            daemon.terminate()
            raise
        if not line:
            raise MountError(_silent_end(daemon.wait(), words, store))
    message = read_message(line)
    if "error" in message:
        daemon.wait()
        raise MountError(str(message["error"]))
    _wait_for_mount(store, point)
    daemon.returncode = 0  # it goes on without us, and that is no reason for a warning
    return int(str(message["pid"]))


def daemon_command(
    store: Path, point: Path, options: Sequence[str], read_only: bool, descriptor: int, *more: str
) -> list[str]:
    """The command that serves a mount and tells through the descriptor, which it inherits."""
    # -P: `python -m` would otherwise import from whatever folder the user stands in.
    command = [sys.executable, "-P", "-m", "vfs", "mount", "--foreground", f"--ready-fd={descriptor}", *more]
    for text in options:
        command += ["-o", text]
    if read_only:
        command.append("--read-only")
    return [*command, "--", str(store), str(point)]


def daemon_environment() -> dict[str, str]:
    """The environment in which it runs the same code as we do, from whatever folder."""
    paths = [str(PACKAGE_PARENT)]
    if given := os.environ.get("PYTHONPATH"):
        paths += map(os.path.abspath, given.split(os.pathsep))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _silent_end(exit_code: int, words: IO[bytes], store: Path) -> str:
    words.seek(0)
    lines = words.read(MOST_BYTES).decode("utf-8", errors="replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    return (
        f"the daemon ended (exit code {exit_code}) before the mount was ready{last}; see {store / 'vfs.log'}"
    )


def _wait_for_mount(store: Path, point: Path) -> None:
    error = ask(point, READY_SECONDS)
    if error is not None or not any(mount.point == point for mount in mounts_of(store, read_mounts())):
        raise MountError(f"the mount at {point} went away at once; see {store / 'vfs.log'}")
