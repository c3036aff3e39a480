"""The bench of the handshake: a tiny run gives its rows and leaves nothing behind.

Promises to be quick; it judges no time.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.mark.mounted
def test_a_tiny_run_gives_its_rows_and_leaves_nothing(tmp_path):
    (tmp_path / "stores").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "handshake", "--sizes", "tiny", "--rounds", "1"),
            *("--only", "append", "look-up"),
            *("--store-dir", tmp_path / "stores", "--json", tmp_path / "out.json"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((tmp_path / "stores").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines()]
    assert rows[2:] == ["100-byte append", "look-up by one of 3 processes in one directory"]
    samples = json.loads((tmp_path / "out.json").read_text())["samples"]
    assert {(sample["work"], sample["way"]) for sample in samples} == {
        (work, way) for work in ("append", "look-up") for way in ("without", "with")
    }
    # A hundred appends ask for the capabilities a hundred times, or once.
    requests = {sample["way"]: sample["requests"] for sample in samples if sample["work"] == "append"}
    assert requests["without"] >= 1
