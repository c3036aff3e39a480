"""How far an import or export has come, and what came of it.

Promises bounded memory: of problems the first few are kept, the others counted. Written by the worker, read
by anyone: figures only grow.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from vfs.limits import MIB
from vfs.trees.items import Item, Problem, Skipped

OnProgress = Callable[[int, int, str], None]

PROBLEMS_KEPT = 20


class Source(Protocol):
    """Where a tree comes from. `in_order`: what is in a folder stands right behind it."""

    @property
    def in_order(self) -> bool:
        """True when a folder is over as soon as something beside it comes."""

    @property
    def done_bytes(self) -> int:
        """How far it was read."""

    @property
    def total_bytes(self) -> int:
        """What `done_bytes` will come to, 0 when nobody knows."""

    def __iter__(self) -> Iterator[Item]:
        """The items, once."""


class Measured(Protocol):
    """What knows how far it has come."""

    @property
    def done_bytes(self) -> int:
        """How far."""

    @property
    def total_bytes(self) -> int:
        """What that will come to, 0 when nobody knows."""


@dataclass
class Counts:
    """Entries by their kind. `bytes` is data without holes."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    links: int = 0
    specials: int = 0
    bytes: int = 0


@dataclass
class Figures(Counts):
    """What was moved. `new_bytes` is what of the data no pack had yet."""

    new_bytes: int = 0
    packed_bytes: int = 0


class Report:
    """The figures of one import or export, and what went wrong with single entries."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._since = time.monotonic()
        self.figures = Figures()
        self.problems: list[str] = []
        self.problem_count = 0
        self.skipped: dict[str, int] = {}

    def problem(self, problem: Problem) -> None:
        """One entry did not get through."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(str(problem))

    def skip(self, skipped: Skipped, count: int = 1) -> None:
        """Something was left out on purpose."""
        self.skipped[skipped.what] = self.skipped.get(skipped.what, 0) + count

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._since

    def text(self) -> str:
        """The figures in a few words."""
        figures = self.figures
        rate = figures.bytes / max(self.seconds, 0.001) / 1e6
        return f"{figures.files:,} files, {figures.bytes / MIB:,.1f} MiB, {rate:,.0f} MB/s"

    def tell(self, on_progress: OnProgress | None) -> None:
        """Say how far it is."""
        if on_progress is not None:
            on_progress(self._measured.done_bytes, self._measured.total_bytes, self.text())

    def fields(self) -> dict[str, Any]:
        """What --json shows."""
        return {
            **asdict(self.figures),
            "seconds": round(self.seconds, 3),
            "skipped": dict(self.skipped),
            "problem_count": self.problem_count,
            "problems": list(self.problems),
        }
