"""The bench itself: its arithmetic, and that a tiny run gives figures for every workload and cleans up.

Promises to be quick; it never judges a figure, only that there is one.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import can_drop_caches, cpu_seconds, filesystem_type
from bench.registry import WORKLOADS
from bench.results import Sample, lines, ratios, spread
from bench.workload import Cold, Row

CHECKOUT = Path(__file__).parent.parent
CREATE = WORKLOADS["create"]


def _sample(target, round_number, figure, *, mode="pinned", **rest):
    return Sample("create", target, mode, round_number, 10, {"create": figure}, **rest)


def test_a_ratio_divides_figures_of_the_same_round():
    samples = [_sample("floor", 0, 100.0), _sample("vfs", 0, 80.0), _sample("floor", 1, 50.0)]
    assert ratios(CREATE.rows[0], samples) == [0.8]


def test_a_ratio_of_durations_is_above_one_when_vfs_is_faster():
    row = Row("create", "us", lower_is_better=True)
    assert ratios(row, [_sample("floor", 0, 30.0), _sample("vfs", 0, 10.0)]) == [3.0]


def test_spread_is_median_and_extremes():
    found = spread([0.5, 0.9, 0.7])
    assert found is not None
    assert (found.median, found.least, found.most) == (0.7, 0.5, 0.9)
    assert spread([]) is None


@pytest.mark.parametrize(("figure", "passes"), [(75.0, True), (74.0, False)])
def test_a_budget_is_judged_by_the_median(figure, passes):
    samples = [_sample("floor", n, 100.0) for n in range(3)]
    samples += [_sample("vfs", n, value) for n, value in enumerate([1.0, figure, 500.0])]
    (line,) = lines([CREATE], samples)
    assert line.passes is passes


def test_the_budget_of_names_is_for_the_pinned_run_only():
    samples = [_sample(target, 0, 10.0, mode="free") for target in ("floor", "vfs")]
    (line,) = lines([CREATE], samples)
    assert line.ratio is not None
    assert line.at_least is None
    assert line.passes is None


def test_cpu_is_shown_per_operation():
    (line,) = lines([CREATE], [_sample("floor", 0, 10.0, cpu_seconds=0.001, write_calls=70)])
    assert line.daemon_us == {"floor": pytest.approx(100.0)}
    assert line.requests == 7


def test_the_ratio_of_cpu_counts_client_and_daemon():
    floor = _sample("floor", 0, 10.0, cpu_seconds=0.002, client_cpu_seconds=0.001)
    vfs = _sample("vfs", 0, 10.0, cpu_seconds=0.003, client_cpu_seconds=0.001)
    (line,) = lines([CREATE], [floor, vfs])
    assert line.cpu_ratio is not None
    assert line.cpu_ratio.median == pytest.approx(0.75)


def test_no_two_workloads_share_a_figure():
    figures = [row.figure for workload in WORKLOADS.values() for row in workload.rows]
    assert len(figures) == len(set(figures))


def test_cpu_of_another_process_is_counted():
    with subprocess.Popen(["sleep", "10"]) as child:
        assert 0 <= cpu_seconds(child.pid) < 1
        child.kill()


def _bench(tmp_path, *arguments):
    command = [sys.executable, "-m", "bench", "--sizes", "tiny", "--store-dir", tmp_path / "stores"]
    (tmp_path / "stores").mkdir()
    outputs = ["--json", tmp_path / "bench.json", "--plot", tmp_path / "bench.png"]
    return subprocess.run(
        [*command, *outputs, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _require_mounts():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing or not accessible")
    if shutil.which("fusermount3") is None:
        pytest.skip("fusermount3 is not installed")


@pytest.mark.mounted
def test_a_tiny_run_gives_every_figure_and_leaves_nothing(tmp_path):
    _require_mounts()
    done = _bench(tmp_path, "--targets", "floor,host,zstd")
    assert done.returncode == 0, done.stdout + done.stderr

    document = json.loads((tmp_path / "bench.json").read_text())
    measured = {line["figure"] for line in document["lines"] if "floor" in line["medians"]}
    skipped = {skip["workload"] for skip in document["skipped"]}
    if can_drop_caches():
        assert not skipped
    else:
        assert skipped == {name for name, workload in WORKLOADS.items() if workload.cold is not Cold.NOTHING}
    for workload in WORKLOADS.values():
        if workload.name not in skipped:
            assert measured.issuperset(row.figure for row in workload.rows)

    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "stores").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.mounted
def test_an_interrupted_run_leaves_nothing(tmp_path):
    _require_mounts()
    (tmp_path / "stores").mkdir()
    command = [sys.executable, "-m", "bench", "--sizes", "tiny", "--rounds", "100", "--targets", "floor,host"]
    with subprocess.Popen(
        [*command, "--only", "mkdir", "--store-dir", tmp_path / "stores"],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("round 1"):
                break
        run.terminate()
        run.stderr.read()
    assert run.returncode == 128 + 15
    assert not list((tmp_path / "stores").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_without_vfs_it_says_what_to_do(tmp_path):
    _require_mounts()
    done = _bench(tmp_path, "--targets", "floor,vfs", "--vfs", tmp_path / "missing")
    assert done.returncode != 0
    assert "cannot measure vfs" in done.stderr


def test_a_file_system_knows_its_type():
    assert filesystem_type("/proc") == "proc"


def test_what_handlers_cost_is_printed_as_rows_of_markdown():
    command = [sys.executable, "-m", "bench.handler_costs", "60", "1"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=100)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert {"create, release", "rename", "lookup in order, remounted"} <= {row[0] for row in rows}
    assert all(float(row[2]) > 0 for row in rows)
