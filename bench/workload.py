"""What a workload is: the words in which the other files of the bench describe their measurements.

Promises only shapes; it never runs or measures anything.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.sizes import Sizes

Mode = Literal["pinned", "free"]
"""pinned: client and daemon share one CPU, so that time is cost; free: the scheduler decides."""

BOTH: tuple[Mode, ...] = ("pinned", "free")
FREE: tuple[Mode, ...] = ("free",)
PINNED: tuple[Mode, ...] = ("pinned",)


class Cold(enum.Enum):
    """What must not be cached when the measurement begins."""

    NOTHING = "nothing"
    NAMES = "names: the kernel's dentries and inodes are dropped, the daemon stays"
    MOUNT = "mount: also the daemon is a new one on the same store"
    STORE = "store: also the page cache is dropped, so data comes from the disk"


@dataclass(frozen=True)
class Row:
    """One line of the report: a figure, what it is divided by, and what the ratio should reach."""

    figure: str
    unit: str
    against: str = "floor"
    at_least: float | None = None
    budget_modes: tuple[Mode, ...] = FREE
    lower_is_better: bool = False
    subject: str = "vfs"
    """The target whose figure is divided."""


@dataclass(frozen=True)
class Place:
    """Where and with what a client works."""

    folder: str
    """A fresh folder of this run alone."""
    shared: str
    """A folder that lasts as long as the mount, for trees and files that several workloads read."""
    sizes: Sizes
    payloads: Mapping[str, int]
    """Kind of data to the file descriptor of a memory file that holds sizes.sequential_bytes of it."""
    upkeep: Mapping[str, Sequence[str]]
    """Verb ("flush": pack everything now; "gc": give dead space back) to its command, where there is one."""


@dataclass(frozen=True)
class Measured:
    operations: int
    """What the daemon's CPU is divided by; 0 where it also did other work."""
    figures: dict[str, float]


def prepare_nothing(place: Place) -> None:
    """For workloads that need no tree."""


@dataclass(frozen=True)
class Workload:
    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Place], Measured] | None
    """None: the mounting itself is measured, by the runner."""
    prepare: Callable[[Place], None] = prepare_nothing
    cleanup: Callable[[Place], None] = prepare_nothing
    reference: Callable[[Place], Measured] | None = None
    """Measured on the target "zstd" in place of a file system."""
    cold: Cold = Cold.NOTHING
    modes: tuple[Mode, ...] = FREE
    targets: tuple[str, ...] = ("floor", "host", "vfs")
    options: frozenset[str] = frozenset()
    """Mount options for the floor and for vfs."""
    floor_options: frozenset[str] = frozenset()
    """Options that only the floor has."""
    vfs_options: frozenset[str] = frozenset()
    """Options that only vfs has."""
