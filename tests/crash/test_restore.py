"""A power cut, or a kill, at any call of restores: each path is what it was or what it is to be, whole, and
the snapshot as it was; only a `.vfs-copy-N`, and folders that were made on the way, may be left over.
"""

import random
from typing import Any

import pytest

from tests.crash.afterwards import check_clean, check_no_leftovers
from tests.crash.disks import new_disk
from tests.crash.extent import LIVES, LONG, tell
from tests.crash.operations import opened
from tests.crash.stops import stops
from tests.crash.test_copy import build
from tests.simulated.disk import SimulatedStorage
from tests.trees.inside import names, told
from vfs.errors import NoEntry
from vfs.filesystem import FileSystem
from vfs.trees import copier, remover
from vfs.trees.restorer import Restorer

PATHS = (b"/tree/inner/3", b"/tree", b"/large", b"/old/deep/3", b"/other")
"""In the order in which they are restored: a file whose folder is gone too, a folder and a file that are
other ones, a file of a folder that is gone, a file that is a folder now."""


def look(fs: FileSystem, path: bytes, snapshot: str = "") -> Any:
    """What a path leads to, now or in a snapshot; None when nothing is there."""
    inode = fs.snapshot_root(snapshot) if snapshot else fs.get(1)
    try:
        for name in path.split(b"/")[1:]:
            inode = fs.lookup(inode.ino, name)
    except NoEntry:
        return None
    return told(fs, inode.ino)


def wreck(fs: FileSystem) -> None:
    for _ in remover.remove(fs, fs.resolve("/tree").ino, b"inner", fs.resolve("/tree/inner").ino, []):
        pass
    fs.write_bytes("/tree/0", b"another content")
    fs.remove("/tree/link")
    fs.write(fs.resolve("/large").ino, 6000, b"changed")
    for _ in remover.remove(fs, 1, b"old", fs.resolve("/old").ino, []):
        pass
    fs.remove("/other")
    fs.make_directory("/other/folder now", parents=True)


class RestoreLife:
    """One life on a disk: files, a snapshot, other files, then restores with checkpoints and passes."""

    def __init__(self, disk: SimulatedStorage, seed: int) -> None:
        self._rng = random.Random(f"restores {seed}")
        self.fs = opened(disk)
        build(self.fs, self._rng)
        self.fs.create_snapshot("one")
        wreck(self.fs)
        self.fs.sync()
        self.whole = told(self.fs, self.fs.snapshot_root("one").ino)
        self.wanted = {path: look(self.fs, path, "one") for path in PATHS}
        self.states = [{path: look(self.fs, path) for path in PATHS}]
        """What the paths are after so many restores."""
        self.synced = 0

    @property
    def done(self) -> int:
        return len(self.states) - 1

    def run(self) -> None:
        fs = self.fs
        between = (fs.checkpoint, fs.flush, fs.collect, fs.sync)
        for path in PATHS:
            for _ in Restorer(fs, "one", [path]).steps():
                if self._rng.random() < 0.3:
                    self._rng.choice(between)()
            fs.sync()
            self.states.append({each: look(fs, each) for each in PATHS})
            assert self.states[-1][path] == self.wanted[path]
            self.synced = self.done


def check(disk: SimulatedStorage, life: RestoreLife, where: str, first: int, last: int) -> None:
    """After `first` restores that were durable, and `last` that were done; the next may have begun."""
    fs = opened(disk)
    assert told(fs, fs.snapshot_root("one").ino) == life.whole, f"{where}: the snapshot"
    now = {path: look(fs, path) for path in PATHS}
    for path in PATHS:
        seen, allowed = now[path], [state[path] for state in life.states[first : last + 2]]
        if path == b"/tree" and first == 0:  # the folder for its file may be there, and the file not
            seen, allowed = without_inner(seen), [without_inner(state) for state in allowed]
        assert seen in allowed, f"{where}: {path!r}"
    over = [name for name in names(fs) if name.startswith(b".")]
    assert len(over) <= 1, f"{where}: {over}"
    fs.table.check_invariants()
    check_no_leftovers(disk, fs)
    fs.close()
    fs = opened(disk)
    assert {path: look(fs, path) for path in PATHS} == now, where
    fs.store.close()
    check_clean(disk, where)


def without_inner(tree: Any) -> Any:
    """What the first of the restores does not touch."""
    return {path: entry for path, entry in tree.items() if path and not path.startswith(b"/inner")}


@pytest.mark.parametrize("seed", LIVES[:1] if not LONG else LIVES)
def test_a_stop_at_any_call(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "SLICE_EXTENTS", 6)
    monkeypatch.setattr(copier, "SLICE_ENTRIES", 3)
    disk = new_disk(seed)
    life = RestoreLife(disk, seed)
    found = stops(disk, life, random.Random(f"cuts {seed}"), 0.1)
    for where, stopped, synced, done in found:
        check(stopped, life, where, synced, done)
    tell("restores", seed, cuts=len(found))
