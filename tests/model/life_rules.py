"""Steps in the life of a mount: sync, checkpoints whole and in slices, leaving in order and by force."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.machine_base import MachineBase


class LifeRules(MachineBase):
    """Everything here changes nothing that a program can see."""

    _stage = "gathering"
    """Of the checkpoint in flight: gathering, gathered, synced, committed."""

    def _in_flight(self) -> bool:
        return self.fs.table.tracker.capture is not None

    @rule()
    def sync(self) -> None:
        self.fs.sync()
        assert self.fs.log.synced_lsn == self.fs.log.last_lsn

    @rule()
    def checkpoint(self) -> None:
        if not self._in_flight():
            self.before_checkpoint()
            self.fs.checkpoint()
            assert not len(self.fs.table.tracker)
            self.world.check_index()
            self.world.check_chunks()

    @rule(steps=st.integers(0, 3))
    def begin_checkpoint(self, steps: int) -> None:
        if not self._in_flight():
            self.before_checkpoint()
            self.fs.begin_checkpoint()
            self._stage = "gathering"
        self._advance(steps)

    @rule(steps=st.integers(1, 6))
    def go_on_with_checkpoint(self, steps: int) -> None:
        """The next steps of it; any operation may come before and after."""
        self._advance(steps)

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            if self._in_flight():
                self._next_step()

    def _next_step(self) -> None:
        if self._stage == "gathering":
            if self.fs.gather_checkpoint():
                self._stage = "gathered"
        elif self._stage == "gathered":
            self.fs.log.sync()
            self._stage = "synced"
        elif self._stage == "synced":
            with ThreadPoolExecutor(1) as worker:  # as in a daemon: clients go on meanwhile
                commit = worker.submit(self.fs.commit_checkpoint)
                self.world.compare()
                commit.result()
            self.world.check_index()
            self._stage = "committed"
            self.world.snapshots.action_committed()
        else:
            self.fs.autopilot = False  # as in a daemon: memory follows in slices, with operations in between
            self.fs.end_checkpoint()
            self.fs.autopilot = True
            self.world.snapshots.action_over(happened=True)
            self.world.check_chunks()

    @rule(steps=st.integers(1, 20))
    def let_go_of_memory(self, steps: int) -> None:
        """Some of what the last checkpoint that was taken in stages has left to be let go of."""
        for _ in range(steps):
            self.fs.tidy()

    @rule(stage=st.sampled_from(["gathered", "synced", "committed", "ended"]))
    def finish_checkpoint(self, stage: str) -> None:
        while self._in_flight() and self._stage != stage:
            self._next_step()

    @rule()
    def abandon_checkpoint(self) -> None:
        """As after a commit that failed."""
        if self._in_flight() and self._stage != "committed":
            self.fs.abandon_checkpoint()
            self.world.snapshots.action_over(happened=False)

    @rule(clean=st.booleans(), begin=st.booleans())
    def come_back(self, clean: bool, begin: bool) -> None:
        """Close in order, or be killed; then the store is opened again."""
        self.world.restart(clean=clean)
        if begin:
            self.fs.begin_checkpoint()
            self._stage = "gathering"

    @rule()
    def compare(self) -> None:
        self.world.compare()
