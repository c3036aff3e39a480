"""Whole lives of a store, each from one seed, with faults and stops of all kinds mixed: promises are kept.

`make crash SEEDS=n FIRST=m` lives many; without it a fixed share. A life that fails prints the command that
replays it and the name of a short script; the scripts of lives that failed once are replayed here for ever.
"""

from pathlib import Path

import pytest

from tests.crash.extent import FIRST_SEED, SEEDS, tell
from tests.simulation.lives import LifeFailed, live, relive
from tests.simulation.report import report
from tests.simulation.script import Script

pytestmark = pytest.mark.timeout(600)  # what fails is made short, which takes a minute more

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))
TOGETHER = 20
"""Lives in one test."""
LIVES = range(FIRST_SEED * TOGETHER, (FIRST_SEED + (SEEDS or 16)) * TOGETHER, TOGETHER)


@pytest.mark.parametrize("first", LIVES)
def test_lives(first: int) -> None:
    total: dict[str, int] = {}
    for seed in range(first, first + TOGETHER):
        try:
            counts = live(seed)
        except LifeFailed as failed:
            pytest.fail(report(failed), pytrace=False)
        for what, number in counts._asdict().items():
            total[what] = total.get(what, 0) + number
    tell(f"{TOGETHER} lives", first, **total)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_failed_once(path: Path) -> None:
    relive(Script.read(path))
