"""A process beside a test: when the test goes wrong it is told to end, and killed when it does not.

`with subprocess.Popen(…)` alone would wait for a daemon that nobody tells to end, until the test has no time.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr

ENDING_SECONDS = 20.0


@contextmanager
def beside(process: "subprocess.Popen[AnyStr]") -> Iterator["subprocess.Popen[AnyStr]"]:
    """The process, waited for at the end of the `with` statement, which is to have told it to end."""
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            try:
                process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
