"""A life of a store on a simulated disk: steps of clients, faults, stops and recoveries, one after another.

After each answer, refusal and recovery the store is compared with an oracle that keeps what is durable apart
from what is not. Deterministic: the same header and steps give the same life, call by call.
"""

from typing import Any

import apsw

from tests.crash.disks import problems
from tests.crash.steps import PACKING, Step
from tests.simulated.disk import DEFAULT_SPACE_BYTES, SimulatedStorage
from tests.simulated.faults import Fault, Stopped
from tests.simulation.adopting import adopted
from tests.simulation.damage import Damage
from tests.simulation.model import LONGEST_READ
from tests.simulation.player import Player
from tests.simulation.recoveries import Counts, Recoveries, Stop
from tests.simulation.verdicts import Failure, is_right_refusal
from tests.simulation.worlds import World
from vfs.errors import OperationError, SnapshotError, VfsError

__all__ = ["Counts", "Life"]

MOVING = (*PACKING, "prune", "begin", "gather", "gather_rest", "commit", "end", "checkpoint", "compare")
"""Verbs that change nothing that shows."""


DURABLE = ("snapshot", "delete_snapshot", "rename_snapshot", "rollback")
"""Verbs of which an answer says that a power cut undoes nothing of it."""

OWN = ("fault", "calm", "room", "cut", "kill", "flip", "compare", "reopen")
"""Verbs of the life itself, all others are operations."""

UNEXPECTED = (AssertionError, VfsError, OSError, apsw.Error, LookupError, RuntimeError, TypeError, ValueError)
"""What no step may end with."""


class Life(Recoveries):
    """One life. `step` does the next thing; `end` brings it to a good end."""

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

    def _after(self, step: Step, new_ino: int) -> World:
        return self.oracle.now.after(step, self.clock.now_ns(), new_ino, self.oracle.handles)

    def _answered(self, step: Step, result: Any) -> None:
        try:
            tree = self._after(step, self.player.highest_ino)
        except (OperationError, SnapshotError) as error:
            raise Failure(
                "answer", f"{step} was done, and should have been refused with {error!r}"
            ) from error
        if self._known_to_fail and tree is not self.oracle.now and step.verb != "commit":
            raise Failure("answer", f"{step} was done by a store that had failed")
        if result is not None and result != self._expected(step):
            raise Failure("content", f"{step} gave wrong bytes")
        self.oracle.seen(self.player.highest_ino)
        before = self.oracle.now
        self.oracle.answered(step, tree)
        if step.verb in DURABLE:
            self.oracle.durable_since(self.oracle.moment())
        if step.verb in ("rollback", "unfork"):
            self._check_handles(step, before, tree)
        if self.failed:
            self._check_unchanged(f"after {step}, which made the store fail")
        elif step.verb in MOVING:
            self._check_unchanged(f"after {step}")

    def _check_handles(self, step: Step, before: World, after: World) -> None:
        """Open files are what they were, or not there any more."""
        handles = self.oracle.handles
        for handle, ino in list(handles.items()):
            if handle not in self.player.holds():
                del handles[handle]
            elif after.nodes.get(ino) != before.nodes[ino]:
                raise Failure("stale", f"after {step} somebody holds inode {ino} as if it had not changed")

    def _expected(self, step: Step) -> bytes | None:
        """What a reading step must give."""
        subject = step.args[0]
        ino = self.oracle.handles[subject] if step.verb == "read_open" else self.oracle.now.ino(subject)
        content = self.oracle.now.node(ino).content
        return content if content is None or step.verb == "begin_read" else content[:LONGEST_READ]

    def _refused(self, step: Step, error: VfsError) -> None:
        self.count("refusals")
        if self.player.fs.table.tracker.capture is None:
            self.oracle.given_up()
        expected: Exception | None = None
        try:
            self._after(step, 0)
        except (OperationError, SnapshotError) as refusal:
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
        repaired = damage.repaired() if repairs and self._is_plain else None
        if repaired is not None:
            self._go_on_with(repaired)

    @property
    def _is_plain(self) -> bool:
        """Whether the main tree is all there is, and ever was."""
        return self.player.fs.table.trees.generation == 1

    def _go_on_with(self, repaired: SimulatedStorage) -> None:
        """The repaired store is whole, and from now on it is what the model goes by."""
        self.count("repairs")
        self.player.drop()
        self.disk.close()
        self.disk = repaired
        self.player = Player(self.disk, self.oracle, **self._options)
        tree = adopted(self.player.fs)
        self.oracle.highest_ino = 0  # an index that lost it does not know which numbers are gone
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
