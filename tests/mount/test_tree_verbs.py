"""Imports as a daemon does them, on a store that is not mounted."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs.errors import StoreError
from vfs.mount.committer import Committer
from vfs.mount.control import Progress
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.packer import Packer
from vfs.mount.pages import Pages
from vfs.mount.tree_verbs import TreeVerbs
from vfs.trees import importer, planter


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


def archive(files: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number in range(files):
            info = tarfile.TarInfo(f"{number:03}")
            info.size = 512
            tar.addfile(info, io.BytesIO(number.to_bytes(2, "big") * 256))
    return made.getvalue()


def verbs_of(fs: vfs.FileSystem, store: Path) -> TreeVerbs:
    committer = Committer(fs)
    packer = Packer(fs, committer, automatic=False)
    return TreeVerbs(fs, store, committer, packer, Pages(store, OpenFiles(fs, NodeIds(fs))))


async def test_each_batch_tells_how_far_it_is(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a batch is planted in one go: a large file takes long, and Ctrl-C tells what came last."""

    class Told(Progress):
        def set(self, done: int, total: int, what: str = "") -> None:
            told.append(what.split(",")[0])
            super().set(done, total, what)

    told: list[str] = []
    monkeypatch.setattr(importer, "BATCH_ENTRIES", 2)
    (tmp_path / "whole.tar").write_bytes(archive(6))
    await verbs_of(fs, tmp_path / "store").import_(
        {"source": str(tmp_path / "whole.tar"), "dest": "/in"}, Told()
    )
    assert told[:3] == ["2 files", "4 files", "6 files"]


async def test_what_came_before_the_cut_of_an_archive_is_brought_in(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planter, "SLICE_ENTRIES", 1)
    monkeypatch.setattr(planter, "SLICE_EXTENTS", 1)
    (tmp_path / "cut.tar").write_bytes(archive(300)[: 200 * 1024 + 700])
    verbs = verbs_of(fs, tmp_path / "store")
    request = {"source": str(tmp_path / "cut.tar"), "dest": "/in"}
    with pytest.raises(StoreError, match="cut short"):
        await verbs.import_(request, Progress())
    assert len(fs.listdir("/in")) == 200
