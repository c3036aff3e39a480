"""Lives: scripts carried out on a file system on a simulated disk, with a record of what was answered.

A life knows how many steps were answered and which of them are known to be durable; the disk may stop it
anywhere. Never judges what comes after: the tests do.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from tests.crash.steps import Step
from tests.crash.tree_operations import TreeOperations
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Stopped
from vfs.errors import VfsError


class Life(TreeOperations):
    """One run of a script. `answered` steps are done; those before `synced` survive a power cut."""

    def __init__(self, storage: SimulatedStorage, steps: Sequence[Step], **options: Any) -> None:
        super().__init__(storage, **options)
        self.steps = steps
        self.answered = 0
        self._lsns = [self.fs.log.last_lsn]
        self._synced = 0

    def moment(self) -> int:
        return self.answered

    def durable_since(self, moment: int) -> None:
        self._synced = max(self._synced, moment)

    @property
    def synced(self) -> int:
        """How many answered steps are durable, as far as anybody was told."""
        while self._synced < self.answered and self._lsns[self._synced + 1] <= self.fs.log.synced_lsn:
            self._synced += 1
        return self._synced

    def run(self) -> "Life":
        """All steps."""
        while self.answered < len(self.steps):
            self.step()
        return self

    def run_to(self, number: int) -> "Life":
        """Steps until so many are answered, or until so many are left where it is negative."""
        last = number if number >= 0 else len(self.steps) + number
        while self.answered < last:
            self.step()
        return self

    def step(self) -> None:
        """The next step; whatever it raises, it counts as answered only when it returns."""
        verb, args = self.steps[self.answered]
        getattr(self, f"_{verb}")(*args)
        self.count()

    def count(self) -> None:
        """The step has been answered, maybe with an error."""
        self.answered += 1
        self._lsns.append(self.fs.log.last_lsn)

    def run_until_stopped(self) -> None:
        """All steps that the machine lets happen."""
        try:
            self.run()
        except (Stopped, VfsError, apsw.Error):
            assert self.storage.stopped
