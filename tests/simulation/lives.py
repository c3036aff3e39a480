"""Whole lives: drawn from a seed, or read from a script; and what becomes of one that fails.

A life that fails ends with `LifeFailed`, which has the script of it and the one command that replays it.
"""

from collections.abc import Sequence

from tests.crash.extent import STYLES
from tests.crash.steps import Step
from tests.simulation.drawing import Drawing
from tests.simulation.life import Counts, Life
from tests.simulation.script import Script
from tests.simulation.surroundings import surroundings
from tests.simulation.verdicts import Failure

STEPS = 200


class LifeFailed(AssertionError):
    """A promise was broken in the last step of this script, or at the end of the life."""

    def __init__(self, script: Script, failure: Failure) -> None:
        self.script = script
        self.failure = failure
        super().__init__(str(failure))


def live(seed: int, steps: int = STEPS) -> Counts:
    """The life of that seed. Raises LifeFailed."""
    style = seed % len(STYLES)
    done: list[Step] = []
    with surroundings() as clock:
        life, drawing = Life(clock, seed, style), Drawing(seed)
        try:
            for _ in range(steps):
                done.append(drawing.next(life.oracle, failed=life.failed))
                stops = life.counts.cuts + life.counts.kills
                life.step(done[-1])
                if life.counts.cuts + life.counts.kills > stops:
                    drawing.stopped()
            life.end()
        except Failure as failure:
            raise LifeFailed(Script(seed, style, tuple(done), str(failure)), failure) from failure
    return life.counts


def relive(script: Script, steps: Sequence[Step] | None = None) -> Counts:
    """The life of a script, or of some of its steps. Raises LifeFailed."""
    steps = script.steps if steps is None else steps
    with surroundings() as clock:
        life = Life(clock, script.seed, script.style)
        number = 0
        try:
            for number, step in enumerate(steps, 1):  # noqa: B007 - how far it came
                life.step(step)
            life.end()
        except Failure as failure:
            lived = script._replace(steps=tuple(steps[:number]), why=str(failure))
            raise LifeFailed(lived, failure) from failure
    return life.counts
