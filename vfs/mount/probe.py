"""Asks a mount whether it answers, with a bound on the time.

Promises to return within that time, whatever the mount does. Never takes a cached answer: the kernel
answers stat(2) of a mount whose daemon is long dead from its cache, but statfs(2) always goes to the daemon.
"""

import errno
import os
import threading
from pathlib import Path

from vfs.errors import MountError

ANSWER_SECONDS = 5.0


class NoAnswer(MountError):
    """The mount did not answer in time."""

    def __init__(self, point: Path, seconds: float) -> None:
        self.point = point
        super().__init__(
            f"the mount at {point} did not answer within {seconds:g} s; see vfs.log in its store"
        )


def ask(point: Path, seconds: float = ANSWER_SECONDS) -> OSError | None:
    """The error with which the mount answers, None for a good answer. NoAnswer when there is none."""
    answers: list[OSError | None] = []

    def work() -> None:
        try:
            os.statvfs(point)
        except OSError as error:
            answers.append(error)
        else:
            answers.append(None)

    # A daemon thread: one that hangs in the kernel must not keep the process from ending.
    thread = threading.Thread(target=work, name="probe", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise NoAnswer(point, seconds)
    return answers[0]


def is_dead(point: Path) -> bool:
    """True when the daemon of the mount has ended and left it behind."""
    try:
        error = ask(point)
    except NoAnswer:
        return False  # somebody is there who could answer
    return error is not None and error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
