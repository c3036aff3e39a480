"""Room comes back when whoever read what goes has ended: who asked for it waits, else it comes by itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import vfs
from vfs.collection import Collection
from vfs.mount import packer as packing
from vfs.mount.committer import Committer
from vfs.mount.packer import Packer


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        yield opened


def packs(fs: vfs.FileSystem) -> int:
    return len(list((fs.store.storage.path / "packs").iterdir()))


async def with_a_dead_pack(fs: vfs.FileSystem, packer: Packer) -> None:
    fs.write_bytes("file", os.urandom(1 << 20))
    await packer.flush(lambda done, total, what: None)
    assert packs(fs) == 1
    fs.unlink(fs.resolve("/").ino, b"file")


async def test_room_that_was_asked_for_is_there_although_somebody_was_reading(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    packer = Packer(fs, Committer(fs), automatic=False)
    await with_a_dead_pack(fs, packer)
    reader, finish, drained = fs.epochs.enter(), fs.finish_collect, fs.epochs.drained
    looks = 0

    def and_after_some_looks_the_reader_ends(epoch: int) -> bool:
        nonlocal looks
        looks += 1
        if looks == 5:
            fs.epochs.leave(reader)
        return drained(epoch)

    def all_is_done(work: vfs.collection.Collect) -> Collection:
        monkeypatch.setattr(fs.epochs, "drained", and_after_some_looks_the_reader_ends)
        assert packs(fs) == 1
        return finish(work)

    monkeypatch.setattr(fs, "finish_collect", all_is_done)
    with trio.fail_after(60):
        await packer.collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert packs(fs) == 0
    monkeypatch.undo()


async def test_behind_a_long_reader_it_comes_by_itself(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "READERS_SECONDS", 0.01)
    monkeypatch.setattr(packing, "LOOK_SECONDS", 0.01)
    packer = Packer(fs, Committer(fs), automatic=True)
    await with_a_dead_pack(fs, packer)
    reader = fs.epochs.enter()
    await packer.collect(dry_run=False, on_progress=lambda done, total, what: None)
    assert packs(fs) == 1
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(packer.run)
            fs.epochs.leave(reader)
            while packs(fs):  # noqa: ASYNC110 -- a folder tells nobody
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()
