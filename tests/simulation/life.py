"""A life of a store on a simulated disk: steps of clients, faults, stops and recoveries, one after another.

After each answer, refusal and recovery the store is compared with an oracle that keeps what is durable apart
from what is not. Deterministic: the same header and steps give the same life, call by call.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, NamedTuple

import apsw

from tests.crash.afterwards import ROOMY_BYTES, check_no_leftovers
from tests.crash.disks import problems
from tests.crash.extent import STYLES
from tests.crash.operations import empty_store, opened
from tests.crash.steps import PACKING, Step
from tests.crash.trees import Tree as Found
from tests.crash.trees import tree as everything
from tests.simulated.disk import DEFAULT_SPACE_BYTES, SimulatedStorage
from tests.simulated.faults import Fault, Stopped
from tests.simulation.adopting import adopted
from tests.simulation.damage import Damage
from tests.simulation.model import LONGEST_READ, Tree, pictured
from tests.simulation.oracle import Oracle
from tests.simulation.player import Player
from tests.simulation.surroundings import StepClock
from tests.simulation.verdicts import Failure, Trouble, is_right_refusal
from vfs.errors import NoSpace, OperationError, StoreError, VfsError

MOVING = (*PACKING, "begin", "gather", "gather_rest", "commit", "end", "checkpoint", "compare")
"""Verbs that change nothing that shows."""


OWN = ("fault", "calm", "room", "cut", "kill", "flip", "compare", "reopen")
"""Verbs of the life itself, all others are operations."""

UNEXPECTED = (AssertionError, VfsError, OSError, apsw.Error, LookupError, RuntimeError, TypeError, ValueError)
"""What no step may end with."""


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


class Life:
    """One life. `step` does the next thing; `end` brings it to a good end."""

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

    def step(self, step: Step) -> None:
        """Do it and judge it; raises `Failure` when the store broke a promise."""
        self.clock.step += 1
        self.count("steps")
        try:
            if step.verb in OWN:
                getattr(self, f"_{step.verb}")(*step.args)
            elif self.player.applicable(step):
                self._operate(step)
            if self.failed and not self._known_to_fail and not (self.trouble or self.trouble.struck):
                raise Failure("failed", f"{step} made the store fail: {self.player.fs.failed}")
            self._known_to_fail = self.failed
            with self._quiet():
                self.player.fs.table.check_invariants()
        except UNEXPECTED as error:
            raise Failure(type(error).__name__, str(error)) from error

    def end(self) -> None:
        """All is well in the end, after a kill and after a clean end."""
        try:
            self._last_things()
        except UNEXPECTED as error:
            raise Failure(type(error).__name__, str(error)) from error

    def _last_things(self) -> None:
        self._stop = self.disk.stop_at = None
        self._room(None)
        self._reopen()
        self._compare()
        self._halt(Stop(False, 1))
        self.clock.step += 1
        self._reopen()
        if self.player.fs.replayed_records:
            raise Failure("replay", "a clean end leaves nothing to replay")
        self.player.drop()
        self.disk.close()

    # --- operations -------------------------------------------------------------------------

    def _operate(self, step: Step) -> None:
        try:
            result = self.player.carry_out(step)
        except (Stopped, VfsError, apsw.Error) as error:
            if self.disk.stopped:
                self._stopped_in(step)
            elif isinstance(error, VfsError):
                self._refused(step, error)
            else:
                raise
            return
        if self.disk.stopped:
            self._stopped_in(step)
        else:
            self._answered(step, result)

    def _after(self, step: Step, new_ino: int) -> Tree:
        return self.oracle.now.after(step, self.clock.now_ns(), new_ino, self.oracle.handles)

    def _answered(self, step: Step, result: Any) -> None:
        try:
            tree = self._after(step, self.player.highest_ino)
        except OperationError as error:
            raise Failure(
                "answer", f"{step} was done, and should have been refused with {error!r}"
            ) from error
        if self._known_to_fail and tree is not self.oracle.now:
            raise Failure("answer", f"{step} was done by a store that had failed")
        if result is not None and step.verb in ("read", "begin_read"):
            content = self.oracle.now.node(self.oracle.now.ino(step.args[0])).content or b""
            if result != content[: LONGEST_READ if step.verb == "read" else None]:
                raise Failure("content", f"{step} gave wrong bytes")
        self.oracle.seen(self.player.highest_ino)
        self.oracle.answered(step, tree)
        if self.failed:
            self._check_unchanged(f"after {step}, which made the store fail")
        elif step.verb in MOVING:
            self._check_unchanged(f"after {step}")

    def _refused(self, step: Step, error: VfsError) -> None:
        self.count("refusals")
        expected: Exception | None = None
        try:
            self._after(step, 0)
        except OperationError as refusal:
            expected = refusal
        if not is_right_refusal(step, error, expected, self.trouble, failed=self.failed):
            raise Failure(
                "refusal", f"{step} gave {error!r} instead of {expected!r}, {self.trouble}"
            ) from error
        if self.failed and self.oracle.in_flight is None and expected is None:
            self.count("failed")
            self.oracle.unanswered(step, self.clock.now_ns())
        if expected is None:
            self._check_unchanged(f"{step} was refused with {error!r}")

    # --- faults -----------------------------------------------------------------------------

    def _fault(self, code: int, kind: str | None, area: str, skip: int, times: int, partial: int) -> None:
        """Calls will fail."""
        self.count("faults")
        self.disk.faults.append(Fault(code, kind, area=area, skip=skip, times=times, partial=partial))
        self.trouble.expect(code)

    def _calm(self) -> None:
        """No call fails any more."""
        self.disk.faults.clear()
        self.trouble.forget()

    def _room(self, room_bytes: int | None) -> None:
        """The disk has so much room; None: as much as anybody needs, and no fault."""
        if room_bytes is None:
            self.disk.space_bytes = DEFAULT_SPACE_BYTES
            self._calm()
        else:
            self.count("faults")
            self.disk.space_bytes = self.disk.space_bytes - self.disk.room() + room_bytes
        self.trouble.is_small = room_bytes is not None

    def _flip(self, area: str, where: int, repairs: bool) -> None:
        """A bit is wrong for a while, on a disk that is otherwise well; then it is right again, or the store
        is repaired and the life goes on with what that left."""
        if self.failed or self._stop is not None:
            return
        self.count("flips")
        self._room(None)
        self._operate(Step("sync"))
        before = self.oracle.now
        self._operate(Step("attributes", ("/", {"mtime_ns": self.clock.step})))
        damage = Damage(self.disk, area, where, self.oracle.now, before, self._options)
        damage.check()
        repaired = damage.repaired() if repairs else None
        if repaired is not None:
            self._go_on_with(repaired)

    def _go_on_with(self, repaired: SimulatedStorage) -> None:
        """The repaired store is whole, and from now on it is what the model goes by."""
        self.count("repairs")
        self.player.drop()
        self.disk.close()
        self.disk = repaired
        self.player = Player(self.disk, self.oracle, **self._options)
        tree = adopted(self.player.fs)
        self.player.fs.sync()
        self.oracle.landed(tree)
        self.player.highest_ino = self.oracle.highest_ino
        self._check_unchanged("repaired")
        told = problems(self.disk)
        if told:
            raise Failure("repair", "\n".join(["fsck says", *told[:6]]))

    # --- stops ------------------------------------------------------------------------------

    def _cut(self, after: int | None, way: int, partial: int | None, *seconds: tuple[int, int]) -> None:
        """A power cut in the call after so many; None: now, between two calls."""
        self._arm(Stop(True, way, seconds), after, partial)

    def _kill(self, after: int | None, way: int, partial: int | None, *seconds: tuple[int, int]) -> None:
        """The process is killed then. Second stops, in the recovery, are power cuts."""
        self._arm(Stop(False, way, seconds), after, partial)

    def _arm(self, stop: Stop, after: int | None, partial: int | None) -> None:
        if after is None:
            self._halt(stop)
            return
        self._stop = stop
        self.disk.stop_at = self.disk.calls + after
        self.disk.stop_partial = partial

    def _stopped_in(self, step: Step | None) -> None:
        if step is not None and not self._known_to_fail:
            with suppress(OperationError):
                self.oracle.unanswered(step, self.clock.now_ns())
        assert self._stop is not None, "somebody armed it"
        self._halt(self._stop)

    def _halt(self, stop: Stop) -> None:
        """The machine or the process stops, and the store is opened again."""
        self.count("cuts" if stop.is_power_cut else "kills")
        self._stop = None
        self.player.drop()
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
        """No fault strikes who only looks."""
        faults, self.disk.faults = self.disk.faults, []
        try:
            yield
        finally:
            self.disk.faults = faults


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
