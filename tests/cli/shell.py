"""Runs the real command line in a process of its own, as a user's shell would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on stderr, without its `vfs: `; no traceback, nothing else."""
        assert self.err.startswith("vfs: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("vfs: ").rstrip("\n")


def vfs(*arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """Run `vfs ...` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "vfs", *arguments],
        check=False,
        capture_output=True,
        timeout=60,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
