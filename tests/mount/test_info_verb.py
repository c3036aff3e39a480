"""The figures of a mounted store are all of one checkpoint."""

from pathlib import Path
from typing import Any

import pytest

import vfs
from vfs.backing.sums import Sums
from vfs.mount.adapter import Adapter
from vfs.mount.control import Progress
from vfs.mount.options import MountOptions
from vfs.mount.verbs import Verbs


async def test_a_checkpoint_that_ends_while_the_index_is_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.autopilot = False
        adapter, others = Adapter(fs, MountOptions()), dict.fromkeys(("rollbacks", "acting", "automatic"))
        given: dict[str, Any] = {**others, "pages": None, "ending": None}
        verbs = Verbs(
            fs,
            tmp_path / "store",
            committer=adapter.committer,
            packer=adapter.packer,
            nodes=adapter.nodes,
            **given,
        )
        fs.write_bytes("/file", b"content" * 1000)
        earlier: list[Sums] = [fs.sums()]
        fs.checkpoint()
        late = fs.sums
        monkeypatch.setattr(fs, "sums", lambda: earlier.pop() if earlier else late())

        async def at_once() -> None:
            """As on a disk that is too slow for whoever asks."""

        monkeypatch.setattr(verbs, "_catch_up", at_once)
        figures = await verbs.info({}, Progress())
    assert figures["changes_since_checkpoint"] == 0
    assert figures["allocated_bytes"] == 7000


def test_changes_that_a_checkpoint_takes_are_counted_until_it_has_come_to_its_end(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.autopilot = False
        for number in range(10):
            fs.write_bytes(f"/{number}", b"content")
        changes = fs.info()["changes_since_checkpoint"]
        assert changes > 20
        fs.begin_checkpoint()
        assert fs.info()["changes_since_checkpoint"] >= changes
        while not fs.gather_checkpoint():
            pass
        assert fs.info()["changes_since_checkpoint"] >= changes
        fs.sync()
        fs.commit_checkpoint()
        fs.end_checkpoint()
        assert fs.info()["changes_since_checkpoint"] == 0
