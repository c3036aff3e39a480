"""The parts of the bench that compare stored sizes and watch long writes: their data, arithmetic and manners.

Promises to be quick; it never judges a figure, only that there is one and that nothing stays behind.
"""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from bench.datasets import DATASETS, SCALES, first_difference, measure
from bench.keepers import Borg, Btrfs, KeeperFailed, Restic, VfsImport, VfsMounted, room
from bench.material import MIXED_KINDS, Mixture, floats, log_pieces, media, variant
from bench.processes import is_mounted
from bench.results import Sample, lines
from bench.sizes import MIB
from bench.storage import workload
from bench.sustained_report import Moment, summarize
from bench.targets import VfsTarget, default_program
from tests.tiny_bench import wait_until_no_loop_device_of

pytestmark = pytest.mark.timeout(600)
CHECKOUT = Path(__file__).parent.parent
SMALL = SCALES["small"]
PAGE = 4096


def _made(tmp_path, name, scale=SMALL):
    folder = tmp_path / name
    folder.mkdir()
    DATASETS[name].make(folder, scale)
    return folder


def _ratio(data):
    return len(zstandard.compress(data, 3)) / len(data)


# -- the data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS)
def test_the_same_data_is_made_every_time(tmp_path, name):
    (tmp_path / "again").mkdir()
    one, other = _made(tmp_path, name), _made(tmp_path / "again", name)
    assert measure(one).size_bytes > 0
    assert first_difference(one, other) is None


def test_a_source_tree_is_there_twice(tmp_path):
    folder = _made(tmp_path, "tree-twice", replace(SMALL, tree_bytes=200_000))
    assert first_difference(folder / "first", folder / "second") is None
    assert measure(folder).size_bytes >= 2 * 200_000


def test_a_checkpoint_differs_from_the_one_before_in_one_percent_of_its_pages(tmp_path):
    folder = _made(tmp_path, "checkpoints", replace(SMALL, checkpoint_bytes=250 * PAGE))
    first, second = ((folder / f"checkpoint-00{n}.bin").read_bytes() for n in (0, 1))
    pages = range(0, len(first), PAGE)
    changed = [page for page in pages if first[page : page + PAGE] != second[page : page + PAGE]]
    assert (len(pages), len(changed)) == (250, 2)


def test_inserted_bytes_move_what_follows(tmp_path):
    folder = _made(tmp_path, "checkpoints-inserted")
    sizes = [path.stat().st_size for path in sorted(folder.iterdir())]
    assert sizes == sorted(set(sizes))


def test_data_compresses_as_its_kind_does():
    assert _ratio(b"".join(next(log_pieces(seed)) for seed in (0, 1))) < 0.25
    assert 0.8 < _ratio(floats(random.Random(1), MIB)) < 0.95
    assert _ratio(media(random.Random(1), MIB)) > 0.99


def test_a_variant_compresses_alike_and_shares_nothing():
    text = next(log_pieces(0))
    other = variant(text, 5)
    assert _ratio(other) == pytest.approx(_ratio(text), rel=0.1)
    assert _ratio(text + other) == pytest.approx(_ratio(text), rel=0.1)


def test_a_mixture_never_repeats():
    mixture = Mixture(1, base_mib=1)
    pieces = [mixture.piece(number) for number in range(3 * len(MIXED_KINDS))]
    assert {len(piece) for piece in pieces} == {MIB}
    spots = [piece[MIB // 2 : MIB // 2 + PAGE] for piece in pieces]
    assert len(set(spots)) == len(spots)
    assert pieces[3].count(0) > MIB // 2
    assert mixture.piece(7) == pieces[7]


# -- looking at folders --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["byte", "missing", "link", "kind"])
def test_a_difference_is_found(tmp_path, what):
    for name in ("one", "other"):
        folder = tmp_path / name / "deep"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"same")
        (folder / "link").symlink_to("file")
    assert first_difference(tmp_path / "one", tmp_path / "other") is None

    file, link = (tmp_path / "other/deep" / name for name in ("file", "link"))
    if what == "byte":
        file.write_bytes(b"sane")
    elif what == "missing":
        file.unlink()
    else:
        link.unlink()
        if what == "link":
            link.symlink_to("elsewhere")
        else:
            link.write_bytes(b"same")
    found = "deep/file" if what in ("byte", "missing") else "deep/link"
    assert first_difference(tmp_path / "one", tmp_path / "other") == found


def test_room_is_what_the_disk_gave(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(MIB)
    assert room(tmp_path) == 0
    (tmp_path / "full").write_bytes(os.urandom(8 * PAGE))
    assert room(tmp_path) >= 8 * PAGE


# -- arithmetic ----------------------------------------------------------------------------------


def _stored(target, megabytes):
    return Sample("logs", target, "free", 0, 0, {"logs stored": megabytes, "logs time": 1.0})


def test_sizes_are_held_against_what_deduplicates_too():
    samples = [
        _stored("vfs", 10.0),
        _stored("vfs-import", 8.0),
        _stored("restic", 9.0),
        _stored("btrfs", 5.0),
    ]
    found = {
        (line.subject, line.against): (line.ratio.median if line.ratio else None, line.passes)
        for line in lines([workload(DATASETS["logs"])], samples)
        if line.figure == "logs stored"
    }
    assert found["vfs", "restic"] == (0.9, False)
    assert found["vfs-import", "restic"] == (1.125, True)
    assert found["vfs", "btrfs"] == (0.5, None)
    assert found["vfs", "borg"] == (None, None)


def _moment(logical, log, resident):
    return Moment(1.0, logical, log + 1, log, 1, resident, resident - 1, resident + 1)


def test_a_long_write_is_summed_up_by_quarters():
    moments = [
        _moment(logical, log, 10 + log) for logical, log in ((10, 1), (30, 7), (60, 5), (80, 4), (100, 2))
    ]
    summary = summarize(
        moments,
        written_seconds=1,
        packed_seconds=2,
        closed_bytes=3,
        longest_write_seconds=0.1,
        compared=True,
    )
    assert summary.peak_log_by_quarter == (1, 7, 5, 4)
    assert summary.peak_resident_by_quarter == (11, 17, 15, 14)
    assert (summary.peak_resident_bytes, summary.peak_log_bytes, summary.peak_store_bytes) == (18, 7, 8)
    assert (summary.logical_bytes, summary.packed_store_bytes) == (100, 3)


# -- programs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keeper", "program"), [(Restic(), "restic"), (Borg(), "borg")])
def test_a_missing_program_is_named(monkeypatch, keeper, program):
    monkeypatch.setenv("PATH", "/nowhere")
    assert keeper.ready() == f"{program} is not installed"


def test_a_copy_that_fails_leaves_no_mount_and_no_loop_device(tmp_path):
    if reason := Btrfs().ready():
        pytest.skip(reason)
    with pytest.raises(KeeperFailed, match="No such file"):
        Btrfs().keep(tmp_path / "missing", tmp_path)
    assert not is_mounted(str(tmp_path / "mount"))
    wait_until_no_loop_device_of(tmp_path)


def _require(verb):
    if reason := VfsTarget(default_program()).ready(verb):
        pytest.skip(reason)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is missing or not accessible")


@pytest.mark.mounted
@pytest.mark.parametrize(("kind", "verb"), [(VfsMounted, "flush"), (VfsImport, "import")])
def test_vfs_keeps_a_folder_in_less_room(tmp_path, kind, verb):
    _require(verb)
    source, home = _made(tmp_path, "logs"), tmp_path / "home"
    home.mkdir()
    kept = kind(default_program(), check=True).keep(source, home)
    assert kept.seconds > 0
    assert kept.stored_bytes < measure(source).size_bytes


def _bench(tmp_path, *arguments):
    (tmp_path / "stores").mkdir()
    outputs = [
        "--store-dir",
        tmp_path / "stores",
        "--json",
        tmp_path / "out.json",
        "--plot",
        tmp_path / "out.png",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, *outputs],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert not list((tmp_path / "stores").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    return done


def test_a_small_comparison_gives_every_figure_and_leaves_nothing(tmp_path):
    keepers = {keeper.name: keeper.ready() for keeper in (Borg(), Btrfs())}
    done = _bench(tmp_path, "storage", "--size", "small", "--only", "logs", "--keepers", ",".join(keepers))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    measured = {sample["target"] for sample in document["samples"]}
    skipped = {skip["target"]: skip["reason"] for skip in document["skipped"]}
    assert measured == {name for name, reason in keepers.items() if reason is None}
    assert skipped == {name: reason for name, reason in keepers.items() if reason is not None}
    assert set(document["data"]) == {"logs"}
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.mounted
def test_a_small_long_write_is_watched(tmp_path):
    _require("flush")
    done = _bench(tmp_path, "sustained", "--mib", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["summary"]["compared"]
    assert document["summary"]["logical_bytes"] == 8 * MIB
    assert document["summary"]["peak_resident_bytes"] > 0
    assert document["moments"][-1]["logical_bytes"] == 8 * MIB
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
