"""G2, prefix: a power cut at any call to the disk leaves the tree after some prefix of the answered steps,
with everything answered before the last completed sync. No fsck is needed, and life goes on.

`VFS_CRASH_SEEDS=n` runs n lives with cuts at every call; without it, a few lives with cuts at some.
"""

import random

import pytest

from tests.crash.afterwards import (
    check_clean,
    check_cut_in_recovery,
    check_life_goes_on,
    check_prefix,
    shown,
)
from tests.crash.disks import cuts, prefixes
from tests.crash.extent import LIVES, SHARE, STEPS, WAYS, style, tell
from tests.crash.steps import Data, Step, script


def test_a_power_cut_in_the_first_frames_of_a_chunk_behind_the_last_checkpoint() -> None:
    """The index names the last frame of the chunk before; that frame is in order, whatever follows it."""
    steps = [
        Step("create", ("/a",)),
        Step("write", ("/a", 0, Data("random", 20_000, 1))),
        Step("reopen"),
        Step("write", ("/a", 0, Data("random", 20_000, 2))),
        Step("append", ("/a", Data("random", 300, 3))),
    ]
    trees = prefixes(steps)
    for cut in cuts(steps, random.Random(1), 1.0, 20):
        check_prefix(shown(cut.disk), trees, cut.synced, cut.answered + 1, cut)


@pytest.mark.timeout(600)  # 14 seconds of CPU, on a machine that may do much else
@pytest.mark.parametrize("seed", LIVES)
def test_a_power_cut_at_any_call_leaves_a_prefix_with_all_that_was_synced(seed: int) -> None:
    steps = script(seed, STEPS)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_cuts = cuts(steps, rng, SHARE, WAYS, **style(seed))
    second = 0
    for number, cut in enumerate(found_cuts):
        disk = cut.disk.kill()
        found = shown(disk)
        check_prefix(found, trees, cut.synced, cut.answered + 1, cut)
        if number % 5 == 0:
            check_clean(disk, cut)
        if number % 5 == 1:
            check_life_goes_on(disk, cut.highest_ino, f"{seed} {number}")
        if number % 5 == 2:
            second += check_cut_in_recovery(cut, found, rng, 0.4)
    tell("power cut", seed, cuts=len(found_cuts), second_cuts=second)
