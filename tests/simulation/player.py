"""The store's side of a life: operations on a file system, each only where a daemon could come to it.

Answers what the operation answered. Never compares: the life does.
"""

from typing import Any

from tests.crash.steps import GC_STAGES, PACK_STAGES, WHOLE_PACKING, Step
from tests.crash.tree_operations import TreeOperations
from tests.simulated.disk import SimulatedStorage
from tests.simulation.oracle import Oracle

TREE_CHECKPOINTS = (
    *("checkpoint", "begin", "begin_action"),
    *("snapshot", "delete_snapshot", "rename_snapshot", "rollback"),
)
"""Verbs that take a checkpoint, or begin one."""


class Player(TreeOperations):
    """One opening of the store."""

    syncs_before_actions = False

    def __init__(self, storage: SimulatedStorage, oracle: Oracle, **options: Any) -> None:
        self.oracle = oracle
        super().__init__(storage, **options)
        self.highest_ino = oracle.highest_ino

    def moment(self) -> int:
        return self.oracle.moment()

    def durable_since(self, moment: int) -> None:
        self.oracle.durable_since(moment)

    def carry_out(self, step: Step) -> Any:
        """Do it; returns what a read gave."""
        return getattr(self, f"_{step.verb}")(*step.args)

    def applicable(self, step: Step) -> bool:
        """Whether this may happen now: stages exclude each other as they do in the daemon."""
        verb = step.verb
        if verb in WHOLE_PACKING:
            return not (self._packs or self._captures)
        if verb in TREE_CHECKPOINTS:
            return not (self._captures or self._swapping)
        if verb == "prune":
            return not self._captures
        if verb in ("pack_begin", "gc_begin"):
            return not (self._packs or (verb == "gc_begin" and self._captures))
        if verb in ("pack_commit", "gc_commit", "gc_finish"):
            return not self._captures and not (verb == "gc_finish" and self._swapping)
        if verb == "gc_run":
            return self._collect is not None and not self._swapping
        if verb in ("pack_abandon", "gc_abandon"):
            return not self._swapping
        return verb not in (*PACK_STAGES, *GC_STAGES) or self._packs

    def holds(self) -> set[int]:
        """The open files that are still what they were."""
        return set(self._handles)

    @property
    def _packs(self) -> bool:
        return self._pass is not None or self._collect is not None

    @property
    def _captures(self) -> bool:
        return self.fs.table.tracker.capture is not None

    @property
    def _swapping(self) -> bool:
        """The index has a pass or a round, and memory has not followed."""
        return (self._pass is not None and self._pass.committed) or self._collected
