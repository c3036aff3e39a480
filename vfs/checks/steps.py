"""The steps of a check, told as they come. Never knows what they do."""

from collections.abc import Callable, Iterable

from vfs.checks.report import ProgressCall

Step = tuple[str, Callable[[], None]]
"""What it is called, and how it is done."""


class Steps:
    """How far a check is."""

    def __init__(self, progress: ProgressCall | None) -> None:
        self._progress = progress
        self._done = 0
        self._total = 0

    def expect(self, more: int) -> None:
        """So many more will come."""
        self._total += more

    def begin(self, what: str) -> None:
        """One begins; the one before it is done."""
        if self._progress is not None:
            self._progress(self._done, self._total, what)
        self._done += 1

    def run(self, steps: Iterable[Step]) -> None:
        """Do them all."""
        for what, step in steps:
            self.begin(what)
            step()

    def end(self) -> None:
        """All is done."""
        if self._progress is not None:
            self._progress(self._total, self._total, "done")
