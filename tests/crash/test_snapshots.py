"""Snapshots, clones, rollbacks and pruning: a power cut or a kill at any call to the disk leaves each of them
whole or not at all, with everything that was answered; a full disk or an error changes nothing.
"""

import errno
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
from tests.crash.steps import Data, Step
from tests.crash.tree_steps import TREE_STEPS, tree_script
from tests.crash.trees import Tree, tree
from tests.simulated.faults import Fault
from vfs.errors import IndexUnwritten, NoSpace, SnapshotError

STEPS = 120
MANY = 1_000_000
SHARE = 1.0 if LONG else 0.02

MADE = [
    Step("mkdir", ("/a",)),
    Step("create", ("/a/f",)),
    Step("write", ("/a/f", 0, Data("random", 9000, 1))),
    Step("append", ("/a/f", Data("random", 70, 2))),
    Step("append", ("/a/f", Data("random", 70, 3))),
    Step("xattr", ("/a/f", b"user.a", b"then")),
    Step("snapshot", ("one",)),
    Step("fork", ("one", "a", "/clone")),
    Step("write", ("/clone/f", 100, Data("text", 5000, 4))),
    Step("append", ("/a/f", Data("random", 70, 5))),
    Step("unlink", ("/clone/f",)),
    Step("create", ("/clone/g",)),
]
"""A snapshot, a clone, and both have changed since."""

ACTIONS: dict[str, list[Step]] = {
    "create": [Step("snapshot", ("two",))],
    "delete": [Step("delete_snapshot", ("one",)), Step("prune", (100,))],
    "rename": [Step("rename_snapshot", ("one", "two"))],
    "rollback": [Step("rollback", ("one",))],
    "clone": [Step("fork", ("one", "", "/a/whole")), Step("checkpoint")],
    "drop": [Step("unfork", ("/clone",)), Step("checkpoint"), Step("prune", (100,))],
    "all": [
        Step("snapshot", ("two",)),
        Step("fork", ("two", "", "/outer")),
        Step("rollback", ("one",)),
        Step("rollback", ("*",)),
        Step("unfork", ("/outer",)),
        Step("flush"),
        Step("delete_snapshot", ("two",)),
        Step("collect_all"),
    ],
}


@pytest.mark.parametrize("what", ACTIONS)
def test_a_power_cut_at_every_call_of(what: str) -> None:
    steps = [*MADE, *ACTIONS[what]]
    trees = prefixes(steps)
    rng = random.Random(what)
    found_cuts = cuts(steps, rng, 1.0 if LONG or what != "all" else 0.3, 3 if LONG else 1, after=len(MADE))
    assert len(found_cuts) > 5
    for number, cut in enumerate(found_cuts):
        disk = cut.disk.kill()
        found = shown(disk)
        check_prefix(found, trees, cut.synced, cut.answered + 1, cut)
        if number % 12 == 0 or LONG:
            check_clean(disk, cut)
        if number % 24 == 1 or LONG:
            check_life_goes_on(disk, cut.highest_ino, f"{what} {number}", 12)
        if number % 24 == 2 or LONG:
            check_cut_in_recovery(cut, found, rng, 0.3)
    tell(f"power cut in {what}", 0, cuts=len(found_cuts))


@pytest.mark.parametrize("seed", LIVES)
def test_a_power_cut_at_any_call_of_a_life_with_trees(seed: int) -> None:
    steps = tree_script(seed, STEPS)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_cuts = cuts(steps, rng, SHARE, 1, **style(seed))
    second = 0
    for number, cut in enumerate(found_cuts):
        disk = cut.disk.kill()
        found = shown(disk)
        check_prefix(found, trees, cut.synced, cut.answered + 1, cut)
        if number % 5 == 0:
            check_clean(disk, cut)
        if number % 5 == 1:
            check_life_goes_on(disk, cut.highest_ino, f"{seed} {number}", 12)
        if number % 5 == 2:
            second += check_cut_in_recovery(cut, found, rng, 0.4)
    tell("power cut with trees", seed, cuts=len(found_cuts), second_cuts=second)


@pytest.mark.parametrize("seed", LIVES)
def test_a_kill_at_any_call_of_a_life_with_trees(seed: int) -> None:
    steps = tree_script(seed, STEPS)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_kills = kills(steps, rng, SHARE / 2, **style(seed))
    for number, cut in enumerate(found_kills):
        found = shown(cut.disk)
        check_prefix(found, trees, cut.answered, cut.answered + 1, cut)
        if number % 4 == 0:
            check_clean(cut.disk, cut)
    tell("kill with trees", seed, kills=len(found_kills))


def test_lives_with_trees_do_what_they_are_for() -> None:
    """Were it otherwise, the cuts would prove nothing."""
    verbs = [step.verb for seed in LIVES for step in tree_script(seed, STEPS)]
    for verb in TREE_STEPS:
        assert verbs.count(verb) > len(LIVES) / 4, verb


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("what", ["create", "delete", "rename", "rollback"])
def test_a_call_that_fails_in(what: str, code: int) -> None:
    """It is refused and nothing has changed, or it was done; then it can be done. The last calls are those
    that may fail although what was written shows all the same."""
    life = _made_with(what, fault := _fault(code, MANY))
    life.step()
    calls = MANY - fault.skip
    life.drop()
    skips = range(calls) if LONG else sorted({*range(len(what) % 7, calls, 9), *range(calls - 3, calls)})
    refused = 0
    for skip in skips:
        life = _made_with(what, fault := _fault(code, skip))
        before = tree(life.fs)
        try:
            life.step()
        except (NoSpace, IndexUnwritten, SnapshotError):
            refused += 1
        life.storage.faults = []
        where = f"call {skip} of {what} failed"
        assert fault.times == 0, where
        assert life.fs.failed is None, where
        life.fs.table.check_invariants()
        now = tree(life.fs)
        if life.answered == len(MADE):
            check_same(now, before, where)
        _check_goes_on(life, now, where)
    assert refused > 1
    tell(f"errors in {what}", code, calls=len(skips), refused=refused)


def _fault(code: int, skip: int) -> Fault:
    return Fault(code, "write" if code == errno.ENOSPC else None, area="index", skip=skip)


def _made_with(what: str, fault: Fault) -> Life:
    """A life in which all is made; with the next step the fault can strike."""
    disk = new_disk()
    life = Life(disk, [*MADE, ACTIONS[what][0]]).run_to(-1)
    disk.faults = [fault]
    return life


def _check_goes_on(life: Life, now: Tree, where: str) -> None:
    """What shows stays, over a kill, a checkpoint and another snapshot; and the store is in order."""
    disk = life.storage
    check_same(shown(disk.kill()), now, f"{where}, then killed")
    life.fs.write_bytes("/a/after", b"after" * 2000)
    life.fs.write_bytes("/a/f", b"after too")
    changed = tree(life.fs)
    life.fs.checkpoint()
    check_same(tree(life.fs), changed, f"{where}, then a checkpoint")
    for name in ("one", "two", "three"):
        assert {key: found for key, found in changed.items() if key.startswith(f"{name}:")} == {
            key: found for key, found in now.items() if key.startswith(f"{name}:")
        }, f"{where}: snapshot {name} has changed"
    check_same(shown(disk.crash()), changed, f"{where}, then a power cut")
    check_clean(disk, where)
    life.fs.create_snapshot("three")
    changed = tree(life.fs)
    life.fs.close()
    check_same(shown(disk), changed, f"{where}, closed")
    check_clean(disk, f"{where}, closed")
