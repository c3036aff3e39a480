"""A life that is watched: what cuts of the power and kills at some of its calls to the disk would leave."""

import copy
import random
from typing import Protocol

from tests.crash.disks import WatchedDisk
from tests.crash.extent import LONG, WAYS
from tests.simulated.disk import SimulatedStorage
from vfs.filesystem import FileSystem

Stop = tuple[str, SimulatedStorage, int, int]
"""Where it was, the disk, and how many of the steps were durable and done by then."""


class Counting(Protocol):
    """A life that says how far it is."""

    fs: FileSystem
    synced: int

    @property
    def done(self) -> int: ...

    def run(self) -> None: ...


def stops(disk: WatchedDisk, life: Counting, rng: random.Random, share: float) -> list[Stop]:
    """Live, and stop at that share of the calls, or at all in a long run; and at the end."""
    found: list[Stop] = []

    def look() -> None:
        if rng.random() < (1.0 if LONG else share):
            where = f"cut at call {disk.calls}"
            found.extend((where, disk.crash(rng), life.synced, life.done) for _ in range(WAYS))
            killed = SimulatedStorage(disk.calls, root=copy.deepcopy(disk.root))
            found.append((f"kill at call {disk.calls}", killed, life.synced, life.done))

    disk.watcher = look
    life.run()
    disk.watcher = None
    found.append(("the end", disk.crash(rng), life.done, life.done))
    life.fs.store.close()
    return found
