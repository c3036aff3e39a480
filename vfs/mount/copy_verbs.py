"""Copying inside the mounted store, and out of its snapshots, beside the requests of clients.

Promises that a copy has what programs had written when it was asked for, also what the kernel still keeps;
that the kernel hears of the names that came; and that whoever goes before the end leaves no half of a copy.

Concurrency: lives in the trio thread, where each slice of a copy is one step without an await. Packing and
checkpoints go on between two slices.
"""

import os
from typing import Any

import trio

from vfs.errors import StoreError
from vfs.filesystem import FileSystem
from vfs.mount.committer import Committer
from vfs.mount.control import Progress, Verb
from vfs.mount.kernel_caches import tell_kernel
from vfs.mount.nodes import NodeIds
from vfs.mount.pages import Pages
from vfs.mount.tree_verbs import text_of
from vfs.snapshots.places import in_words
from vfs.trees.copier import Copier
from vfs.trees.copies import find_places
from vfs.trees.restorer import Restorer


class CopyVerbs:
    """The verbs `copy` and `restore` of one mount."""

    def __init__(self, fs: FileSystem, committer: Committer, nodes: NodeIds, pages: Pages) -> None:
        self._fs = fs
        self._pages = pages
        self._nodes = nodes
        self._committer = committer
        self._telling = trio.CapacityLimiter(1)

    def verbs(self) -> dict[str, Verb]:
        """Both by their names."""
        return {"copy": Verb(self.copy), "restore": Verb(self.restore)}

    async def copy(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Copy the tree at `source` to `dest`, both inside the mount, whose root the client has at `top`."""
        fs = self._fs
        with in_words(fs):
            fs.writable()
        source, dest, top = (os.fsencode(text_of(request, key)) for key in ("source", "dest", "top"))
        replace = request.get("replace") is True
        find_places(fs, source, dest, replace=replace, top=top)  # what is wrong is told at once
        await self._pages.hand_over()
        places = find_places(fs, source, dest, replace=replace, top=top)
        copier = Copier(fs, places.source, places.parent, places.name, replace=replace)
        await self._run(copier, progress)
        return {"path": places.path, **copier.fields()}

    async def restore(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Have `paths` be what they are in the snapshot `name`.

        What the kernel keeps of replaced files is for those who hold them open: nothing has to be flushed.
        """
        with in_words(self._fs):
            self._fs.writable()
        paths = request.get("paths")
        if not isinstance(paths, list) or not paths:
            raise StoreError("bad request: no paths")
        given = [os.fsencode(text_of({"path": path}, "path")) for path in paths]
        restorer = Restorer(self._fs, text_of(request, "name"), given)
        await self._run(restorer, progress)
        return restorer.fields()

    async def _run(self, copier: Copier | Restorer, progress: Progress) -> None:
        try:
            with in_words(self._fs):
                for _ in copier.steps():
                    progress.set(0, 0, copier.text())
                    await self._tell_kernel(copier)
                    await trio.lowlevel.checkpoint()
        except BaseException:
            with trio.CancelScope(shield=True):
                for _ in copier.undo():
                    await self._tell_kernel(copier)
                    await trio.lowlevel.checkpoint()
            raise
        finally:
            await self._tell_kernel(copier)
        await self._committer.commit()

    async def _tell_kernel(self, copier: Copier | Restorer) -> None:
        node = self._nodes.node  # what the kernel knows it by
        changed = [each._replace(ino=node(each.ino)) for each in copier.changed]
        copier.changed.clear()
        await tell_kernel(changed, self._telling)
