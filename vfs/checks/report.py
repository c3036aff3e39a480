"""What a check has found. Holds it; finds nothing by itself."""

from collections.abc import Callable
from typing import Any

import msgspec

MOST_PROBLEMS = 1000
"""Problems told one by one; more are only counted."""

MOST_FILES = 1000
"""Damaged files that are named, and lost ranges; more are only counted."""

ProgressCall = Callable[[int, int, str], None]
"""Told (done, total, what) now and then, by the thread that checks."""


class Problem(msgspec.Struct, frozen=True):
    """One broken invariant: a short kind, and a line that names the place."""

    kind: str
    message: str


class LostRange(msgspec.Struct, frozen=True):
    """Bytes of a file that an earlier repair has noted as lost."""

    path: str
    """Or `inode N` where there is none."""
    offset: int
    length: int


class Report(msgspec.Struct):
    """What a check found."""

    problems: list[Problem] = msgspec.field(default_factory=list)
    problem_count: int = 0
    notes: list[str] = msgspec.field(default_factory=list)
    """What is worth telling and breaks no invariant."""
    files_damaged: list[str] = msgspec.field(default_factory=list)
    """Paths, or `inode N` where there is none, of files that cannot be read wholly."""
    files_damaged_count: int = 0
    lost: list[LostRange] = msgspec.field(default_factory=list)
    """The files are damaged for who reads them; the store is not, it knows."""
    lost_count: int = 0
    lost_bytes: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    data_bytes: int = 0
    """Bytes of packs and of the log that were read and verified."""
    data_seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """True when every invariant holds."""
        return not self.problem_count

    def add(self, kind: str, message: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(kind, message))

    def note(self, message: str) -> None:
        """Note what is no problem."""
        if len(self.notes) < MOST_PROBLEMS:
            self.notes.append(message)


def report_fields(report: Report) -> dict[str, Any]:
    """What `vfs fsck --json` shows of a report, mounted or not."""
    return {"clean": report.clean, **msgspec.to_builtins(report)}
