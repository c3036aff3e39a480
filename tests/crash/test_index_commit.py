"""A checkpoint whose commit fails: nothing is lost and nothing is half there; a later one succeeds, and fsck
finds nothing at any point between.
"""

import errno
import random

import pytest

from tests.crash.afterwards import check_clean, check_same, shown
from tests.crash.disks import new_disk, prefixes
from tests.crash.extent import LIVES, LONG, STEPS, style, tell
from tests.crash.lives import Life
from tests.crash.steps import PACKING, script, without
from tests.crash.trees import tree
from tests.simulated.faults import Fault
from vfs.errors import IndexUnwritten, NoSpace

ERRORS: dict[int, type[Exception]] = {errno.EIO: IndexUnwritten, errno.ENOSPC: NoSpace}
CHECKPOINTING = ("begin", "gather", "gather_rest", "commit", "end", "checkpoint", "reopen")


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("seed", LIVES)
def test_a_commit_that_fails_is_made_good_by_the_next(seed: int, code: int) -> None:
    """Operations, a checkpoint that fails at a call of it, operations, and one that succeeds."""
    steps = without(script(seed, STEPS), *CHECKPOINTING, *PACKING)
    trees = prefixes(steps)
    rng = random.Random(seed)
    failed = 0
    skip = rng.randrange(4) if not LONG else 0
    while True:
        disk = new_disk()
        life = Life(disk, steps, **{**style(seed), "autopilot": False})
        life.run_to(len(steps) // 3)
        life.fs.flush()
        life.run_to(len(steps) * 2 // 3)
        life.fs.begin_checkpoint()
        life.run_to(len(steps) * 2 // 3 + 5)
        while not life.fs.gather_checkpoint():
            pass
        life.run_to(len(steps) * 2 // 3 + 10)
        life.fs.sync()
        synced = life.answered
        writing = "write" if code == errno.ENOSPC else None
        disk.faults = [Fault(code, writing, skip=skip)]
        lsn = life.fs.store.index.meta()["lsn"]
        capture = life.fs.table.tracker.capture
        assert capture is not None
        coming = capture.lsn
        try:
            life.fs.commit_checkpoint()
        except ERRORS[code]:
            failed += 1
        else:
            life.drop()
            break  # there are not so many calls
        disk.faults = []
        where = f"call {skip} of a commit failed"
        assert life.fs.failed is None, where
        # An error in the very last call leaves open whether the commit counts, and either is right.
        assert life.fs.store.index.meta()["lsn"] in (lsn, coming), where
        life.fs.abandon_checkpoint()
        life.fs.table.check_invariants()
        check_same(tree(life.fs), trees[synced], where)
        for after in (disk.crash(rng), disk.kill()):
            check_same(shown(after), trees[synced], where)
        check_clean(disk, where)
        life.run()
        life.fs.checkpoint()
        check_same(tree(life.fs), trees[-1], where)
        for after in (disk.crash(rng), disk.kill()):
            check_same(shown(after), trees[-1], f"{where}, the next succeeded")
        check_clean(disk, f"{where}, the next succeeded")
        life.drop()
        skip += 1 if LONG else 6
    assert failed > 0 or not LONG
    tell(f"failed commit, {errno.errorcode[code]}", seed, commits=failed)
