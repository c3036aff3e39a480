"""Stops and recoveries of a life: what a disk is after a stop, and what the next opening of it must show.

Judges every recovery, and never does a step of its own accord.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import NamedTuple

import apsw

from tests.crash.afterwards import ROOMY_BYTES, check_no_leftovers
from tests.crash.disks import problems
from tests.crash.extent import STYLES
from tests.crash.operations import empty_store, opened
from tests.crash.steps import Step
from tests.crash.trees import Tree as Found
from tests.crash.trees import tree as everything
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Stopped
from tests.simulation.model import pictured
from tests.simulation.oracle import Oracle
from tests.simulation.player import Player
from tests.simulation.surroundings import StepClock
from tests.simulation.verdicts import Failure, Trouble
from vfs.errors import NoSpace, OperationError, SnapshotError, StoreError, VfsError


class Stop(NamedTuple):
    """How the machine is to stop: in a power cut, or only the process is killed.

    `seconds`: power cuts in the middle of the recovery, each after so many calls of it.
    """

    is_power_cut: bool
    way: int
    seconds: tuple[tuple[int, int], ...] = ()


class Counts(NamedTuple):
    """How much a life has tried."""

    steps: int = 0
    cuts: int = 0
    kills: int = 0
    seconds: int = 0
    faults: int = 0
    flips: int = 0
    repairs: int = 0
    refusals: int = 0
    failed: int = 0
    reopenings: int = 0


class Recoveries:
    """The store, its disk and its oracle, from one stop to the next."""

    def __init__(self, clock: StepClock, seed: int, style: int) -> None:
        self.clock = clock
        clock.step = 0
        self.disk = SimulatedStorage(seed)
        empty_store(self.disk)
        self.oracle = Oracle(clock.now_ns())
        self.trouble = Trouble()
        self.counts = Counts()
        self._options = {**STYLES[style], "commit_seconds": 5.0}
        self._stop: Stop | None = None
        self._known_to_fail = False
        self.player = Player(self.disk, self.oracle, **self._options)

    def count(self, what: str) -> None:
        self.counts = self.counts._replace(**{what: getattr(self.counts, what) + 1})

    @property
    def failed(self) -> bool:
        """Whether the store takes no changes any more until it is opened again."""
        return self.player.fs.failed is not None

    def _calm(self) -> None:
        """No call fails any more."""
        self.disk.faults.clear()
        self.trouble.forget()

    # --- stops ----------------------------------------------------------------------------

    def _stopped_in(self, step: Step | None) -> None:
        if step is not None and not self._known_to_fail:
            with suppress(OperationError, SnapshotError):
                self.oracle.unanswered(step, self.clock.now_ns())
        assert self._stop is not None, "somebody armed it"
        self._halt(self._stop)

    def _halt(self, stop: Stop) -> None:
        """The machine or the process stops, and the store is opened again."""
        self.count("cuts" if stop.is_power_cut else "kills")
        self._stop = None
        self.player.drop()
        self.oracle.given_up()
        disk = self.disk.crash(Random(stop.way)) if stop.is_power_cut else self.disk.kill()
        any_prefix = stop.is_power_cut or self._has_lost_pages(self.disk)
        self.disk.close()
        self._calm()
        certain = self._shown(disk) if stop.is_power_cut and stop.seconds else None
        for after, way in stop.seconds:
            disk = self._second(disk, after, Random(way))
            any_prefix = True
        self.disk = disk
        found = self._recovered(any_prefix=any_prefix, where=f"after {stop}")
        if certain is not None and found != certain:
            raise Failure("second cut", f"after {stop} the tree is another one than without it")

    def _second(self, disk: SimulatedStorage, after: int, rng: Random) -> SimulatedStorage:
        """A power cut in the middle of the recovery."""
        self.count("seconds")
        disk.stop_at = disk.calls + after
        try:
            opened(disk, **self._options).store.close()
        except (Stopped, apsw.Error, VfsError):
            if not disk.stopped:
                raise
        cut = disk.crash(rng)
        disk.close()
        return cut

    def _shown(self, disk: SimulatedStorage) -> Found:
        """What an opening would find, tried on a copy."""
        copy = disk.kill()
        fs = opened(copy, **self._options)
        found = pictured(everything(fs))
        fs.store.close()
        return found

    def _reopen(self) -> None:
        """A clean end, if the disk lets it be one, and the next opening."""
        self.count("reopenings")
        fs, ended = self.player.fs, False
        try:
            with suppress(VfsError) if self.trouble else _as_it_is():
                self.player.settle()
            was_failed = fs.failed is not None
            fs.close()
            ended = not was_failed
        except (Stopped, VfsError, apsw.Error):
            if self.disk.stopped:
                self._stopped_in(None)
                return
            if not (self.trouble or self.trouble.struck):
                raise
        if self.disk.stopped:
            self._stopped_in(None)
            return
        if ended:
            self.oracle.durable_since(self.oracle.moment())
        self._recovered(any_prefix=False, where="after a clean end" if ended else "after an end")

    def _recovered(self, *, any_prefix: bool, where: str) -> Found:
        """The next opening finds what it must."""
        try:
            self.player = Player(self.disk, self.oracle, **self._options)
        except (Stopped, apsw.Error, VfsError) as error:
            if self.disk.stopped:
                assert self._stop is not None, "somebody armed it"
                self._halt(self._stop)
                return pictured(everything(self.player.fs))
            if not (isinstance(error, StoreError | NoSpace) and self.trouble.errors):
                raise Failure("refused", f"{where} the store is not opened: {error!r}") from error
            self._calm()
            return self._recovered(any_prefix=any_prefix, where=f"{where}, at the second try")
        any_prefix = any_prefix or self._has_lost_pages(self.disk)
        self.disk.lost_pages.clear()
        with self._quiet():
            found = pictured(everything(self.player.fs))
            tree = self.oracle.matching(found, durable=any_prefix)
            if tree is None:
                lines = self.oracle.explain(found, durable=any_prefix)
                raise Failure("prefix" if any_prefix else "lost", "\n".join([where, *lines]))
            self.oracle.landed(tree)
            self.trouble.opened()
            self.player.highest_ino = self.oracle.highest_ino
            if self.disk.room() > ROOMY_BYTES and not self.trouble:
                check_no_leftovers(self.disk, self.player.fs)
            told = problems(self.disk)
        if told:
            raise Failure("fsck", "\n".join([where, *told[:6]]))
        return found

    def _has_lost_pages(self, disk: SimulatedStorage) -> bool:
        """Whether a sync of the log has failed: then the end of the process can lose what was not synced."""
        return any(name.startswith("log") for name in disk.lost_pages)

    # --- comparing --------------------------------------------------------------------------

    def _compare(self) -> None:
        """Everything that a program could find out is as it was answered."""
        self._check_unchanged("compared")

    def _check_unchanged(self, where: str) -> None:
        with self._quiet():
            found = pictured(everything(self.player.fs))
        tree = self.oracle.matching(found, durable=False)
        if tree is None:
            raise Failure("content", "\n".join([where, *self.oracle.explain(found, durable=False)]))
        self.oracle.shows(tree)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """No fault strikes who only looks, nor does the machine stop: it may undo a commit that failed."""
        faults, self.disk.faults = self.disk.faults, []
        stop_at, calls = self.disk.stop_at, self.disk.calls
        self.disk.stop_at = None
        try:
            yield
        finally:
            self.disk.faults = faults
            self.disk.stop_at = None if stop_at is None else stop_at + self.disk.calls - calls


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
