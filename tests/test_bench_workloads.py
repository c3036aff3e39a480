"""The part of the bench that does what people do: its material, its table, the floor under real programs.

Promises to be quick and to need no network; it never judges a figure, only that there is one.
"""

import json
import mmap
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench import supplies_fetched, supplies_made
from bench.chains import Step, at_most
from bench.grounds import grounds
from bench.processes import can_drop_caches, settle, write_calls
from bench.programs import ProgramFailed, missing, run
from bench.results import Sample, lines
from bench.supplies import Supplies, SupplyFailed
from bench.targets import default_program
from bench.workloads import CHAINS
from bench.workloads_report import markdown
from tests.tiny_bench import run_bench, wait_until_no_loop_device_of

pytestmark = pytest.mark.timeout(600)
CHECKOUT = Path(__file__).parent.parent
mounted = pytest.mark.mounted
FILES = 50


# -- material ------------------------------------------------------------------------------------


def test_material_that_was_cut_short_is_made_anew(tmp_path):
    calls = []

    def make(_supplies, folder):
        (folder / "half").touch()
        calls.append(folder)
        if len(calls) == 1:
            raise ProgramFailed("the network is gone")
        (folder / "half").rename(folder / "whole")

    supplies = Supplies(tmp_path, {"thing": make}, "1", lambda _text: None)
    with pytest.raises(ProgramFailed):
        supplies.folder("thing")
    assert not list(tmp_path.iterdir())
    assert supplies.only("thing").name == "whole"
    assert supplies.files("thing") == 1
    assert len(calls) == 2


def test_another_edition_of_the_material_lies_elsewhere(tmp_path):
    def make(_supplies, folder):
        (folder / "file").touch()

    folders = {Supplies(tmp_path, {"thing": make}, edition, print).folder("thing") for edition in ("1", "2")}
    assert len(folders) == 2


def test_without_network_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for elsewhere in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(elsewhere, raising=False)
    supplies = Supplies(tmp_path, supplies_fetched.MAKERS, "1", lambda _text: None)
    with pytest.raises(
        SupplyFailed, match=r"cannot fetch the wheels from PyPI .*network.*--material"
    ) as caught:
        supplies.folder("repository")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_every_chain_has_material_of_both_kinds():
    needed = {name for chain in CHAINS.values() for name in chain.supplies}
    assert needed <= supplies_made.MAKERS.keys()
    assert needed <= supplies_fetched.MAKERS.keys()


# -- programs ------------------------------------------------------------------------------------


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert missing(("cc",)) == "cc is not installed (Debian package gcc)"


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(ProgramFailed, match=r"ls missing ended with 2: .*No such file"):
        run(["ls", "missing"], tmp_path)
    assert run(["sh", "-c", "exit 1"], tmp_path, fine=(0, 1)) == ""


def test_a_program_that_takes_too_long_leaves_no_child(tmp_path, monkeypatch):
    child, wait = tmp_path / "child", subprocess.Popen.wait

    def impatient(process, timeout=None):
        """Its time is over as soon as there is a child."""
        if timeout is not None:
            while not child.exists():
                time.sleep(0.01)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", impatient)
    monkeypatch.setattr("bench.programs.LIMIT_SECONDS", 0.01)
    with pytest.raises(ProgramFailed, match="took more than"):
        run(["sh", "-c", "sleep 600 & echo $! > new; mv new child; wait"], tmp_path)
    deadline = time.monotonic() + 60
    while is_running(child.read_text().strip()):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.01)


def is_running(pid):
    """Whether there is such a process, and it is more than an entry that nobody has taken away."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# -- the table -----------------------------------------------------------------------------------


def test_no_two_steps_share_a_figure():
    names = [step.name for chain in CHAINS.values() for step in chain.steps]
    assert len(names) == len(set(names))


def test_the_table_says_what_is_met_and_what_is_not():
    step = Step("clone", lambda _scene: None, {"host": at_most(4), "floor": 0.75})
    seconds = {"floor": (1.0, 1.0), "host": (0.5, 0.4), "vfs": (1.6, 1.5)}
    samples = [
        Sample("clone", target, "free", number, 1, {"clone": value}, cpu_seconds=0.5)
        for target, values in seconds.items()
        for number, value in enumerate(values)
    ]
    row = markdown(lines([step.workload()], samples)).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("clone", "s", "1.000", "0.450", "-", "1.550"),
        *("0.65 (0.62..0.67)", "0.29 (0.27..0.31)", "-", "0.50 / 0.50"),
        *("floor 0.75, ext4 0.25", "no (floor)"),
    ]


def test_a_goal_that_could_not_be_measured_is_not_met():
    step = Step("clone", lambda _scene: None, {"host": at_most(4)})
    samples = [Sample("clone", "vfs", "free", 0, 1, {"clone": 1.0})]
    assert markdown(lines([step.workload()], samples)).endswith("| ext4 0.25 | not measured (ext4) |")


# -- the floor under real programs ---------------------------------------------------------------


@pytest.fixture
def floor(tmp_path):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing or not accessible")
    with grounds(default_program())["floor"].open(tmp_path) as opened:
        yield opened


@mounted
def test_the_floor_has_links_and_keeps_open_files(floor):
    one, other, soft = (floor.root / name for name in ("one", "other", "soft"))
    one.write_bytes(b"data")
    os.link(one, other)
    soft.symlink_to("other")
    assert (one.stat().st_nlink, soft.readlink().name, soft.lstat().st_size) == (2, "other", 5)
    with pytest.raises(FileExistsError):
        os.link(one, other)
    os.rename(one, other)  # two names of one file: both stay
    assert {path.name for path in floor.root.iterdir()} == {"one", "other", "soft"}
    with one.open("r+b") as file:
        with mmap.mmap(file.fileno(), 4) as mapping:
            mapping[:4] = b"DATA"
        one.unlink()
        assert soft.read_bytes() == b"DATA"
        assert other.stat().st_nlink == 1
        other.unlink()
        file.seek(0)
        assert file.read() == b"DATA"
    with pytest.raises(FileNotFoundError):
        soft.read_bytes()


@mounted
def test_the_floor_forgets_what_the_kernel_kept_and_not_its_data(floor):
    if not can_drop_caches():
        pytest.skip("needs root to drop the kernel's caches")
    (floor.root / "folder").mkdir()
    for number in range(1, FILES + 1):
        (floor.root / "folder" / str(number)).write_bytes(b"x" * number)

    def read_all():
        """Opening, reading and closing each; a file object would look at its attributes, too."""
        for number in range(1, FILES + 1):
            descriptor = os.open(floor.root / "folder" / str(number), os.O_RDONLY)
            try:
                assert os.read(descriptor, FILES + 1) == b"x" * number
            finally:
                os.close(descriptor)

    def answered():
        """Requests so far."""
        calls = write_calls(floor.pid)
        if calls is None:
            pytest.skip("the kernel does not count calls of write")
        return calls

    floor.forget()
    settle(floor.pid)  # the kernel waits for no answer to the last requests of before
    before = answered()
    read_all()
    wanted = before + 4 * FILES  # a look-up, an open, a read and a release of each; nobody waits for the last
    deadline = time.monotonic() + 60
    while answered() < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answered() >= wanted


# -- all of it, in small -------------------------------------------------------------------------


def _bench(tmp_path, *arguments):
    done = run_bench("workloads", tmp_path, "--material", tmp_path / "material", *arguments)
    wait_until_no_loop_device_of(tmp_path)
    return done


def _expected(chains, names):
    """Every step of what can be run here."""
    able = [CHAINS[chain] for chain in chains if missing(CHAINS[chain].programs) is None]
    return {(step.name, name) for chain in able for step in chain.steps for name in names}


@mounted
def test_a_tiny_run_gives_every_figure_and_leaves_nothing(tmp_path):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing or not accessible")
    done = _bench(tmp_path, "--sizes", "tiny", "--only", "repository")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    reasons = {name: ground.ready() for name, ground in grounds(default_program()).items()}
    expected = _expected(["repository"], [name for name, reason in reasons.items() if reason is None])
    if not can_drop_caches():
        expected = {(step, name) for step, name in expected if not step.endswith("cold")}
    measured = {(sample["workload"], sample["target"]) for sample in document["samples"]}
    assert measured == expected
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert set(rows[2:]) == {step for step, _ in expected}
    assert not (tmp_path / "material").exists()  # nothing was fetched


def test_every_chain_does_its_work(tmp_path):
    chains = [name for name in CHAINS if name != "repository"]
    done = _bench(tmp_path, "--sizes", "tiny", "--targets", "host", "--only", *chains)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    measured = {(sample["workload"], sample["target"]) for sample in document["samples"]}
    assert measured == _expected(chains, ["host"])
    left_out = {skip["workload"] for skip in document["skipped"]}
    assert left_out == {name for name in chains if missing(CHAINS[name].programs)}


def test_what_is_not_installed_is_left_out_with_the_reason(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sync", "losetup"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    chains = ("--only", "rsync", "sqlite")
    done = _bench(tmp_path, "--sizes", "tiny", "--targets", "host", *chains)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: rsync on all: rsync is not installed (Debian package rsync)" in done.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert {sample["workload"] for sample in document["samples"]} == {s.name for s in CHAINS["sqlite"].steps}
