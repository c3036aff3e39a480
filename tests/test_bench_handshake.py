"""The bench of the handshake: a tiny run gives its rows and leaves nothing behind.

Promises to be quick; it judges no time.
"""

import pytest

from tests.tiny_bench import figures_of, run_bench


@pytest.mark.mounted
@pytest.mark.timeout(600)
def test_a_tiny_run_gives_its_rows_and_leaves_nothing(tmp_path):
    wanted = ["--rounds", "1", "--only", "append", "look-up"]
    done = run_bench("handshake", tmp_path, "--sizes", "tiny", *wanted)
    assert done.returncode == 0
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines()]
    assert rows[2:] == ["100-byte append", "look-up by one of 3 processes in one directory"]
    samples = figures_of(tmp_path)["samples"]
    assert {(sample["work"], sample["way"]) for sample in samples} == {
        (work, way) for work in ("append", "look-up") for way in ("without", "with")
    }
    # A hundred appends ask for the capabilities a hundred times, or once.
    requests = {sample["way"]: sample["requests"] for sample in samples if sample["work"] == "append"}
    assert requests["without"] >= 1
