"""From a script that fails to a short one that fails in the same way: delta debugging over its steps.

Bounded in time; what it returns has failed when it was tried last. Never makes a step: it leaves steps out,
and makes the arguments of stops and faults plainer.
"""

from collections.abc import Callable, Iterator
from time import monotonic

from tests.crash.steps import Step
from tests.simulation.lives import LifeFailed, relive
from tests.simulation.script import Script

LONGEST_SECONDS = 60.0


def shrink(failed: LifeFailed, seconds: float = LONGEST_SECONDS) -> Script:
    """The shortest script found that breaks the same promise."""
    kind, until = failed.failure.kind, monotonic() + seconds
    best = failed.script

    def fails(steps: list[Step]) -> bool:
        """Whether these steps do as well; then they are the best so far, up to where the life ended."""
        nonlocal best
        if monotonic() > until:
            return False
        try:
            relive(best, steps)
        except LifeFailed as again:
            if again.failure.kind == kind:
                best = again.script
                return True
        return False

    while True:
        before = best
        _leave_out(lambda: list(best.steps), fails)
        for number in range(len(best.steps)):
            for plainer in _plainer(best.steps[number]) if number < len(best.steps) else ():
                fails([*best.steps[:number], plainer, *best.steps[number + 1 :]])
        if best == before or monotonic() > until:
            return best


def _leave_out(steps: Callable[[], list[Step]], fails: Callable[[list[Step]], bool]) -> None:
    """Leave out ever smaller runs of steps, from the end, as long as it still fails."""
    length = max(1, len(steps()) // 2)
    while True:
        end = len(steps())
        while end > 0:
            now = steps()
            end = min(end, len(now))
            fails([*now[: max(0, end - length)], *now[end:]])
            end -= length
        if length == 1:
            return
        length //= 2


def _plainer(step: Step) -> Iterator[Step]:
    """The same stop or fault with less to it."""
    if step.verb in ("cut", "kill"):
        after, way, partial, *seconds = step.args
        if seconds:
            yield Step(step.verb, (after, way, partial, *seconds[:-1]))
        if partial is not None:
            yield Step(step.verb, (after, way, None, *seconds))
        if after:
            yield Step(step.verb, (after - 1, way, partial, *seconds))
    elif step.verb == "fault":
        code, kind, area, skip, times, partial = step.args
        if times > 1:
            yield Step("fault", (code, kind, area, skip, 1, partial))
        if partial:
            yield Step("fault", (code, kind, area, skip, times, 0))
        if skip:
            yield Step("fault", (code, kind, area, skip - 1, times, partial))
