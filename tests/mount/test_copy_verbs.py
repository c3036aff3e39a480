"""A copy inside a mount beside requests: after each of its steps whoever else has work has a turn."""

from pathlib import Path

import pytest
import trio

import vfs
from vfs.mount import kernel_caches
from vfs.mount.committer import Committer
from vfs.mount.control import Progress
from vfs.mount.copy_verbs import CopyVerbs
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.pages import Pages
from vfs.trees import copier

FILES = 100


class HandedOver(Pages):
    """The kernel keeps nothing."""

    async def hand_over(self) -> None:
        pass


async def test_others_have_their_turn_after_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "SLICE_ENTRIES", 1)
    monkeypatch.setattr(copier, "SLICE_EXTENTS", 1)
    monkeypatch.setattr(kernel_caches, "_invalidate", lambda changed: None)
    turns = 0
    seen: list[int] = []

    class Seen(Progress):
        def set(self, done: int, total: int, what: str = "") -> None:
            seen.append(turns)

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.mkdir(fs.resolve("/").ino, b"tree", 0o755)
        for number in range(FILES):
            fs.write_bytes(f"/tree/{number}", b"content")
        nodes = NodeIds(fs)
        verbs = CopyVerbs(fs, Committer(fs), nodes, HandedOver(tmp_path / "store", OpenFiles(fs, nodes)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            request = {"source": "/tree", "dest": "/copy", "top": "/"}
            copied = await verbs.copy(request, Seen())
            nursery.cancel_scope.cancel()
        assert copied["files"] == FILES
        assert len(fs.listdir("/copy")) == len(fs.listdir("/tree"))
    assert len(seen) > FILES
    # Who of the two comes first is drawn by lot each time.
    assert all(later > earlier for earlier, later in zip(seen, seen[2:], strict=False)), (
        "steps follow at once"
    )
