"""A process that takes locks when it is told to: `locker.py`, driven line by line by a `Locker`.

Each line is a JSON list [verb, …]; the answer is a JSON line, null or the name of the error. Never decides
what should come of a lock.
"""

import errno
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

OFD_SETLK, OFD_SETLKW = 37, 38
"""Of <fcntl.h>; Python has no names for them."""

COMMANDS = {
    ("process", True): fcntl.F_SETLKW,
    ("process", False): fcntl.F_SETLK,
    ("descriptor", True): OFD_SETLKW,
    ("descriptor", False): OFD_SETLK,
}
FLOCKS = {fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_UNLCK: fcntl.LOCK_UN}
FREE, SHARED, ALONE = fcntl.F_UNLCK, fcntl.F_RDLCK, fcntl.F_WRLCK
KINDS = ("flock", "process", "descriptor")


def lock(kind: str, descriptor: int, how: int, begin: int = 0, length: int = 0, *, wait: bool = True) -> None:
    """Take or give back a lock: of flock(2), or of fcntl(2) for the process or the open descriptor."""
    if kind == "flock":
        fcntl.flock(descriptor, FLOCKS[how] | (0 if wait else fcntl.LOCK_NB))
    else:
        wish = struct.pack("hhqqi4x", how, os.SEEK_SET, begin, length, 0)
        fcntl.fcntl(descriptor, COMMANDS[kind, wait], wish)


class Locker:
    """Such a process, for a test to drive."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, *command: Any) -> None:
        """Tell it; the answer comes when it has done that."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> str | None:
        assert self.process.stdout is not None
        answer: str | None = json.loads(self.process.stdout.readline())
        return answer

    def do(self, *command: Any) -> str | None:
        self.begin(*command)
        return self.answer()

    def kill(self) -> None:
        """kill -9; it is gone when this returns."""
        self.process.kill()
        self.process.communicate()


class Interrupted(Exception):
    """A signal came while something waited."""


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _obey(opened: dict[str, int], command: list[Any]) -> None:
    match command:
        case ["open", key, path]:
            opened[key] = os.open(path, os.O_RDWR)
        case ["close", key]:
            os.close(opened.pop(key))
        case [("wait" | "try") as verb, kind, key, how, *span]:
            lock(kind, opened[key], how, *span, wait=verb == "wait")
        case ["rename", old, new]:
            os.rename(old, new)
        case ["count", kind, key, times]:
            for _ in range(times):
                lock(kind, opened[key], ALONE)
                value = int(os.pread(opened[key], 20, 0))
                os.pwrite(opened[key], b"%d" % (value + 1), 0)
                lock(kind, opened[key], FREE)
        case _:
            raise ValueError(command)


def main() -> None:
    signal.signal(signal.SIGUSR1, _interrupted)
    opened: dict[str, int] = {}
    for line in sys.stdin:
        try:
            _obey(opened, json.loads(line))
            answer = None
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        except Interrupted:
            answer = "EINTR"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
