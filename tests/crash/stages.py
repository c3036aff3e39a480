"""Packing and collecting as a daemon takes them, step by step, with operations and checkpoints in between.

What is under way is given up when a step of it fails, as the daemon does. Never judges; every step may be
asked for at any time and does nothing where it makes no sense.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from vfs.collecting import Collect
from vfs.contents import ReadPlan
from vfs.errors import VfsError
from vfs.filesystem import FileSystem
from vfs.pack_pass import PackPass

R = TypeVar("R")


class Stages:
    """The part of a life that moves data and changes nothing that shows, and reads that take their time."""

    fs: FileSystem

    def __init__(self) -> None:
        self._pass: PackPass | None = None
        self._passed = False  # the pass has something to commit
        self._collect: Collect | None = None
        self._found = False  # the collection has something to commit
        self._collected = False  # and has committed it
        self._autopilot = False
        self._plans: dict[int, tuple[ReadPlan, bytes]] = {}  # of clients whose read is under way

    def synced_now(self) -> None:
        """All that was answered is durable."""
        raise NotImplementedError

    # --- whole --------------------------------------------------------------------------------

    def _pack(self, everything: bool) -> None:
        self.fs.pack(everything=everything)

    def _flush(self) -> None:
        self.fs.flush()
        self.synced_now()

    def _collect_all(self) -> None:
        self.fs.collect()
        self.synced_now()

    # --- a pass -------------------------------------------------------------------------------

    def _pack_begin(self, everything: bool, most_bytes: int) -> None:
        self._pass = self.fs.begin_pack(everything=everything, most_bytes=most_bytes)
        self._passed = False

    def _pack_run(self) -> None:
        if self._pass is None:
            return
        self._passed = self._of_pass(self.fs.run_pack)
        if not self._passed:
            self._pack_abandon()

    def _pack_commit(self) -> None:
        if self._pass is not None and self._passed:
            self._of_pass(self.fs.commit_pack)

    def _pack_end(self) -> None:
        if self._pass is not None and self._pass.committed:
            self.fs.end_pack(self._pass)
            self._pass = None
        self._pack_abandon()

    def _pack_abandon(self) -> None:
        work, self._pass = self._pass, None
        if work is not None:
            self.fs.abandon_pack(work)

    def _of_pass(self, step: Callable[[PackPass], R]) -> R:
        assert self._pass is not None, "the caller looked"
        try:
            return step(self._pass)
        except VfsError:
            self._pack_abandon()
            raise

    # --- a collection -------------------------------------------------------------------------

    def _gc_begin(self) -> None:
        # Without a daemon everything happens in one call; here nobody else may pack meanwhile.
        self._autopilot, self.fs.autopilot = self.fs.autopilot, False
        try:
            self.fs.checkpoint()
            self._collect = self.fs.begin_collect(eager=True)
        except VfsError:
            self.fs.autopilot = self._autopilot
            raise
        self._found = self._collected = False
        self.synced_now()

    def _gc_run(self) -> None:
        if self._collect is not None:
            self._found = self._of_collect(self.fs.run_collect)

    def _gc_commit(self) -> None:
        if self._collect is not None and self._found:
            self._of_collect(self.fs.commit_collect)
            self._collected = True

    def _gc_end(self) -> None:
        if self._collect is not None and self._collected:
            self._found = self._collected = False
            self.fs.end_collect(self._collect)

    def _gc_finish(self) -> None:
        if self._collect is not None:
            self._of_collect(self._finish_collect)
            self._collect = None
            self.fs.autopilot = self._autopilot
            self.synced_now()

    def _finish_collect(self, work: Collect) -> None:
        fs = self.fs
        if fs.roll_log():
            fs.sync()
        fs.checkpoint()
        fs.remove_dead_log()
        fs.shrink_index(work)
        fs.finish_collect(work)

    def _gc_abandon(self) -> None:
        work, self._collect = self._collect, None
        if work is not None:
            self.fs.abandon_collect(work)
            self.fs.autopilot = self._autopilot

    def _of_collect(self, step: Callable[[Collect], Any]) -> Any:
        assert self._collect is not None, "the caller looked"
        try:
            return step(self._collect)
        except VfsError:
            self._gc_abandon()
            raise

    # --- reads ----------------------------------------------------------------------------------

    def begin_slow_read(self, ino: int, client: int) -> bytes:
        """A read of a whole file begins; returns what it must give until it ends."""
        self._end_read(client)
        plan = self.fs.begin_read(ino, 0, 1 << 20)
        try:
            expected = bytes(self.fs.run_read(plan))
        except VfsError:
            self.fs.end_read(plan)
            raise
        self._plans[client] = plan, expected
        return expected

    def _end_read(self, client: int = 0) -> None:
        if client in self._plans:
            plan, expected = self._plans.pop(client)
            try:
                assert bytes(self.fs.run_read(plan)) == expected, (
                    "what a reader had begun to read has changed"
                )
            finally:
                self.fs.end_read(plan)

    # --- endings --------------------------------------------------------------------------------

    def end_stages(self) -> None:
        """Bring what is under way to an end, as far as it can be."""
        for client in list(self._plans):
            self._end_read(client)
        if self._pass is not None and self._pass.committed:
            self._pack_end()
        self._pack_abandon()
        self._gc_end()
        self._gc_abandon()
