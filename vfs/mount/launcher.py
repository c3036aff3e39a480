"""Starts a daemon in the background and waits until its mount answers.

Promises that a failure to start comes back as the daemon's own line, and that nobody is told of success
before a program can use the mount. The daemon says `{"ready": true, "pid": n}` or `{"error": "..."}` in one
line through a pipe that it inherits. Never serves a mount itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from vfs.errors import MountError
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.probe import ask

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
MOST_BYTES = 1 << 16


class ReadyPipe:
    """The daemon's end of the pipe; good for one line."""

    def __init__(self, descriptor: int | None) -> None:
        self._fd = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        """The mount is there."""
        self._say({"ready": True, "pid": os.getpid()})

    def failed(self, text: str) -> None:
        """It could not be made."""
        self._say({"error": text})

    def _say(self, message: dict[str, object]) -> None:
        descriptor, self._fd = self._fd, None
        if descriptor is None:
            return
        try:
            os.write(descriptor, json.dumps(message).encode("ascii") + b"\n")
        except BrokenPipeError:
            pass  # who started us was impatient; the mount is there all the same
        finally:
            os.close(descriptor)


def launch(store: Path, point: Path, options: Sequence[str], *, read_only: bool) -> int:
    """Start a daemon for resolved paths; its pid when the mount answers, MountError when it does not."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with tempfile.TemporaryFile() as words, open(reading, "rb") as pipe:
        try:
            daemon = subprocess.Popen(
                _command(store, point, options, read_only, writing),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=(writing,),
                start_new_session=True,
                env=_environment(),
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
    message = json.loads(line)
    if "error" in message:
        daemon.wait()
        raise MountError(message["error"])
    _wait_for_mount(store, point)
    daemon.returncode = 0  # it goes on without us, and that is no reason for a warning
    return daemon.pid


def _command(store: Path, point: Path, options: Sequence[str], read_only: bool, descriptor: int) -> list[str]:
    # -P: `python -m` would otherwise import from whatever folder the user stands in.
    command = [sys.executable, "-P", "-m", "vfs", "mount", "--foreground", f"--ready-fd={descriptor}"]
    for text in options:
        command += ["-o", text]
    if read_only:
        command.append("--read-only")
    return [*command, "--", str(store), str(point)]


def _environment() -> dict[str, str]:
    paths = [str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
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
