"""Steps in the life of a mount: sync, checkpoints whole and in slices, leaving in order and by force."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.machine_base import MachineBase


class LifeRules(MachineBase):
    """Everything here changes nothing that a program can see."""

    _stage = "idle"
    """Of a checkpoint in slices: idle, gathering, gathered, synced, committed."""

    def _in_flight(self) -> bool:
        return self.fs.table.tracker.capture is not None

    @rule()
    def sync(self) -> None:
        self.fs.sync()
        assert self.fs.log.synced_lsn == self.fs.log.last_lsn

    @rule()
    def checkpoint(self) -> None:
        if not self._in_flight():
            self.fs.checkpoint()
            assert not len(self.fs.table.tracker)
            self.world.check_index()

    @rule()
    def begin_checkpoint(self) -> None:
        if not self._in_flight():
            self.fs.begin_checkpoint()
            self._stage = "gathering"

    @rule()
    def go_on_with_checkpoint(self) -> None:
        """The next step of it; any operation may come before and after."""
        if not self._in_flight():
            return
        if self._stage == "gathering":
            if self.fs.gather_checkpoint():
                self._stage = "gathered"
        elif self._stage == "gathered":
            self.fs.log.sync()
            self._stage = "synced"
        elif self._stage == "synced":
            self.fs.commit_checkpoint()
            self.world.check_index()
            self._stage = "committed"
        else:
            self.fs.end_checkpoint()
            self._stage = "idle"

    @rule(end=st.booleans())
    def finish_checkpoint(self, end: bool) -> None:
        if self._in_flight() and self._stage != "idle":
            last = "idle" if end else "committed"
            while self._stage != last and self._in_flight():
                self.go_on_with_checkpoint()

    @rule()
    def abandon_checkpoint(self) -> None:
        """As after a commit that failed."""
        if self._in_flight() and self._stage != "committed":
            self.fs.abandon_checkpoint()
            self._stage = "idle"

    @rule()
    def reopen(self) -> None:
        self.world.restart(clean=True)

    @rule()
    def kill(self) -> None:
        self.world.restart(clean=False)

    @rule()
    def compare(self) -> None:
        self.world.compare()
