"""Snapshots and clones of the mounted store, beside the requests of clients.

Promises that a snapshot has what programs had written when it was asked for, also what the kernel still
keeps; that it is one moment for all who write meanwhile; and that the kernel hears of names that changed.

Concurrency: lives in the trio thread. What a snapshot takes at its moment is one step without an await.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from vfs.errors import SnapshotError
from vfs.filesystem import FileSystem
from vfs.mount.acting import Acting
from vfs.mount.committer import Committer
from vfs.mount.control import Progress, Verb
from vfs.snapshots.actions import DeleteSnapshots, RenameSnapshot, known
from vfs.snapshots.keeping import SetPolicy
from vfs.snapshots.listing import list_fields, policy_fields, to_fields
from vfs.snapshots.places import Place, make_clone, remove_clone
from vfs.snapshots.policy import Policy
from vfs.snapshots.sizes import exclusive_bytes

FIGURES_SECONDS = 2.0
"""How long a list waits at most for the checkpoint that makes its figures exact."""


class SnapshotVerbs:
    """The verbs of snapshots and clones of one mount. `policy_changed` begins to carry it out."""

    def __init__(
        self,
        fs: FileSystem,
        committer: Committer,
        acting: Acting,
        policy_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._fs = fs
        self._committer = committer
        self._acting = acting
        self._policy_changed = policy_changed
        self._threads = trio.CapacityLimiter(1)

    def verbs(self) -> dict[str, Verb]:
        """All by their names."""
        return {
            "snapshot_create": Verb(self.create),
            "snapshot_list": Verb(self.list_),
            "snapshot_delete": Verb(self.delete),
            "snapshot_rename": Verb(self.rename),
            "snapshot_policy": Verb(self.policy),
            "clone": Verb(self.clone),
            "clone_delete": Verb(self.clone_delete),
        }

    # --- snapshots --------------------------------------------------------------------------

    async def create(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Freeze everything as it is when this is asked for, or a little later."""
        name = _text(request, "name")
        await self._acting.create(name, _text(request, "comment"))
        return to_fields(self._fs.snapshot(name))

    async def list_(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """All snapshots, the oldest first, with what only each holds: as of a checkpoint that is taken for it
        where that goes quickly."""
        with trio.move_on_after(FIGURES_SECONDS):
            await self._committer.up_to_date()
        index = self._fs.store.index
        exclusive = await trio.to_thread.run_sync(exclusive_bytes, index, limiter=self._threads)
        return {"snapshots": list_fields(self._fs.snapshots(), exclusive)}

    async def delete(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Forget snapshots, all or none."""
        names = _texts(request, "names")
        for name in names:
            known(self._fs.table, name)
        await self._acting.act(DeleteSnapshots(names), names)
        return {"deleted": names}

    async def rename(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Give a snapshot another name."""
        old, new = _text(request, "name"), _text(request, "new_name")
        await self._acting.act(RenameSnapshot(old, new), [old, new])
        return to_fields(self._fs.snapshot(new))

    async def policy(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """How many automatic snapshots are kept; with `words` that is changed first."""
        words = _texts(request, "words")
        if words:
            await self._acting.act(SetPolicy(Policy.parse(words)))
            await self._policy_changed()
        return policy_fields(self._fs.policy)

    # --- clones -----------------------------------------------------------------------------

    async def clone(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """A writable tree at `path` that begins as the snapshot `source`, or a folder of it."""
        source = _text(request, "source")
        path, top = (os.fsencode(_text(request, key)) for key in ("path", "top"))
        place = make_clone(self._fs, source, path, top=top)
        await self._changed(place)
        return {"path": place.path, "source": source}

    async def clone_delete(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Remove a clone with all that is in it."""
        path, top = (os.fsencode(_text(request, key)) for key in ("path", "top"))
        place = remove_clone(self._fs, path, top=top)
        await self._changed(place)
        return {"path": place.path}

    async def _changed(self, place: Place) -> None:
        await self._acting.tell_kernel([(place.parent, place.name)])
        await self._committer.commit()


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise SnapshotError(f"bad request: {key} is no text")
    return value


def _texts(request: dict[str, Any], key: str) -> list[str]:
    values = request.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SnapshotError(f"bad request: {key} is no list of texts")
    return values
