"""A run of the tests in two workers: one summary, `serial` tests alone, no test of the mount left out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)
CHECKOUT = Path(__file__).resolve().parent.parent

PRESENCE = """
import os, pathlib, time, pytest
HERE = pathlib.Path(os.environ["HERE"])

def stay():
    mine = HERE / str(os.getpid())
    mine.touch()
    others = set()
    for _ in range(20):
        time.sleep(0.01)
        others |= {path.name for path in HERE.iterdir()}
    mine.unlink()
    return others - {mine.name}

@pytest.mark.parametrize("number", range(6))
def test_beside_others(number):
    others, once = stay(), HERE.parent / "once"
    for _ in range(20):  # until two have met: one worker may be late
        if others or once.exists():
            break
        others = stay()
    if others:
        once.touch()
    with open(HERE.parent / "met", "a") as met:
        met.write(f"{len(others)}\\n")

@pytest.mark.serial
@pytest.mark.parametrize("number", range(4))
def test_alone(number):
    assert stay() == set()
"""
SKIPPED = "a test of the real mount must run here, and did not: Skipped: no reason"

MOUNTED = """
import pytest

@pytest.mark.mounted
@pytest.mark.parametrize("number", range(4))
def test_of_the_mount(number):
    {body}

def test_of_something_else():
    pass
"""

HANGING = """
import time, pytest

@pytest.mark.timeout(2)
def test_hanging():
    time.sleep(600)

def test_other():
    pass
"""


def run(folder: Path, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run tests of that text under the rules of ours."""
    folder.joinpath("test_these.py").write_text(text)
    folder.joinpath("here").mkdir()
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        CHECKOUT / "pyproject.toml",
        "-p",
        "tests.conftest",
    ]
    command += ["-p", "no:cacheprovider", *options, str(folder)]
    environment = {**os.environ, "HERE": str(folder / "here"), "TMPDIR": str(folder / "tmp")}
    folder.joinpath("tmp").mkdir()
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


def test_serial_tests_run_alone_and_last(tmp_path: Path) -> None:
    done = run(tmp_path, PRESENCE, "-n", "2", "--dist", "worksteal")
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout.splitlines()[-1]
    met = (tmp_path / "met").read_text().split()
    assert len(met) == 6
    assert "1" in met, "the others run beside each other"
    assert [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("vfs-tests-")] == []


@pytest.mark.parametrize(
    ("workers", "body", "code", "words"),
    [
        ("2", "pass", 0, "5 passed"),
        ("0", "pytest.skip('no reason')", 1, SKIPPED),
        ("2", "pytest.skip('no reason')", 1, SKIPPED),
        ("2", "pytest.xfail('not for us')", 1, "--require-mounted: no test of the real mount passed"),
    ],
)
def test_no_test_of_the_mount_is_left_out_unseen(
    tmp_path: Path, workers: str, body: str, code: int, words: str
) -> None:
    done = run(tmp_path, MOUNTED.format(body=body), "--require-mounted", "-n", workers)
    assert done.returncode == code, done.stdout
    assert words in done.stdout


def test_no_module_is_left_out_unseen(tmp_path: Path) -> None:
    text = "import pytest\npytest.skip('not here', allow_module_level=True)\n"
    done = run(tmp_path, text, "--require-mounted", "-n", "2")
    assert done.returncode != 0
    assert "no module may be skipped here" in done.stdout


def test_one_that_hangs_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    done = run(tmp_path, HANGING, "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "Timeout" in done.stdout
    assert "1 failed, 1 passed" in done.stdout.splitlines()[-1]
