"""Disks of crash tests: one that is looked at before each of its calls, and one for fsck to try things on.

A stop in the middle of a call leaves what the disk shows before that call or before the next one, so looking
before every call sees every moment at which a machine can stop.
"""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from tests.crash.lives import Life
from tests.crash.operations import empty_store
from tests.crash.steps import Step
from tests.crash.surroundings import CLOCK
from tests.crash.trees import Tree, tree
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from tests.simulated.medium import FolderNode
from vfs.checker import check_storage


class WatchedDisk(SimulatedStorage):
    """Calls `watcher` before every call that changes the disk."""

    watcher: Callable[[], None] | None = None

    def call(self, kind: str, name: str) -> tuple[Fault | None, bool]:
        if self.watcher is not None:
            self.watcher()
        return super().call(kind, name)


class ScratchDisk(SimulatedStorage):
    """fsck replays into a transaction that it rolls back. Only one connection exists here, the one that
    was opened for reading, so that one may write too."""

    def index_connection(self, name: str, *, read_only: bool) -> apsw.Connection:
        return super().index_connection(name, read_only=False)


def new_disk(seed: int = 0) -> WatchedDisk:
    """An empty store on a new disk, at the beginning of time."""
    CLOCK.reset()
    disk = WatchedDisk(seed)
    empty_store(disk)
    return disk


def problems(disk: SimulatedStorage) -> list[str]:
    """What fsck finds on the disk as it shows now; nothing on it changes."""
    scratch = ScratchDisk(root=copy.deepcopy(disk.root))
    report = check_storage(scratch, data=True)
    scratch.close()
    return [f"{problem.kind}: {problem.message}" for problem in report.problems]


def prefixes(steps: Sequence[Step]) -> list[Tree]:
    """What the tree is after each number of answered steps, from a life in which nothing went wrong."""
    life = Life(new_disk(), steps)
    found = [tree(life.fs)]
    while life.answered < len(steps):
        life.step()
        life.fs.table.check_invariants()
        found.append(tree(life.fs))
    life.drop()
    return found


class Cut:
    """A moment at which the machine stopped: the disk that the next life finds, and what it must show."""

    def __init__(self, life: Life, disk: SimulatedStorage) -> None:
        self.call = life.storage.calls
        self.disk = disk
        self.answered = life.answered
        self.synced = life.synced
        self.highest_ino = life.highest_ino

    def __repr__(self) -> str:
        return f"<cut at call {self.call}: {self.synced} steps synced, {self.answered} answered>"


def cuts(
    steps: list[Step], rng: random.Random, share: float, ways: int, *, after: int = 0, **options: Any
) -> list[Cut]:
    """Power cuts at a share of all calls of a life `after` so many steps, each of them in so many ways."""
    found: list[Cut] = []
    disk = new_disk()
    life = Life(disk, steps, **options)

    def look() -> None:
        if life.answered >= after and rng.random() < share:
            found.extend(Cut(life, disk.crash(rng)) for _ in range(ways))

    disk.watcher = look
    life.run()
    look()
    disk.watcher = None
    life.drop()
    return found


def kills(steps: list[Step], rng: random.Random, share: float, **options: Any) -> list[Cut]:
    """The process is killed at a share of all calls of a life: all that was written still shows."""
    found: list[Cut] = []
    disk = new_disk()
    life = Life(disk, steps, **options)

    def look() -> None:
        if rng.random() < share:
            found.append(Cut(life, SimulatedStorage(disk.calls, root=copy.deepcopy(disk.root))))

    disk.watcher = look
    life.run()
    look()
    disk.watcher = None
    life.drop()
    return found


def sync_all(folder: FolderNode) -> None:
    """Everything that shows is durable."""
    folder.durable, folder.pending = dict(folder.names), []
    for node in folder.names.values():
        if isinstance(node, FolderNode):
            sync_all(node)
        else:
            node.durable, node.pending = bytearray(node.content), []
