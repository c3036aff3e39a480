"""What a simulated life lives in: the small limits of the crash tests, and clocks that the life alone moves.

All looks at a clock within one step give the same time, so that a model can know it. Real time plays no part.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import vfs.checkpoint
import vfs.collecting
import vfs.journal
import vfs.packing
from tests.crash.surroundings import FIRST_NS, impose

STEP_NS = 1_000_003
STEP_SECONDS = 0.3
"""A background commit every 17 steps, a checkpoint by age every 200."""


class StepClock:
    """The time of the step under way."""

    def __init__(self) -> None:
        self.step = 0

    def now_ns(self) -> int:
        return FIRST_NS + self.step * STEP_NS

    def monotonic(self) -> float:
        return self.step * STEP_SECONDS


@contextmanager
def surroundings() -> Iterator[StepClock]:
    """Put limits and clocks in force."""
    clock = StepClock()
    with pytest.MonkeyPatch.context() as patch:
        impose(patch, clock.now_ns)
        for module in (vfs.checkpoint, vfs.collecting, vfs.journal, vfs.packing):
            patch.setattr(module, "monotonic", clock.monotonic)
        yield clock
