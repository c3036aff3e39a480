"""Snapshots are deleted, pruned and collected: a power cut at any call leaves all other trees as they were,
the deleted ones there or not, and a store that ends what was begun.
"""

import copy
import errno
import random
from contextlib import suppress
from typing import Any

import pytest

from tests.crash.disks import WatchedDisk, new_disk
from tests.crash.extent import LIVES, LONG, tell
from tests.crash.operations import opened
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from tests.snapshots.lives import RandomLife, shown
from tests.snapshots.rows import unseen_rows, wrong_counts
from vfs.errors import IndexUnwritten, NoSpace
from vfs.filesystem import FileSystem
from vfs.snapshots.pruning import Prune

SHARE = 1.0 if LONG else 0.08
ROUNDS = 12
CHUNK = 100_000


def lived(disk: WatchedDisk, seed: int) -> FileSystem:
    """A store with a history of snapshots, clones and rollbacks, in which nothing was pruned."""
    fs = opened(disk)
    life = RandomLife(fs, f"pruning {seed}")
    for _ in range(ROUNDS):
        for _ in range(6):
            life.step()
        life.rng.choice((life.snapshot, life.snapshot, life.clone, life.drop, life.rollback, fs.flush))()
    fs.create_snapshot("last")
    return fs


def prune(fs: FileSystem, rows: int) -> None:
    """All of it, in small slices."""
    work = Prune(most_rows=rows, most_seconds=60)
    more = True
    while more:
        fs.begin_slice(work)
        more = fs.run_slice(work)
        fs.end_slice(work)


@pytest.mark.parametrize("seed", LIVES if LONG else LIVES[:5])
def test_a_power_cut_at_any_call_of_deleting_and_pruning(seed: int) -> None:
    rng = random.Random(seed)
    disk = new_disk()
    fs = lived(disk, seed)
    names = [snapshot.name for snapshot in fs.snapshots()]
    gone = rng.sample(names, rng.randint(1, len(names)))
    before = shown(fs)
    after = {path: node for path, node in before.items() if path.partition(":")[0] not in gone}
    found: list[tuple[int, bool, SimulatedStorage]] = []
    deleted = False

    def look() -> None:
        if rng.random() < SHARE:
            found.append((disk.calls, deleted, disk.crash(rng)))

    disk.watcher = look
    fs.delete_snapshots(gone)
    deleted = True
    prune(fs, rng.choice((5, 40)))
    fs.collect()
    disk.watcher = None
    assert shown(fs) == after
    assert unseen_rows(fs.store.index) == []
    fs.store.close()
    for call, was_deleted, cut in found:
        check_cut(cut, [after] if was_deleted else [before, after], f"life {seed}, cut at call {call}")
    tell("deleting and pruning", seed, cuts=len(found))


def check_cut(cut: SimulatedStorage, expected: list[dict[str, Any]], where: str) -> None:
    """The store is one of those, to the end of pruning and collecting and after it."""
    fs = opened(cut)
    now = shown(fs)
    assert now in expected, where
    prune(fs, 30)
    assert unseen_rows(fs.store.index) == [], where
    assert wrong_counts(fs.store.index) == [], where
    fs.collect()
    assert shown(fs) == now, where
    fs.close()
    again = opened(cut)
    assert shown(again) == now, where
    again.store.close()


def test_on_a_full_disk_a_deleted_snapshot_makes_room() -> None:
    disk = new_disk()
    disk.space_bytes = 16 << 20
    fs = opened(disk)
    rng = random.Random(1)
    for number in range(20):
        fs.write_bytes(f"old{number}", rng.randbytes(200_000))
    fs.create_snapshot("old")
    for number in range(20):
        fs.remove(f"old{number}")
    written = fill(fs, rng)
    assert fill(fs, rng) == 0, "it is full"
    fs.delete_snapshots(["old"])
    report = fs.collect()
    assert report.pruned_bytes > 3_900_000
    assert fill(fs, rng) >= 3_000_000
    assert len(fs.listdir()) > written // CHUNK
    assert unseen_rows(fs.store.index) == []
    fs.close()


def fill(fs: FileSystem, rng: random.Random) -> int:
    """Write until there is no room; the bytes that were written."""
    written = 0
    with suppress(NoSpace):
        while True:
            fs.write_bytes(f"new{fs.log.last_lsn}", rng.randbytes(CHUNK))
            written += CHUNK
    return written


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_call_that_fails_only_puts_it_off(code: int) -> None:
    """Whatever SQLite makes of it: what was not committed is done again, and nothing twice."""
    disk = new_disk()
    fs = lived(disk, 3)
    fs.delete_snapshots([snapshot.name for snapshot in fs.snapshots()][:-1])
    expected = shown(fs)
    fs.store.close()
    before = disk.kill().root
    failed = 0
    for number in range(0, 60, 1 if LONG else 7):
        tried = SimulatedStorage(root=copy.deepcopy(before))
        again = opened(tried)
        tried.faults = [Fault(code, skip=number)]
        try:
            prune(again, 5)
        except (IndexUnwritten, NoSpace):
            failed += 1
        tried.faults = []
        assert wrong_counts(again.store.index) == [], number
        assert shown(again) == expected, number
        prune(again, 5)
        assert unseen_rows(again.store.index) == [], number
        assert wrong_counts(again.store.index) == [], number
        assert shown(again) == expected, number
        again.close()
    assert failed
