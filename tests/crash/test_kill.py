"""G1, acknowledged means logged: whenever the process is killed, nothing that was answered is lost, and what
the next mount shows is durable from then on.
"""

import random

import pytest

from tests.crash.afterwards import check_clean, check_life_goes_on, check_prefix, check_same, shown
from tests.crash.disks import kills, prefixes
from tests.crash.extent import LIVES, SHARE, STEPS, style, tell
from tests.crash.steps import script


@pytest.mark.parametrize("seed", LIVES)
def test_a_kill_at_any_call_loses_nothing_that_was_answered(seed: int) -> None:
    steps = script(seed, STEPS)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_kills = kills(steps, rng, SHARE, **style(seed))
    for number, cut in enumerate(found_kills):
        found = shown(cut.disk)
        check_prefix(found, trees, cut.answered, cut.answered + 1, cut)
        check_same(shown(cut.disk.crash(rng)), found, f"{cut}, opened, then a power cut")
        if number % 4 == 0:
            check_clean(cut.disk, cut)
        if number % 4 == 1:
            check_life_goes_on(cut.disk, cut.highest_ino, f"{seed} {number}")
    tell("kill", seed, kills=len(found_kills))
