"""Steps of the packer: whole passes, and each step of one with any operation before and after it."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.life_rules import LifeRules
from vfs.pack_pass import PackPass


class PackRules(LifeRules):
    """Everything here changes nothing that a program can see."""

    _work: PackPass | None = None
    """The pass in flight, unless the store was closed or killed meanwhile."""
    _written = False
    """Whether its pack is in its place."""

    def _passing(self) -> PackPass | None:
        """The pass in flight, if it is one of the store as it is open now."""
        work = self._work
        if work is None or work.ended or self.fs._pass is not work:
            self._work = None
        return self._work

    def before_checkpoint(self) -> None:
        """No capture begins before memory has followed a swap."""
        work = self._passing()
        if work is not None and work.committed:
            self.fs.end_pack(work)

    @rule(everything=st.booleans())
    def pack(self, everything: bool) -> None:
        if self._passing() is None and not self._in_flight():
            self.fs.pack(everything=everything)

    @rule()
    def flush(self) -> None:
        if self._passing() is None and not self._in_flight():
            self.fs.flush()
            self.world.check_index()
            self.world.check_chunks()
            assert not self.fs.store.index.referenced_chunks(), "all is packed"
            assert len(self.fs.log.chunk_numbers()) == 1 or self.world.reads

    @rule(everything=st.booleans(), steps=st.integers(0, 4))
    def begin_pack(self, everything: bool, steps: int) -> None:
        if self._passing() is None:
            self._work = self.fs.begin_pack(everything=everything)
            self._written = False
        self.go_on_with_pack(steps)

    @rule(steps=st.integers(1, 5))
    def go_on_with_pack(self, steps: int) -> None:
        """The next steps of it; any operation, and any step of a checkpoint, may come before and after."""
        for _ in range(steps):
            work = self._passing()
            if work is not None:
                self._next_step_of(work)

    def _next_step_of(self, work: PackPass) -> None:
        if not self._written:
            with ThreadPoolExecutor(1) as worker:  # as in a daemon: clients go on meanwhile
                run = worker.submit(self.fs.run_pack, work)
                self.world.compare()
                self._written = run.result()
            if not self._written:
                self.fs.abandon_pack(work)
        elif not work.committed:
            if not self._in_flight():
                self.fs.commit_pack(work)
                self.world.check_index()
        elif self.fs.follow_pack(work):
            self.fs.end_pack(work)

    @rule()
    def abandon_pack(self) -> None:
        """As after a full disk."""
        work = self._passing()
        if work is not None and not work.committed:
            self.fs.abandon_pack(work)
            assert not self.fs.store.rows.unsettled_packs()
