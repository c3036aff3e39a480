"""Stores to damage and to repair, and what must hold of every repair, whatever the damage was.

`mend` is the one way in which these tests repair: it looks at the store before, between and after.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import vfs
from tests.crash.trees import Tree, difference, tree
from tests.packed_stores import KIB, noise, text
from vfs.backing.creation import CreationOptions
from vfs.checks.report import Report
from vfs.filesystem import FileSystem
from vfs.repair.plan import Plan
from vfs.repair.repair import repairing

FOUND = "/lost+found"


class Mended(NamedTuple):
    """How a repair went: what was wrong, what was planned, and what the store shows now."""

    found: Report
    plan: Plan
    tree: Tree

    @property
    def lines(self) -> list[str]:
        """Everything that the plan says."""
        return [line for group in self.plan.groups.values() for line in group.lines]

    def says(self, words: str) -> bool:
        """Whether a line of the plan has these words."""
        return any(words in line for line in self.lines)


def make(path: Path) -> Path:
    """A store with some of everything: names of all kinds, packs of small blocks, and data in the log."""
    vfs.mkfs(path, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    with vfs.open(path, pack_workers=0) as fs:
        fs.autopilot = False
        fs.make_directory("/a/b/c", parents=True)
        fs.make_directory("/empty")
        fs.write_bytes("/a/b/noise", noise(1, 70_000))
        fs.write_bytes("/a/text", text(1, 50_000))
        fs.flush()
        fs.write_bytes("/a/copy", text(1, 50_000))
        fs.write_bytes("/last", text(2, 3_000))
        fs.flush()
        write_more(fs)
    return path


def write_more(fs: FileSystem) -> None:
    """What stays in the log: a file, a sparse one, small writes, a link, a symbolic link, an attribute."""
    fs.write_bytes("/a/file", bytes(range(256)) * 64)
    fs.write_bytes("/a/b/small", b"small")
    fs.write_bytes("/nothing", b"")
    fs.link(fs.resolve("/a/file").ino, fs.resolve("/a/b").ino, b"hard")
    fs.symlink(fs.resolve("/a").ino, b"soft", b"file")
    fs.set_xattr(fs.resolve("/a/file").ino, b"user.note", b"value")
    sparse = fs.mknod(1, b"sparse", 0o644).ino
    fs.write(sparse, 200_000, b"far out")
    grown = fs.mknod(1, b"grown", 0o644).ino
    for number in range(30):
        fs.write(grown, number * 10, b"%010d" % number)


def crashed(path: Path) -> None:
    """More, synced, and then a kill: a part is in SQLite's own log, the rest is not in the index."""
    fs = vfs.open(path, pack_workers=0)
    fs.autopilot = False
    fs.write_bytes("/a/before", noise(99, 4_000))
    fs.checkpoint()
    for number in range(12):
        fs.write_bytes(f"/a/new{number}", noise(100 + number, 3_000 + 7_000 * number))
    fs.rename(1, b"last", fs.resolve("/a/b/c").ino, b"moved")
    fs.unlink(1, b"nothing")
    fs.truncate(fs.resolve("/a/text").ino, 20_000)
    fs.write(fs.resolve("/a/b/noise").ino, 30_000, b"in the middle" * 1000)
    fs.sync()
    fs.mknod(1, b"after", 0o644)
    fs.sync()
    kill(fs, path)


def kill(fs: FileSystem, path: Path) -> None:
    """Leave the store as a kill does: closing it would bring SQLite's own log into the index."""
    left = path.with_name("left")
    shutil.copytree(path, left)
    fs.store.close()
    shutil.rmtree(path)
    left.rename(path)


def shown(path: Path) -> Tree:
    """What a program would see; the store is not changed."""
    with vfs.open(path, read_only=True) as fs:
        return tree(fs)


def digests(path: Path) -> dict[str, str]:
    """Every file of the store but its lock, by a hash of its content."""
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


def mend(path: Path) -> Mended:
    """Repair a store, with all that a repair promises."""
    before = digests(path)
    with repairing(path) as work:
        work.look()
        assert digests(path) == before, "looking has written"
        assert work.needed, "there is nothing to repair"
        assert work.plan.groups, "something is done that nobody was told"
        assert work.left.clean, work.left.problems
        found, plan = work.found, work.plan
        report = work.act()
        assert report.clean, report.problems
    check_mended(path)
    return Mended(found, plan, shown(path))


def mended_or_whole(path: Path) -> None:
    """Repair a store that maybe has no damage that anybody could find."""
    before = digests(path)
    with repairing(path) as work:
        work.look()
        assert digests(path) == before, "looking has written"
        if work.needed:
            assert work.left.clean, work.left.problems
            report = work.act()
            assert report.clean, report.problems
    check_mended(path)


def check_mended(path: Path) -> None:
    """The store is whole, a second repair changes nothing of it, and life goes on in a copy of it."""
    report = vfs.check(path, data=True)
    assert report.clean, report.problems
    before = digests(path)
    with repairing(path) as work:
        work.look()
        assert not work.needed, work.found.problems
    assert digests(path) == before, "a second repair has written"


def check_life_goes_on(path: Path) -> None:
    """A mounted store takes changes, packs them, and is clean; numbers are new."""
    with vfs.open(path, pack_workers=0) as fs:
        highest = max(node[0][0] for name, node in tree(fs).items() if name)
        fs.write_bytes("/a new file", noise(7, 30_000))
        assert fs.resolve("/a new file").ino > highest
        fs.flush()
        fs.collect()
        expected = tree(fs)
    assert shown(path) == expected
    report = vfs.check(path, data=True)
    assert report.clean, report.problems


def unlike(found: Tree, expected: Tree) -> list[str]:
    """What differs, but for what /lost+found changes at the root and in the totals."""

    def stripped(whole: Tree) -> Tree:
        kept: dict[str, Any] = {name: node for name, node in whole.items() if name and not is_found(name)}
        row = kept["/"][0]
        kept["/"] = (row[:4], kept["/"][1:])
        return kept

    return difference(stripped(found), stripped(expected))


def is_found(name: str) -> bool:
    """Whether a path is /lost+found or below."""
    return name == FOUND or name.startswith(f"{FOUND}/")
