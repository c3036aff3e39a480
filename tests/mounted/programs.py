"""Running other programs on a mount: tools with their arguments, and small Python programs, as any user.

A program that fails fails the test with all that it printed. Never runs anything through a shell.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NOBODY = 65534
PROGRAM_SECONDS = 250.0

CLEAN_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PIP_", "PYTEST"))},
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "author",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "author",
    "GIT_COMMITTER_EMAIL": "author@example.org",
}

BECOME = f"""
import os
def become(uid, gid={NOBODY}, groups=()):
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
"""


def run(*command: str | Path, cwd: Path | None = None, stdin: str | None = None, exit_code: int = 0) -> str:
    """Run a program and return what it printed; AssertionError with all of it for another exit code."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=stdin or "",
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        env=CLEAN_ENVIRONMENT,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert done.returncode == exit_code, f"{command}: exit code {done.returncode}\n{said}"
    return done.stdout


def python(source: str, *arguments: str | Path, cwd: Path) -> str:
    """Run a Python program in the folder `cwd`; `become(uid, gid)` in it gives up root."""
    return run(*_python_command(source), *arguments, cwd=cwd)


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a program beside the test; its standard input and output are pipes."""
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=CLEAN_ENVIRONMENT,
    )


def start_python(source: str, *arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a Python program beside the test; its standard input and output are pipes."""
    return start(*_python_command(source), *arguments, cwd=cwd)


def wait_for(process: subprocess.Popen[str]) -> str:
    """The rest of what a started program prints; AssertionError unless it ends well."""
    printed, _ = process.communicate(timeout=PROGRAM_SECONDS)
    assert process.returncode == 0, f"exit code {process.returncode}\n{printed}"
    return printed


def as_nobody(source: str, *arguments: str | Path, cwd: Path) -> str:
    """Run a Python program as a user without any right, in a folder that need not be reachable for it."""
    return python(f"become({NOBODY})\n{textwrap.dedent(source)}", *arguments, cwd=cwd)


def _python_command(source: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", BECOME + textwrap.dedent(source)]


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user and make devices"
)
