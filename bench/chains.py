"""What a chain of programs is: the words in which the other files describe what real people do.

Promises only shapes; it never runs or measures anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.sizes import MIB
from bench.supplies import Supplies
from bench.workload import Row, Workload

PEERS = ("floor", "host", "btrfs")
"""What vfs is held against."""


@dataclass(frozen=True)
class Amounts:
    """How much the chains do."""

    rounds: int
    repeats: int
    """Of steps that are over in a moment: their median counts."""
    inserts: int
    """In one transaction."""
    lone_inserts: int
    """Each in a transaction of its own."""
    appends: int
    file_bytes: int
    """Of each file that fio writes."""
    fio_seconds: float
    at_rest: bool = True
    """Before a step begins the disk has written what others left, and the daemon does nothing."""


AMOUNTS = {
    "long": Amounts(5, 5, 10_000, 10_000, 100_000, 1024 * MIB, 5.0),
    "full": Amounts(2, 3, 10_000, 2_000, 20_000, 256 * MIB, 1.5),
    "tiny": Amounts(1, 1, 50, 5, 50, MIB, 0.1, at_rest=False),
}


@dataclass(frozen=True)
class Scene:
    """Where and with what a step works."""

    folder: Path
    """On the ground, of this chain alone."""
    supplies: Supplies
    amounts: Amounts

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True)
class Step:
    """One thing that is done and timed, once the ground is at rest."""

    name: str
    work: Callable[[Scene], float | None]
    """Its figure; None: the seconds that it took."""
    goals: Mapping[str, float] = field(default_factory=dict)
    """Peer -> what the speed of vfs over that of the peer has to reach."""
    unit: str = "s"
    cold: bool = False
    """Nothing is in the kernel's caches, and vfs has just been mounted."""
    repeated: bool = False
    """It changes nothing and is short: done several times, once beforehand unless it is cold."""

    def workload(self) -> Workload:
        """The rows of the report: against each peer."""
        seconds = self.unit == "s"
        rows = (
            Row(self.name, self.unit, peer, self.goals.get(peer), lower_is_better=seconds) for peer in PEERS
        )
        return Workload(self.name, tuple(rows), measure=None, targets=(*PEERS, "vfs"))


@dataclass(frozen=True)
class Chain:
    """Steps that follow on each other in one folder of a ground that was empty."""

    name: str
    steps: tuple[Step, ...]
    programs: tuple[str, ...] = ()
    supplies: tuple[str, ...] = ()
    """Made or fetched beforehand."""


def at_most(times: float) -> float:
    """The ratio of speeds of what may take so many times as long."""
    return 1 / times
