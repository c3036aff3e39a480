"""Changes in the middle of a checkpoint, tried one by one: each kind of change, after each number of captured
slices, with each way to go on. What the model only meets by chance has to hold here every time.
"""

import random
import stat

import pytest

from tests.model import bounds
from tests.model.bounds import Bounds
from tests.model.drawn import Data, Spot, Where
from tests.model.machine import CHANGES, ENDS, FileSystemMachine

LIMITS = {"real": bounds.REAL, "tiny": bounds.TINY._replace(slice_things=1)}
SLICES = (0, 1, 3, 5)
"""Nothing, one thing, or all is captured; or the index has it, and memory was not told yet."""
NEW, OLD = Where(1, b"f", False), Where(1, b"c", False)
OLD_THERE = Where(2, b"", True)
"""The entry `c` of the directory `a`."""


def machine(limits: Bounds, life: str) -> FileSystemMachine:
    """A run that has begun, with everything in place."""
    made = FileSystemMachine()
    made.begin(chosen=limits, life=life)
    return made


@pytest.mark.parametrize("then", ENDS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("limits", LIMITS)
def test_a_change_while_a_checkpoint_waits(limits: str, change: str, then: str) -> None:
    for slices in SLICES:
        for where in (NEW, OLD):
            run = machine(LIMITS[limits], "committed")
            try:
                run.consistent()
                run.change_what_a_checkpoint_waits_for(
                    where, Data(1, ((100, -1),)), change, Spot("end", -50), slices, then
                )
                run.consistent()
                run.compare()
            finally:
                run.teardown()


@pytest.mark.parametrize("committed", [False, True], ids=["", "committed"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("limits", LIMITS)
def test_a_change_while_a_pass_is_under_way(limits: str, change: str, *, committed: bool) -> None:
    """The pack is written; or the index has it, and memory was not told yet; or only a part of it was."""
    for steps in (1, 2, 3):
        for kill in (False, True):
            run = machine(LIMITS[limits], "committed")
            try:
                run.consistent()
                run.change_what_a_pass_has_planned(
                    OLD_THERE, Data(1, ((100, -1),)), change, Spot("end", -50), steps, committed, kill
                )
                run.consistent()
                run.compare()
            finally:
                run.teardown()


@pytest.mark.parametrize("life", ["fresh", "committed"])
def test_chunks_written_during_a_checkpoint_stay(life: str) -> None:
    """They hold nothing that the new index names, and everything that comes after it."""
    run = machine(bounds.TINY, life)
    try:
        run.begin_checkpoint(0)
        run.finish_checkpoint("synced")
        data = random.Random(1).randbytes(3 * bounds.TINY.chunk_bytes)
        node = run.world.make(run.world.root, b"new", stat.S_IFREG | 0o644)
        run.world.write(node, 0, data)
        run.world.note(node)
        run.finish_checkpoint("ended")
        run.sync()  # what is to be removed goes when a later chunk is durable
        run.compare()
        run.come_back(clean=False, begin=False)
        assert run.world.read(node.ino, 0, len(data)) == data
    finally:
        run.teardown()
