"""G5, a full disk: whatever call it hits, the step answers or raises NoSpace and changes nothing; what was
acknowledged stays, deletes still work, and work goes on when there is room again.
"""

import errno
import random
from collections.abc import Callable
from contextlib import nullcontext, suppress

import pytest

from tests.crash.afterwards import check_clean, check_same, shown
from tests.crash.disks import WatchedDisk, new_disk
from tests.crash.extent import LIVES, LONG, STEPS, style, tell
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.packing import packing
from tests.crash.steps import PACKING, Data, Step, script
from tests.crash.trees import tree
from tests.simulated.faults import Fault
from vfs.errors import (
    Exists,
    InvalidArgument,
    IsADirectory,
    NoEntry,
    NoSpace,
    NotADirectory,
    NotEmpty,
    NotPermitted,
)
from vfs.filesystem import FileSystem

FILLING = ("append", "write", "create")
"""The calls that need room."""


def live_with_refusals(life: Life) -> int:
    """Do all steps; those that are refused must change nothing. Returns how often there was no room."""
    refused = 0
    before = tree(life.fs)
    while life.answered < len(life.steps):
        try:
            life.step()
        except NoSpace:
            refused += 1
            step = life.steps[life.answered]
            check_same(tree(life.fs), before, f"{step} was refused")
            if step.verb in PACKING:
                check_given_back(life)
            if step.verb in ("read", "open", "release", "sync", "begin_read", "end_read"):
                raise  # for these no room is needed
            life.count()
        except (NoEntry, Exists, InvalidArgument, NotADirectory, IsADirectory, NotEmpty, NotPermitted):
            if not refused:
                raise
            life.count()  # it misses what a refused step was to make
        life.fs.table.check_invariants()
        before = tree(life.fs)
    return refused


def check_given_back(life: Life) -> None:
    """What did not find room to the end takes no room."""
    unfinished = [name for name in life.storage.list("packs") if name.startswith("new-")]
    assert unfinished == [], "what was written of a pack is still there"


def check_recovers(life: Life, disk: WatchedDisk, rng: random.Random, where: str) -> None:
    """There is room again: all is there after a kill, a sync makes it durable, a clean end works."""
    now = tree(life.fs)
    check_same(shown(disk.kill()), now, f"{where}: killed")
    life.fs.sync()
    check_same(shown(disk.crash(rng)), now, f"{where}: synced, then a power cut")
    life.settle()
    life.fs.flush()
    check_same(tree(life.fs), now, f"{where}: packed")
    life.fs.write_bytes("/room again", b"x" * 9000)
    now = tree(life.fs)
    life.fs.close()
    check_clean(disk, where)
    check_same(shown(disk), now, f"{where}: closed")


def fill(fs: FileSystem, rng: random.Random, size_bytes: int) -> None:
    """Write files until there is no room."""
    with suppress(NoSpace):
        for number in range(10_000):
            fs.write_bytes(f"/{number} fills", rng.randbytes(size_bytes))
        raise AssertionError("the disk never gets full")


SCRIPTS: dict[str, Callable[[int], list[Step]]] = {
    "operations": lambda seed: script(seed, STEPS),
    "packing": packing,
}


@pytest.mark.parametrize("seed", LIVES)
@pytest.mark.parametrize("kind", FILLING)
@pytest.mark.parametrize("what", SCRIPTS)
def test_a_full_disk_at_any_call(what: str, kind: str, seed: int) -> None:
    steps = SCRIPTS[what](seed)
    disk = new_disk()
    before = len(disk.history)
    Life(disk, steps, **style(seed)).run().drop()
    total = sum(call == kind for call, _ in disk.history[before:])
    rng = random.Random(f"{kind} {seed}")
    skips = range(total) if LONG else sorted(rng.sample(range(total), min(total, 2)))
    refused = 0
    for skip in skips:
        disk = new_disk()
        life = Life(disk, steps, **style(seed))
        # One of the index at most: undoing a transaction writes over what is there and needs no room.
        times = 1 if kind == "write" else rng.choice((1, 1, 2, 5))
        partial = rng.choice((0, 1, 39, 50, 3000))
        disk.faults = [Fault(errno.ENOSPC, kind, skip=skip, times=times, partial=partial)]
        refused += live_with_refusals(life)
        disk.faults = []
        check_recovers(life, disk, rng, f"no space in {times} calls after {skip} of {kind}")
    tell(f"full disk in {kind}, {what}", seed, lives=len(skips), refused=refused)


@pytest.mark.parametrize("seed", LIVES)
def test_a_disk_that_fills_up_and_gets_room_again(seed: int) -> None:
    disk, rng = new_disk(), random.Random(seed)
    disk.space_bytes = 200_000 + 10_000 * (seed % 20)
    life = Life(disk, script(seed, STEPS), **style(seed))
    refused = live_with_refusals(life)
    life.settle()
    fill(life.fs, rng, 5000)
    with suppress(NoSpace):
        life.fs.checkpoint()
    before = tree(life.fs)
    check_same(shown(disk.kill()), before, "full")
    for path in [path for path, node in before.items() if path.startswith("/") and node[2] is not None]:
        life.fs.remove(path)  # within what is kept for deletes
    check_same(shown(disk.kill()), tree(life.fs), "all files removed")
    with suppress(NoSpace):
        life.fs.checkpoint()
    disk.space_bytes += 1 << 20
    check_recovers(life, disk, rng, "filled up")
    tell("filling up", seed, refused=refused)


MERGED = "/merged"
CAPTURED: list[Step] = [
    Step("write", (MERGED, 10, Data("random", 50, 1))),
    Step("truncate", (MERGED, 20)),
    Step("punch", (MERGED, 0, 40)),
    Step("clone", (MERGED, 0, 100, "/other", 5)),
    Step("link", (MERGED, "/new")),
    Step("unlink", (MERGED,)),
    Step("rename", (MERGED, "/new", 0)),
    Step("rename", ("/other", MERGED, 0)),
    Step("rename", (MERGED, "/other", 2)),
    Step("attributes", (MERGED, {"mode": 0o600})),
    Step("xattr", (MERGED, b"user.a", b"value")),
    Step("read", (MERGED,)),
]


@pytest.mark.parametrize("step", CAPTURED, ids=lambda step: f"{step.verb} {step.args[0]}")
@pytest.mark.parametrize("given_up", [False, True])
@pytest.mark.parametrize("skip", [0, 1])
def test_no_room_to_capture_what_is_about_to_change(step: Step, skip: int, given_up: bool) -> None:
    """A file's merged bytes have to be logged for a checkpoint before the file changes: there is no room for
    them, or none for the change after them. Were it the other way round, half a change would be made."""
    merged = [Step("append", (MERGED, Data("random", 70, number))) for number in range(5)]
    disk = new_disk()
    made = [Step("create", (MERGED,)), Step("create", ("/other",))]
    life = Life(disk, [*made, *merged, Step("begin"), step]).run_to(-1)
    before = tree(life.fs)
    disk.faults = [Fault(errno.ENOSPC, "append", skip=skip)]
    with suppress(NoSpace) if step.verb != "read" else nullcontext():
        life.step()
    assert disk.faults[0].times == 0, "there was that much to log"
    assert life.fs.failed is None
    check_same(tree(life.fs), before, f"{step} was refused")
    if given_up:
        life.fs.abandon_checkpoint()
    else:
        for ending in ("gather_rest", "commit", "end"):
            getattr(life, f"_{ending}")()
    check_same(shown(disk.kill()), before, f"{step} was refused, then killed")
    check_clean(disk, step)
    check_recovers(life, disk, random.Random(1), f"{step} was refused")


def test_deletes_and_a_checkpoint_give_room_on_a_full_disk() -> None:
    disk = new_disk()
    disk.space_bytes = 4 << 20
    life = Life(disk, [])
    fill(life.fs, random.Random(0), 20_000)
    names = life.fs.listdir()
    assert len(names) > 100
    for name in names[1:]:
        life.fs.remove(b"/" + name)
    life.fs.checkpoint()
    life.fs.sync()
    assert disk.room() > 3 << 20, "the chunks went"
    for number in range(100):
        life.fs.write_bytes(f"/{number}", random.Random(-number).randbytes(20_000))
    last = tree(life.fs)
    life.drop()
    check_clean(disk, "killed")
    check_same(shown(disk), last, "killed")


def test_no_room_for_the_last_checkpoint_loses_nothing() -> None:
    disk = new_disk()
    life = Life(disk, [Step("create", ("/a",)), Step("write", ("/a", 0, Data("random", 9000, 1)))]).run()
    last = tree(life.fs)
    disk.faults = [Fault(errno.ENOSPC, "write", times=1000), Fault(errno.ENOSPC, "append", times=1000)]
    life.fs.close()
    disk.faults = []
    check_same(shown(disk.crash()), last, "closed on a full disk")
    fs = opened(disk)
    assert fs.replayed_records > 0
    fs.close()
    check_clean(disk, "closed with room")
