"""The part of the bench that freezes trees: its trees, and that a small run gives every figure and cleans up.

Promises to be quick; it never judges a figure.
"""

import os

import pytest

from bench.freezers import BtrfsFreezer, Copies
from bench.snapshots import CHANGES, STEPS, SUBJECTS, Tree, figure
from tests.tiny_bench import figures_of, run_bench


@pytest.mark.parametrize("files", [100, 10_000])
def test_a_tree_has_its_files_and_its_changes(tmp_path, files):
    tree = Tree(files)
    assert len(set(tree.paths())) == files
    assert len(set(tree.changes("a"))) == CHANGES
    assert set(tree.changes("a")) <= set(tree.paths())
    assert tree.changes("a") == tree.changes("a")
    if files == 100:
        tree.make(tmp_path)
        assert sum(len(names) for _, _, names in os.walk(tmp_path)) == files


def test_copies_come_back(tmp_path):
    Tree(100).make(tmp_path)
    (tmp_path / "home").mkdir()
    os.rename(tmp_path / "0000", tmp_path / "home" / "work")
    copies = Copies(tmp_path / "home")
    copies.create("then")
    (copies.work / "0003").write_bytes(b"changed")
    assert copies.diff("then") == 1
    copies.rollback("then")
    assert copies.diff("then") == 0


@pytest.mark.mounted
@pytest.mark.timeout(600)
def test_a_small_run_gives_every_figure_and_leaves_nothing(tmp_path):
    done = run_bench("snapshots", tmp_path, "--size", "small")
    assert done.returncode == 0
    document = figures_of(tmp_path)
    reason = BtrfsFreezer().ready()
    assert document["skipped"] == (
        [] if reason is None else [{"workload": "all", "target": "btrfs", "reason": reason, "failed": False}]
    )
    measured = {sample["target"]: set(sample["figures"]) for sample in document["samples"]}
    expected = {*SUBJECTS, "cp", *(["btrfs"] if reason is None else [])}
    assert measured == {name: {figure(step, 100) for step in STEPS} for name in expected}
