"""A power cut, or a kill, at any call of copies inside the store: whole copies or none, and what they replace
is there until they are; fsck is clean, and only a `.vfs-copy-N` may be left over.
"""

import random
from typing import Any

import pytest

from tests.crash.afterwards import check_clean, check_no_leftovers
from tests.crash.disks import new_disk
from tests.crash.extent import LIVES, LONG, tell
from tests.crash.operations import opened
from tests.crash.stops import stops
from tests.simulated.disk import SimulatedStorage
from tests.trees.inside import names, told
from vfs.filesystem import FileSystem
from vfs.trees import copier, remover
from vfs.trees.copier import Copier

COPIES = ((b"tree", b"copy"), (b"tree", b"old"), (b"large", b"large copy"), (b"small", b"other"))
"""Source and target of each copy, in turn; `old` and `other` are replaced, a folder and a file."""


def build(fs: FileSystem, rng: random.Random) -> None:
    top = fs.make_directory("/tree")
    fs.make_directory("/tree/inner")
    for number in range(6):
        fs.write_bytes(f"/tree/{number}", rng.randbytes(rng.randrange(9000)))
        fs.write_bytes(f"/tree/inner/{number}", b"%d " % number * rng.randrange(2000))
        if number == 3:
            fs.flush()
    merged = fs.write_bytes("/tree/merged", b"in memory")
    for number in range(10):
        fs.write(merged.ino, merged.size, b" %d" % number)
        fs.write_bytes(f"/tree/{number % 6}", b"written anew")
    fs.link(merged.ino, top.ino, b"link")
    fs.set_xattr(merged.ino, b"user.name", b"value")
    fs.set_attributes(top.ino, mode=0o750, uid=3, atime_ns=5, mtime_ns=7)
    large = fs.write_bytes("/large", b"")
    for number in range(20):
        fs.write(large.ino, number * 5000, rng.randbytes(4200))
    fs.write_bytes("/small", b"small")
    fs.make_directory("/old/deep/er", parents=True)
    for number in range(7):
        fs.write_bytes(f"/old/deep/{number}", b"old" * 1500)
    fs.write_bytes("/other", b"other")


class CopyLife:
    """One life on a disk: files, then copies of them, with checkpoints, passes and collections in between."""

    def __init__(self, disk: SimulatedStorage, seed: int) -> None:
        self._rng = random.Random(f"copies {seed}")
        self.fs = opened(disk)
        build(self.fs, self._rng)
        self.fs.sync()
        self.looks = {
            name: self.look(self.fs, name) for name in (b"tree", b"large", b"small", b"old", b"other")
        }
        self.done = 0
        self.synced = 0

    @staticmethod
    def look(fs: FileSystem, name: bytes) -> Any:
        return told(fs, fs.lookup(1, name).ino)

    def run(self) -> None:
        fs = self.fs
        between = (fs.checkpoint, fs.flush, fs.collect, fs.sync)
        for source, name in COPIES:
            for _ in Copier(fs, fs.lookup(1, source).ino, 1, name, replace=True).steps():
                if self._rng.random() < 0.3:
                    self._rng.choice(between)()
            self.done += 1
            fs.sync()
            self.synced = self.done


def check(disk: SimulatedStorage, life: CopyLife, where: str, first: int, last: int) -> None:
    """After `first` copies that were durable, and `last` that may have begun."""
    fs = opened(disk)
    for name in (b"tree", b"large", b"small"):
        assert life.look(fs, name) == life.looks[name], f"{where}: {name!r}"
    for number, (source, name) in enumerate(COPIES):
        there = fs.find(1, name) is not None
        look = life.look(fs, name) if there else None
        allowed = []
        if number >= first:
            allowed.append(life.looks.get(name))
        if number <= last:
            allowed.append(life.looks[source])
        assert look in allowed, f"{where}: {name!r}"
    known = {*life.looks, *(name for _, name in COPIES)}
    over = [name for name in names(fs) if name not in known]
    assert over in ([], [name for name in over if name.startswith(b".vfs-copy-")][:1]), f"{where}: {over}"
    for name in over:
        for _ in remover.remove(fs, 1, name, fs.lookup(1, name).ino, []):
            pass
    fs.table.check_invariants()
    check_no_leftovers(disk, fs)
    fs.close()
    check_clean(disk, where)


@pytest.mark.parametrize("seed", LIVES[:1] if not LONG else LIVES)
def test_a_stop_at_any_call(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "SLICE_EXTENTS", 6)
    monkeypatch.setattr(copier, "SLICE_ENTRIES", 3)
    disk = new_disk(seed)
    life = CopyLife(disk, seed)
    found = stops(disk, life, random.Random(f"cuts {seed}"), 0.08)
    for where, stopped, synced, done in found:
        check(stopped, life, where, synced, done)
    tell("copies", seed, cuts=len(found))
