"""The part of the bench that looks at the tail: its arithmetic, and that a small run gives every row.

Promises to be quick; it never judges a figure.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.tail_probe import prepare
from bench.tail_report import KINDS, P99_SECONDS, PLACES, STALL_SECONDS, Row, Tail, expected, markdown
from tests.tiny_bench import figures_of, run_bench

pytestmark = pytest.mark.timeout(600)
CHECKOUT = Path(__file__).parent.parent


def test_what_could_not_begin_is_counted():
    assert expected([0.001, 0.002], 0.002) == [0.001, 0.002]
    assert expected([0.010], 0.002) == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.010])
    assert expected([0.0075, 0.001], 0.003) == pytest.approx([0.001, 0.0045, 0.0075])


def test_percentiles():
    tail = Tail.of([number / 1000 for number in range(1000)])
    assert (tail.samples, tail.p50, tail.p99, tail.p999, tail.most) == (1000, 0.5, 0.99, 0.999, 0.999)
    assert Tail.of([2.0]) == Tail(1, 2.0, 2.0, 2.0, 2.0)


def row(kind: str = "stat", p99: float = 0.001, most: float = 0.01, host: float = 0.01) -> Row:
    tails = {place: Tail(1000, 0.001, 0.001, host, host) for place in PLACES}
    return Row("load", kind, {**tails, "vfs": Tail(1000, 0.001, p99, most, most)})


def test_the_verdict():
    assert row().verdict == "ok"
    assert "p99" in row(p99=P99_SECONDS).verdict
    assert "stall" in row(most=0.02 + STALL_SECONDS).verdict
    assert row(most=0.9, host=0.8).verdict == "ok", "the disk did that to everybody"
    assert row(kind="cold", p99=0.0209).verdict == "ok", "the disk is what it waits for"
    assert "p99" in row(kind="cold", p99=0.0211).verdict
    assert markdown([row()])[2].startswith("| load | stat | 1.00 / 1.00 / 10.0 / 10.0 | ")


def test_a_load_that_is_over_at_once_has_a_sample_of_each_kind(tmp_path):
    """Its end may be there before the process that samples has begun."""
    prepare(tmp_path, 4096)
    command = [sys.executable, "-m", "bench.tail_probe", tmp_path, "1"]
    done = subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    ready, samples = done.stdout.splitlines()
    assert ready == b"ready"
    assert {kind: len(taken) for kind, taken in json.loads(samples).items()} == dict.fromkeys(KINDS, 1)


@pytest.mark.mounted
def test_a_small_run_gives_every_row_and_leaves_nothing(tmp_path):
    loads = ["write", "create", "rm-rf"]
    plot = ["--plot", tmp_path / "out.png"]
    done = run_bench("tail", tmp_path, "--sizes", "tiny", "--only", *loads, *plot)
    rows = figures_of(tmp_path)["rows"]
    assert [(found["load"], found["kind"]) for found in rows] == [
        (load, kind) for load in loads for kind in KINDS
    ]
    assert all(set(found["tails"]) == set(PLACES) for found in rows)
    assert sum(line.startswith("| ") for line in done.stdout.splitlines()) == 2 + len(rows)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_longest_steps_of_a_small_store():
    done = subprocess.run(
        [sys.executable, "-m", "bench.steps", "200", "100"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    kinds = {line.split(" | ")[0] for line in done.stdout.splitlines()}
    assert {
        "| mknod",
        "| slice of gathering",
        "| slice of letting go",
        "| rollback, 40 changed files",
    } <= kinds
