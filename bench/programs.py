"""Runs the programs of other people: git, tar, make, pip, fio.

Promises that a program that fails, takes too long or is interrupted leaves no process behind, and that no
setting of the user changes what it does. It never measures anything.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.processes import die_with_parent

LIMIT_SECONDS = 900.0
TOLD = 300
"""Characters of what a failed program said last."""

# Without these the same command would do other work on another machine.
SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "gc.auto",  # it would go on in the background
    "GIT_CONFIG_VALUE_1": "0",
    "LC_ALL": "C",
    "PIP_CONFIG_FILE": os.devnull,
}

DEBIAN_PACKAGES = {
    "cc": "gcc",
    "fio": "fio",
    "git": "git",
    "make": "make",
    "mkfs.btrfs": "btrfs-progs",
    "npm": "npm",
    "rsync": "rsync",
}
"""Program -> the package that has it; programs of every Debian are not listed."""


class ProgramFailed(Exception):
    """A program ended with an error or took too long; the text is one line."""


def missing(programs: Sequence[str]) -> str | None:
    """The first of these programs that is not installed, in words, or None."""
    for program in programs:
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian package {DEBIAN_PACKAGES.get(program, program)})"
    return None


def run(
    command: Sequence[str],
    folder: Path,
    *,
    fine: Sequence[int] = (0,),
    environment: Mapping[str, str] | None = None,
) -> str:
    """What `command` prints when run in `folder`; the exit codes in `fine` are no error."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **SETTINGS, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            preexec_fn=_end_with_bench,
        )
        try:
            code = process.wait(LIMIT_SECONDS)
        except BaseException as error:
            # Its children too, make's compilers for one: they would keep the mount busy.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ProgramFailed(f"{command[0]} took more than {LIMIT_SECONDS:.0f} s") from None
            raise
        output.seek(0)
        errors.seek(0)
        printed = output.read().decode(errors="replace")
        if code not in fine:
            told = errors.read().decode(errors="replace").strip() or printed.strip() or "it said nothing"
            name = " ".join(Path(word).name for word in command[:3])
            raise ProgramFailed(f"{name} ended with {code}: {'; '.join(told.splitlines())[-TOLD:]}")
        return printed


def _end_with_bench() -> None:
    die_with_parent(signal.SIGKILL)
