"""The part of the bench that starts commands: one round gives every figure and cleans up. Judges none."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.start import COMMANDS, NOTHING

pytestmark = pytest.mark.timeout(600)
CHECKOUT = Path(__file__).parent.parent


def start(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", "start", "--rounds", "1", *options],
        cwd=CHECKOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.mounted
def test_one_round_gives_every_figure_and_leaves_nothing(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `{name}`" for name in (NOTHING, *COMMANDS)]
    assert all(len(row) == 2 for row in rows)
    assert list(tmp_path.iterdir()) == []


def test_a_vfs_that_fails_is_told(tmp_path: Path) -> None:
    done = start(tmp_path, "--vfs", "/bin/false")
    assert done.returncode == 1
    assert "/bin/false mkfs" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
