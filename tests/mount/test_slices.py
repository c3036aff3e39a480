"""Long work of the daemon lets requests in between, however much of it there is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

import vfs
from vfs.mount.committer import Committer


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


async def test_others_have_their_turn_while_memory_follows_a_commit(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.checkpoint.TIDY_SLICE", 10)
    monkeypatch.setattr("vfs.checkpoint.SLICE", 10)
    for number in range(200):
        fs.write_bytes(f"/file{number}", b"x")
    turns: list[str] = []

    def noted(step: str) -> Callable[[], bool]:
        real = getattr(fs, step)

        def take() -> bool:
            turns.append(step)
            return bool(real())

        return take

    for step in ("gather_checkpoint", "tidy"):
        monkeypatch.setattr(fs, step, noted(step))

    async def other() -> None:
        while True:
            turns.append("other")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await Committer(fs).checkpoint()
        nursery.cancel_scope.cancel()
    assert turns.count("gather_checkpoint") > 20
    assert turns.count("tidy") > 20
    # Both may have their turn in any order each time, so two slices may come in a row, but no third.
    assert not [three for three in zip(turns, turns[1:], turns[2:], strict=False) if "other" not in three]
