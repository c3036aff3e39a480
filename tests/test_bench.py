"""The bench itself: its arithmetic, and that a tiny run gives figures for every workload and cleans up.

Promises to be quick; it never judges a figure, only that there is one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import targets
from bench.processes import can_drop_caches, cpu_seconds, filesystem_type
from bench.registry import WORKLOADS
from bench.results import Sample, lines, ratios, spread
from bench.targets import Daemon, undisturbed
from bench.workload import Cold, Row
from bench.workloads_latency import sample

pytestmark = pytest.mark.timeout(600)
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
        timeout=500,
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


CLEANING = """
import os, signal, sys
from bench import targets
from bench.__main__ import main
close = targets.Mounts.close
def closing(mounts):
    os.kill(os.getpid(), signal.SIGTERM)
    close(mounts)
targets.Mounts.close = closing
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_that_comes_between_two_rounds_ends_it(tmp_path):
    (tmp_path / "stores").mkdir()
    arguments = ["--sizes", "tiny", "--rounds", "2", "--targets", "host", "--only", "mkdir"]
    arguments += ["--store-dir", tmp_path / "stores", "--json", tmp_path / "json", "--plot", tmp_path / "png"]
    command = [sys.executable, "-c", CLEANING, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 128 + 15, done.stderr
    assert "round 1/2" in done.stderr
    assert "round 2/2" not in done.stderr
    assert not list((tmp_path / "stores").iterdir())


@pytest.fixture
def ending():
    """SIGTERM ends who gets it, as in the bench."""

    def end(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("ending")
def test_a_signal_amid_a_clean_up_counts_when_that_is_done():
    steps = []

    def clean_up():
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            steps.append("clean")
        steps.append("on")

    with pytest.raises(SystemExit):
        clean_up()
    assert steps == ["clean"]


@pytest.mark.usefixtures("ending")
def test_a_signal_as_a_daemon_is_started_leaves_none(tmp_path, monkeypatch):
    started = []

    class Started(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(targets, "STOP_SECONDS", 0.1)
    with pytest.raises(SystemExit):
        Daemon(["sleep", "600"], tmp_path / "mount", tmp_path / "log")
    (daemon,) = started
    assert daemon.poll() == -signal.SIGTERM


def test_there_is_a_sample_however_late_it_is(tmp_path):
    assert len(sample(str(tmp_path), 0.0)) == 1


def test_without_vfs_it_says_what_to_do(tmp_path):
    _require_mounts()
    done = _bench(tmp_path, "--targets", "floor,vfs", "--vfs", tmp_path / "missing")
    assert done.returncode != 0
    assert "cannot measure vfs" in done.stderr


def test_a_file_system_knows_its_type():
    assert filesystem_type("/proc") == "proc"


def test_what_handlers_cost_is_printed_as_rows_of_markdown():
    command = [sys.executable, "-m", "bench.handler_costs", "60", "1"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=500)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert {"create, release", "rename", "lookup in order, remounted"} <= {row[0] for row in rows}
    assert all(float(row[2]) > 0 for row in rows)
