"""Whoever asked for an action may go at any moment: the kernel hears of what was done all the same."""

from pathlib import Path

import pytest
import trio

import vfs
from vfs.mount import kernel_caches
from vfs.mount.acting import Acting
from vfs.mount.committer import Committer
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.pages import Pages
from vfs.numbers import SNAPSHOTS_INO
from vfs.snapshots.actions import CreateSnapshot
from vfs.trees.planter import Changed


async def test_gone_when_it_has_just_been_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Changed] = []
    monkeypatch.setattr(kernel_caches, "_invalidate", told.extend)
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.autopilot = False
        pages = Pages(tmp_path / "store", OpenFiles(fs, NodeIds(fs)))
        acting = Acting(fs, Committer(fs), pages, lambda number: number)
        scope, done, tidy = trio.CancelScope(), fs.end_checkpoint, iter([False, True])
        monkeypatch.setattr(fs, "end_checkpoint", lambda: (done(), scope.cancel()))
        monkeypatch.setattr(fs, "tidy", lambda: next(tidy))
        with scope:
            await acting.act(CreateSnapshot("snapshot"), ["snapshot"])
        assert scope.cancelled_caught
        assert [facts.name for facts in fs.snapshots()] == ["snapshot"]
        assert told == [(SNAPSHOTS_INO, b"snapshot", False)]
        monkeypatch.undo()
