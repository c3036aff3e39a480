"""A power cut at any call of an import leaves whole files or none, old ones or new ones, and nothing over.

The import is driven by hand, one batch after the other in one thread, so that a life repeats.
"""

import copy
import random
from collections.abc import Iterator

import pytest

from tests.crash.afterwards import check_clean, check_no_leftovers
from tests.crash.disks import new_disk
from tests.crash.extent import LIVES, LONG, WAYS, tell
from tests.crash.operations import opened
from tests.simulated.disk import SimulatedStorage
from vfs.filesystem import FileSystem
from vfs.trees import importer
from vfs.trees.importer import Import
from vfs.trees.items import FileEnd, Hole, Item, Node
from vfs.trees.planter import Planter
from vfs.trees.report import Report

FILES = 12
REPLACED = (b"f3", b"d/f8", b"long")
OLD = b"old content, " * 50
LONG_SIZE = 1_300_000


def content(number: int) -> bytes:
    rng = random.Random(f"import {number}")
    kind = number % 4
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 30_000))
    if kind == 1:
        return b"text %d\n" % number * rng.randrange(1, 2000)
    if kind == 2:
        return rng.randbytes(5000) + bytes(20_000) + rng.randbytes(3)
    return b"same in some"


class Tree:
    """A folder, files in it and beside it, one of several batches, further names, attributes."""

    in_order = True
    done_bytes = total_bytes = 0

    def __init__(self) -> None:
        self.files = {b"f%d" % n: content(n) for n in range(6)}
        self.files |= {b"d/f%d" % n: content(n) for n in range(6, FILES)}
        self.files[b"long"] = random.Random("long").randbytes(LONG_SIZE)

    def __iter__(self) -> Iterator[Item]:
        yield Node(b"", 0o040755)
        yield Node(b"d", 0o040750, 1, 2, 42)
        for path in sorted(self.files):
            data = self.files[path]
            yield Node(path, 0o100640, 3, 4, 77, 78, len(data), xattrs={b"user.of": path})
            half = len(data) // 2
            yield data[:half]
            yield data[half:]
            yield Hole(9)
            yield FileEnd()
        yield Node(b"z link", 0o120777, target=b"aim")
        yield Node(b"z name", 0o100640, link_to=b"f1")


class ImportLife:
    """One life on a disk: old files, then the import."""

    def __init__(self, disk: SimulatedStorage, seed: int) -> None:
        self.tree = Tree()
        self._checkpoints = random.Random(f"checkpoints {seed}")
        self.fs = opened(disk)
        self.fs.make_directory("/d")
        for path in REPLACED:
            self.fs.write_bytes(b"/" + path, OLD)
        self.fs.sync()
        self.done = False

    def run(self) -> None:
        report = Report(self.tree)
        planter = Planter(self.fs, b"/", report, in_order=True)
        work = Import(self.fs, self.tree, report, workers=0)
        while (batch := work.next_batch()) is not None:
            for _ in planter.plant(batch.plans):
                pass
            if self._checkpoints.random() < 0.4:
                self.fs.checkpoint()
        for _ in planter.finish():
            pass
        work.close()
        assert report.problem_count == 0
        self.fs.sync()
        self.done = True
        self.fs.checkpoint()


def check(disk: SimulatedStorage, tree: Tree, where: str, *, whole: bool) -> None:
    fs: FileSystem = opened(disk)
    found = 0
    for path, data in tree.files.items():
        where_it_is = b"/" + path
        if not fs.exists(where_it_is):
            assert path not in REPLACED, f"{where}: {path!r} is gone"
            assert not whole, f"{where}: {path!r} is missing"
            continue
        inode = fs.resolve(where_it_is)
        if path in REPLACED and fs.read_bytes(where_it_is) == OLD:
            assert not whole, f"{where}: {path!r} is the old one"
            continue
        assert fs.read_bytes(where_it_is) == data + bytes(9), f"{where}: {path!r} is not whole"
        assert (inode.mode, inode.uid, inode.gid, inode.mtime_ns) == (0o100640, 3, 4, 77), where
        assert fs.get_xattr(inode.ino, b"user.of") == path, where
        found += 1
    fs.table.check_invariants()
    check_no_leftovers(disk, fs)
    listed = sum(len(fs.listdir(folder)) for folder in ("/", "/d"))
    links = [name for name in (b"z link", b"z name") if fs.find(1, name) is not None]
    assert listed <= len(tree.files) + len(links) + 1, f"{where}: something is left over"
    assert fs.table.totals.files == listed - 1 - (b"z name" in links), where
    fs.store.close()
    check_clean(disk, where)


@pytest.mark.timeout(600)  # 3 seconds of CPU, on a machine that may do much else
@pytest.mark.parametrize("seed", LIVES[:2] if not LONG else LIVES)
def test_a_power_cut_at_any_call(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "PASS_BYTES", 60_000 if seed % 2 else 400_000)
    monkeypatch.setattr(importer, "BATCH_ENTRIES", 4)
    rng = random.Random(f"cuts {seed}")
    disk = new_disk(seed)
    life = ImportLife(disk, seed)
    cuts: list[tuple[str, SimulatedStorage, bool]] = []

    def look() -> None:
        if rng.random() < (1.0 if LONG else 0.08):
            where = f"cut at call {disk.calls}"
            cuts.extend((where, disk.crash(rng), life.done) for _ in range(WAYS))
            cuts.append((f"kill at call {disk.calls}", _as_it_shows(disk), life.done))

    disk.watcher = look
    life.run()
    look()
    disk.watcher = None
    cuts.append(("the end", disk.crash(rng), True))
    life.fs.store.close()
    for where, cut, done in cuts:
        check(cut, life.tree, where, whole=done)
    tell("import", seed, cuts=len(cuts))


def _as_it_shows(disk: SimulatedStorage) -> SimulatedStorage:
    return SimulatedStorage(disk.calls, root=copy.deepcopy(disk.root))
