"""Packing and collecting: a power cut or a kill at any call of a pass, a swap, a flush or a collection leaves
the same files as before it, on a store in which nothing is left over, and which can be packed again.
"""

import random

import pytest

from tests.crash.afterwards import (
    check_clean,
    check_cut_in_recovery,
    check_life_goes_on,
    check_prefix,
    check_same,
    shown,
)
from tests.crash.disks import cuts, kills, new_disk, prefixes
from tests.crash.extent import LIVES, LONG, style, tell
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.packing import packing
from tests.crash.trees import tree

SHARE = 1.0 if LONG else 0.03


@pytest.mark.parametrize("seed", LIVES)
def test_a_power_cut_at_any_call_of_packing_and_collecting(seed: int) -> None:
    steps = packing(seed)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_cuts = cuts(steps, rng, SHARE, 1, **style(seed))
    second = 0
    for number, cut in enumerate(found_cuts):
        if number % 4 == 0:
            check_clean(cut.disk, cut)
        if number % 4 == 1:
            check_life_goes_on(cut.disk.kill(), cut.highest_ino, f"{seed} {number}", 12)
        disk = cut.disk.kill()
        found = shown(disk)
        check_prefix(found, trees, cut.synced, cut.answered + 1, cut)
        if number % 4 == 2:
            second += check_cut_in_recovery(cut, found, rng, 0.3)
        if number % 4 == 3:
            check_clean(disk, cut)
    tell("power cut in packing", seed, cuts=len(found_cuts), second_cuts=second)


@pytest.mark.parametrize("seed", LIVES)
def test_a_kill_at_any_call_of_packing_and_collecting(seed: int) -> None:
    steps = packing(seed)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_kills = kills(steps, rng, SHARE, **style(seed))
    for number, cut in enumerate(found_kills):
        if number % 4 == 0:
            check_clean(cut.disk, cut)
        found = shown(cut.disk)
        check_prefix(found, trees, cut.answered, cut.answered + 1, cut)
        check_same(shown(cut.disk.crash(rng)), found, f"{cut}, opened, then a power cut")
        if number % 4 == 1:
            check_life_goes_on(cut.disk, cut.highest_ino, f"{seed} {number}", 12)
    tell("kill in packing", seed, kills=len(found_kills))


@pytest.mark.parametrize("seed", LIVES)
def test_such_a_life_does_what_it_is_for(seed: int) -> None:
    """Packs come and go, chunks go, rows are swapped: were it otherwise, the cuts would prove nothing."""
    disk = new_disk()
    life = Life(disk, packing(seed), **style(seed)).run()
    named = {kind: [name for call, name in disk.history if call == kind] for kind, _ in disk.history}
    assert any(name.startswith("packs/new-") for name in named["rename"]), "a pack came"
    assert any(name.startswith("packs/") for name in named["unlink"]), "a pack went"
    assert any(name.startswith("log/") for name in named["unlink"]), "a chunk went"
    last = tree(life.fs)
    life.settle()
    life.fs.flush()
    assert life.fs.store.index.referenced_chunks() == {}
    check_same(tree(life.fs), last, "flushed")
    for name in life.fs.listdir():
        life.fs.remove(b"/" + name)
    life.fs.collect()
    assert disk.list("packs") == []
    assert disk.list("log") == [f"chunk-{life.fs.log.chunk_numbers()[-1]:08}"]
    life.fs.close()
    check_clean(disk, "empty")


def test_a_reader_under_way_finds_what_is_collected_meanwhile() -> None:
    """What it began to read is there until it ends, although no name and no row of the index leads there."""
    disk = new_disk()
    content = random.Random(1).randbytes(30_000)
    fs = opened(disk)
    ino = fs.write_bytes("/read", content).ino
    fs.flush()
    plan = fs.begin_read(ino, 0, len(content))
    fs.write_bytes("/read", b"")
    report = fs.collect()
    assert report.packs_removed == 1
    assert len(disk.list("packs")) == 1
    assert bytes(fs.run_read(plan)) == content
    fs.end_read(plan)
    fs.checkpoint()
    assert disk.list("packs") == []
    assert fs.store.rows.packs() == []
    fs.close()
    check_clean(disk, "closed")
