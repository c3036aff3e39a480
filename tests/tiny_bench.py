"""Runs a group of the bench as a user does, in its small form."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent

LIMIT_SECONDS = 500
"""Some seconds are enough where nothing else runs. Who uses it gives the test as much."""

TOO_SLOW = 3
"""The exit code of a bench that measured, and found that a goal was missed."""


def run_bench(group: str, folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """With `folder`/out.json for its figures; AssertionError unless it ends well and takes away all else."""
    (folder / "stores").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", group, *arguments),
            *("--store-dir", folder / "stores", "--json", folder / "out.json"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode in (0, TOO_SLOW), done.stdout + done.stderr
    assert not list((folder / "stores").iterdir())
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    return done


def wait_until_no_loop_device_of(folder: Path) -> None:
    """A disk is detached; a mount namespace that a test beside this one makes may have it for a moment."""
    end = time.monotonic() + 60
    while str(folder) in (devices := subprocess.check_output(["losetup", "--all"], text=True)):
        assert time.monotonic() < end, devices
        time.sleep(0.05)


def figures_of(folder: Path) -> dict[str, Any]:
    """The JSON of a run in that folder."""
    document: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return document
