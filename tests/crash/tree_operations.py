"""Operations on trees as a whole: snapshots, clones, rollbacks and pruning, whole or in stages beside others.

`*` is the newest snapshot that a rollback has kept. Never judges.
"""

from tests.crash.operations import Operations
from vfs.errors import SnapshotError
from vfs.snapshots.actions import Action, CreateSnapshot, RenameSnapshot
from vfs.snapshots.pruning import Prune

NEWEST = "*"


class TreeOperations(Operations):
    """One method for each verb."""

    syncs_before_actions = True
    """So that what was answered since the moment of a snapshot is not lost where the snapshot is there."""

    def _called(self, name: str) -> str:
        if name != NEWEST:
            return name
        kept = [facts.name for facts in self.fs.snapshots() if facts.automatic]
        return kept[-1] if kept else "none"

    # --- snapshots --------------------------------------------------------------------------

    def _snapshot(self, name: str) -> None:
        self.fs.create_snapshot(name, f"called {name}")
        self.synced_now()

    def _delete_snapshot(self, name: str) -> None:
        self.fs.delete_snapshots([self._called(name)])
        self.synced_now()

    def _rename_snapshot(self, name: str, new_name: str) -> None:
        self.fs.rename_snapshot(self._called(name), new_name)
        self.synced_now()

    def _rollback(self, name: str) -> None:
        done = self.fs.rollback(self._called(name))
        for handle, ino in list(self._handles.items()):
            if ino in {held.number for held in done.stale}:
                del self._handles[handle]
        self.synced_now()

    def _begin_action(self, verb: str, *names: str) -> None:
        """The moment of a snapshot; it is there with `commit`."""
        self.fs.writable()
        called = [self._called(names[0]), *names[1:]]
        actions: dict[str, Action] = {
            "snapshot": CreateSnapshot(called[0], f"called {called[0]}"),
            "rename_snapshot": RenameSnapshot(called[0], called[-1]),
        }
        self.fs.begin_checkpoint(action=actions[verb])
        self._capturing = True

    def _commit(self) -> None:
        acting = self._capturing and self.fs._action is not None
        if acting and self.syncs_before_actions:
            self._sync()
        super()._commit()
        if acting:
            self._end()

    def _prune(self, slices: int) -> None:
        work = Prune(most_rows=4, most_seconds=1.0)
        for _ in range(slices):
            self.fs.begin_slice(work)
            more = self.fs.run_slice(work)
            self.fs.end_slice(work)
            if not more:
                break

    # --- clones -----------------------------------------------------------------------------

    def _fork(self, name: str, folder: str, path: str) -> None:
        parent, last = self._at(path)
        called = self._called(name)
        self.fs.clone(f"{called}:{folder}" if folder else called, parent, last)

    def _unfork(self, path: str) -> None:
        ino = self._ino(path)
        if self.fs.resolve(path, follow=False).is_directory:
            self.fs.drop_clone(ino)
        else:
            raise SnapshotError("that is no clone")
        for handle, held in list(self._handles.items()):
            if self.fs.table.is_gone(held):
                del self._handles[handle]
