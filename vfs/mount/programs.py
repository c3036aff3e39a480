"""Runs other programs, which may hang in the kernel.

Promises to come back in time, whatever the program does, with what it said in English. A ctrl-C that is meant
for us never ends one halfway.
"""

import os
import subprocess
import tempfile
import threading
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended, and what it printed to stderr."""

    code: int
    words: str


def run(command: list[str], timeout_seconds: float | None) -> Ended:
    """Run a command. TimeoutError when it takes longer: it is killed then, but not waited for.

    A program that hangs in the kernel dies only when the mount's connection ends, and that may be for our
    caller to do.
    """
    with tempfile.TemporaryFile() as words:
        # A session of its own, so that a ctrl-C meant for us does not end it halfway.
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            code = program.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            threading.Thread(target=program.wait, daemon=True).start()
            raise TimeoutError(f"{command[0]} takes too long") from None
        words.seek(0)
        return Ended(code, words.read().decode("utf-8", errors="replace"))
