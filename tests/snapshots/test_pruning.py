"""Pruning: what nobody sees any more goes, what anybody sees stays, and space comes back."""

from pathlib import Path

import pytest

import vfs
from tests.snapshots.lives import RandomLife, shown
from tests.snapshots.rows import unseen_rows, wrong_counts
from vfs.snapshots.pruning import Prune

LIVES = 8


@pytest.mark.parametrize("seed", range(LIVES))
def test_nothing_that_is_seen_goes_and_nothing_else_stays(tmp_path: Path, seed: int) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        life = RandomLife(fs, seed)
        before = shown(fs)
        for number in range(24):
            for _ in range(life.rng.randint(1, 8)):
                life.step()
            life.tree_step()
            fs.checkpoint()
            before = shown(fs)
            work = Prune(most_rows=life.rng.choice((3, 20, 1000)), most_seconds=60)
            more = True
            while more and (number % 3 or life.rng.random() < 0.7):
                fs.begin_slice(work)
                more = fs.run_slice(work)
                fs.end_slice(work)
                assert shown(fs) == before
            assert wrong_counts(fs.store.index) == []
            if not more:
                assert unseen_rows(fs.store.index) == []
        fs.collect()
        assert shown(fs) == before
    with vfs.open(tmp_path / "store") as fs:
        assert shown(fs) == before
