"""G5, a sync that fails: it is never retried and never forgotten. The mount turns read-only, reads work, and
after a remount the synced prefix is there.
"""

import errno
import random
from contextlib import suppress

import pytest

from tests.crash.afterwards import check_clean, check_life_goes_on, check_prefix, check_same, shown
from tests.crash.disks import Cut, new_disk, prefixes
from tests.crash.extent import LIVES, LONG, STEPS, tell
from tests.crash.lives import Life
from tests.crash.steps import script, without
from tests.crash.trees import tree
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.errors import RangeLost, ReadOnly, StoreFailed


def log_syncs(disk: SimulatedStorage, first: int = 0) -> list[tuple[str, str]]:
    """The syncs of the log, of its chunks and of its folder."""
    return [call for call in disk.history[first:] if call[0].startswith("sync") and call[1].startswith("log")]


def live_until_failed(life: Life) -> None:
    """All steps until the store has failed."""
    while life.fs.failed is None:
        try:
            life.step()
        except StoreFailed:
            assert life.fs.failed is not None


def check_poisoned(life: Life, disk: SimulatedStorage) -> None:
    """Whatever follows: no change is taken, reads work, syncs fail and none reaches the disk."""
    before, calls = tree(life.fs), len(disk.history)
    for _ in range(3):
        with pytest.raises(StoreFailed):
            life.fs.sync()
        with pytest.raises(StoreFailed):
            life.fs.begin_sync()
    with pytest.raises(ReadOnly):
        life.fs.write_bytes("/never", b"never")
    files = [path for path, node in before.items() if path.startswith("/") and node[2] is not None]
    for path in files:
        with suppress(RangeLost):
            assert len(life.fs.read_bytes(path)) == before[path][0][5]
        with pytest.raises(ReadOnly):
            life.fs.remove(path)
        with pytest.raises(ReadOnly):
            life.fs.truncate(life.fs.resolve(path).ino, 0)
        with pytest.raises(ReadOnly):
            life.fs.set_xattr(life.fs.resolve(path).ino, b"user.never", b"never")
    check_same(tree(life.fs), before, "a store that has failed")
    assert life.fs.info()["failed"]
    life.fs.close()
    assert log_syncs(disk, calls) == [], "a failed sync was tried again"
    assert not any(kind == "append" for kind, _ in disk.history[calls:])


@pytest.mark.parametrize("seed", LIVES)
def test_after_a_sync_that_failed_nothing_changes_and_the_synced_prefix_stays(seed: int) -> None:
    steps = without(script(seed, STEPS), "reopen")
    trees = prefixes(steps)
    disk = new_disk()
    life = Life(disk, steps)
    first = len(disk.history)
    life.run().drop()
    syncs = log_syncs(disk, first)
    rng = random.Random(seed)
    numbers = range(len(syncs)) if LONG else sorted(rng.sample(range(len(syncs)), min(len(syncs), 4)))
    for number in numbers:
        disk = new_disk()
        life = Life(disk, steps)
        kind, name = syncs[number]
        disk.faults = [Fault(errno.EIO, kind, name, skip=syncs[:number].count((kind, name)))]
        live_until_failed(life)
        cut = Cut(life, disk)
        powerless, killed = disk.crash(rng), disk.kill()
        check_poisoned(life, disk)
        for after in (powerless, killed):
            found = shown(after)
            check_prefix(found, trees, cut.synced, cut.answered + 1, cut)
            check_same(shown(after.crash(rng)), found, f"{cut}, opened, then a power cut")
            check_life_goes_on(after, cut.highest_ino, f"{seed} {number}")
            check_clean(after, cut)
    tell("failed sync", seed, lives=len(numbers))
