"""Cold reads: looked for between other requests while the disk is quick, in threads when it is not."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import vfs
from vfs.contents import ReadPlan
from vfs.mount import cold_reads
from vfs.mount.adapter import Adapter
from vfs.mount.cold_reads import LEAST_LOOKS, LEAST_UNTRIED, MOST_UNTRIED
from vfs.mount.options import MountOptions

CONTENT = bytes(range(256)) * 512


class Disk:
    """Answers a request for pages of log or packs after so many looks at them; counts looks and threads."""

    def __init__(self, fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers_after = 0
        self.looks = self.threads = self._looked = 0
        self._run = fs.run_read
        monkeypatch.setattr(fs.log, "read_resident", self._late(fs.log.read_resident))
        monkeypatch.setattr(fs.blobs, "read_all_resident", self._late(fs.blobs.read_all_resident))
        monkeypatch.setattr(fs, "run_read", self._in_thread)

    def _late(self, resident: Callable[..., Any]) -> Callable[..., Any]:
        def look(*where: Any) -> Any:
            self.looks += 1
            self._looked += 1
            if self._looked <= self.answers_after:
                return None
            self._looked = 0
            found = resident(*where)
            while found is None and self.answers_after:  # somebody has emptied the cache of the machine
                found = resident(*where)
            return found

        return look

    def _in_thread(self, plan: ReadPlan) -> bytes | memoryview:
        self.threads += 1
        self._looked = 0
        return self._run(plan)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        opened.write_bytes("/file", CONTENT)
        opened.read_bytes("/file")
        yield opened


@pytest.fixture
def disk(fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(fs, monkeypatch)


async def test_a_disk_that_answers_soon_needs_no_thread(fs: vfs.FileSystem, disk: Disk) -> None:
    adapter, ino = Adapter(fs, MountOptions()), fs.resolve("/file").ino
    disk.answers_after = LEAST_LOOKS  # the first look is the request's own
    for at in range(0, 40 * 1024, 4096):
        assert bytes(await adapter.read(ino, at, 4096)) == CONTENT[at : at + 4096]
    assert disk.threads == 0
    assert disk.looks == 10 * (LEAST_LOOKS + 1)
    assert fs.epochs.drained(fs.epochs.enter() - 1), "each plan was ended"


@pytest.mark.parametrize("content", [CONTENT, random.Random(1).randbytes(len(CONTENT))])
async def test_what_is_packed_needs_no_thread_either_once_it_is_known_where_it_lies(
    fs: vfs.FileSystem, disk: Disk, content: bytes
) -> None:
    fs.write_bytes("/file", content)
    fs.flush()
    adapter, ino = Adapter(fs, MountOptions()), fs.resolve("/file").ino
    disk.answers_after = LEAST_LOOKS
    assert bytes(await adapter.read(ino, 100, 4096)) == content[100:4196]
    assert (disk.looks, disk.threads) == (1, 1), "the index is not waited for"
    for at in range(0, 40 * 1024, 4096):
        disk._looked = 0
        assert bytes(await adapter.read(ino, at, 4096)) == content[at : at + 4096]
    assert disk.threads == 1
    assert disk.looks == 1 + 10 * (LEAST_LOOKS + 1)
    assert fs.epochs.drained(fs.epochs.enter() - 1), "each plan was ended"


async def test_what_would_never_be_found_is_not_looked_for(fs: vfs.FileSystem, disk: Disk) -> None:
    """More than one block to be decoded is left to threads, and says nothing of the disk."""
    chance = random.Random(1)
    content = b"".join(b"%d " % chance.randrange(10**9) for _ in range(100_000))
    fs.write_bytes("/file", content)
    fs.flush()
    ino = fs.resolve("/file").ino
    fs.read_bytes("/file")  # finds all places
    first, cached = fs.blobs._places[min(fs.blobs._places)], fs.blobs.cache
    assert first.offset == 0
    at = first.block.size
    assert at < len(content), "there is a second block"
    adapter, disk.threads = Adapter(fs, MountOptions()), 0
    for turn in range(10):
        cached.forget(list(cached._blocks))
        disk.looks = 0
        assert bytes(await adapter.read(ino, at - 2048, 4096)) == content[at - 2048 : at + 2048]
        assert (disk.looks, disk.threads) == (1, turn + 1), "only the request's own"
        cached.forget(list(cached._blocks))
        assert bytes(await adapter.read(ino, at - 8192, 4096)) == content[at - 8192 : at - 4096]
        assert (disk.looks, disk.threads) == (2, turn + 1), "one is decoded at once"


async def test_others_are_served_between_two_looks(fs: vfs.FileSystem, disk: Disk) -> None:
    adapter, ino = Adapter(fs, MountOptions()), fs.resolve("/file").ino
    disk.answers_after = LEAST_LOOKS
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(disk.looks)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await adapter.read(ino, 0, 4096)
        nursery.cancel_scope.cancel()
    assert len(turns) >= LEAST_LOOKS - 1, "all had their turn before each look, but perhaps the last"


async def test_a_slow_disk_is_left_to_threads_and_rarely_looked_at(
    fs: vfs.FileSystem, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_reads, "LOOK_SECONDS", 0.0)
    adapter, ino = Adapter(fs, MountOptions()), fs.resolve("/file").ino
    disk.answers_after = 1000
    pauses = [LEAST_UNTRIED << turn for turn in range(4)]
    assert pauses[-1] < MOST_UNTRIED
    reads = sum(1 + pause for pause in pauses)
    for _ in range(reads):
        assert bytes(await adapter.read(ino, 4096, 4096)) == CONTENT[4096:8192]
    assert disk.threads == reads
    assert disk.looks == reads + len(pauses) * LEAST_LOOKS, "ever fewer of them were looked for again"
    disk.answers_after = 1  # it has become quick
    for _ in pauses:
        await adapter.read(ino, 4096, 4096)
    assert disk.threads == reads
    disk.answers_after = 1000
    for _ in range(1 + LEAST_UNTRIED):
        await adapter.read(ino, 4096, 4096)
    disk.answers_after = 1
    await adapter.read(ino, 4096, 4096)
    assert disk.threads == reads + 1 + LEAST_UNTRIED, "one that was slow once is looked for again soon"


async def test_large_reads_and_chunks_that_are_not_open_go_to_threads(fs: vfs.FileSystem, disk: Disk) -> None:
    adapter, ino = Adapter(fs, MountOptions()), fs.resolve("/file").ino
    disk.answers_after = 1
    assert bytes(await adapter.read(ino, 0, 128 * 1024)) == CONTENT
    assert (disk.looks, disk.threads) == (1, 1)
    fs.seal_log()
    assert bytes(await adapter.read(ino, 0, 4096)) == CONTENT[:4096]
    assert (disk.looks, disk.threads) == (2, 2)
