"""What must be true after a stop: the right tree, no leftovers, a clean fsck, and a life that goes on.

Shared by all crash tests; each says itself which trees are right.
"""

import random
from collections.abc import Sequence

from tests.crash.disks import Cut, WatchedDisk, problems
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.steps import Names, script
from tests.crash.tree_steps import Moment, TreeSketch, tree_script
from tests.crash.trees import ROOT_OF_CLONE, Tree, difference, tree
from tests.simulated.disk import SimulatedStorage
from vfs.backing.places import PACKS_FOLDER, THERE
from vfs.filesystem import FileSystem

ROOMY_BYTES = 200_000
"""With so much room an opening can remove what unfinished packs left."""


def shown(disk: SimulatedStorage) -> Tree:
    """The tree that a mount finds. The mount ends as if killed."""
    fs = opened(disk)
    found = tree(fs)
    fs.table.check_invariants()
    if disk.room() > ROOMY_BYTES:
        check_no_leftovers(disk, fs)
    fs.store.close()
    return found


def check_no_leftovers(disk: SimulatedStorage, fs: FileSystem) -> None:
    """The folder of packs holds the packs of the index, and nothing else."""
    packs = fs.store.rows.packs()
    assert [pack for pack in packs if pack.state != THERE] == []
    assert disk.list(PACKS_FOLDER) == sorted(pack.name for pack in packs)


def check_same(found: Tree, expected: Tree, where: object) -> None:
    """The two trees are equal."""
    assert found == expected, "\n".join([str(where), *difference(found, expected)[:6]])


def check_prefix(found: Tree, trees: Sequence[Tree], first: int, last: int, cut: Cut) -> None:
    """The tree is one of those after `first` to `last` steps."""
    if found not in trees[first : last + 1]:
        others = [number for number, other in enumerate(trees) if other == found]
        closest = min(trees[first : last + 1], key=lambda expected: len(difference(found, expected)))
        lines = difference(found, closest)[:6]
        raise AssertionError("\n".join([f"{cut}; it is as after steps {others or 'none'}", *lines]))


def check_clean(disk: SimulatedStorage, where: object) -> None:
    """fsck has nothing to say, and every byte that is stored is as it was written."""
    found = problems(disk)
    assert found == [], f"{where}: {found[:6]}"


def names_in(found: Tree) -> Names:
    """The names of a tree, for a script that begins with it."""
    return _names(found, "")


def _names(found: Tree, snapshot: str) -> Names:
    kinds = {0o040000: "dir", 0o100000: "file"}
    return {
        path[len(snapshot) :]: (kinds.get(node[0][1] & 0o170000, "other"), _number(found, path, node[0][0]))
        for path, node in found.items()
        if path.startswith(f"{snapshot}/") and path != f"{snapshot}/"
    }


def _number(found: Tree, path: str, ino: int) -> int:
    """What tells hard links from others: an inode has the same number in each clone."""
    roots = [path.rsplit("/", count)[0] for count in range(path.count("/"))]
    clone = next((root for root in roots if root in found and found[root][2] == ROOT_OF_CLONE), "")
    return ino if not clone else hash((clone, ino)) | 1 << 62


def _roots(found: Tree, snapshot: str, kinds: Names) -> Names:
    return {path: node for path, node in kinds.items() if found[f"{snapshot}{path}"][2] == ROOT_OF_CLONE}


def what_there_is(found: Tree, seed: object) -> TreeSketch:
    """The names, snapshots and clones of a tree, for a script that begins with it."""
    sketch = TreeSketch(random.Random(f"after {seed}"), names_in(found))
    sketch.roots = _roots(found, "", sketch.kinds)
    for key, facts in found.items():
        if key.endswith(":"):
            kinds = _names(found, key)
            moment = Moment(kinds, _roots(found, key, kinds))
            if facts[2]:
                sketch.kept.append(moment)
            else:
                sketch.moments[key[:-1]] = moment
    return sketch


def check_life_goes_on(disk: SimulatedStorage, highest_ino: int, seed: object, steps: int = 25) -> None:
    """More operations, a kill, a clean end, fsck; every new inode number is a new one."""
    fs = opened(disk)
    found = tree(fs)
    fs.store.close()
    if any(":" in path or node[2] == ROOT_OF_CLONE for path, node in found.items() if path):
        goes_on = tree_script(seed, steps, what_there_is(found, seed))
    else:
        goes_on = script(f"after {seed}", steps, names_in(found))
    life = Life(disk, goes_on)
    life.highest_ino = highest_ino
    life.run()
    life._made(life.fs.mknod(1, b"one more", 0o644).ino)
    last = tree(life.fs)
    if highest_ino % 2:
        life.settle()
        life.fs.flush()
        life.fs.collect()
        assert life.fs.store.index.referenced_chunks() == {}, "all is packed"
        check_same(tree(life.fs), last, f"flushed and collected after {seed}")
    life.drop()
    check_clean(disk, f"killed after the second life {seed}")
    fs = opened(disk)
    check_same(tree(fs), last, f"killed after the second life {seed}")
    fs.close()
    check_clean(disk, f"closed after the second life {seed}")
    fs = opened(disk)
    assert fs.replayed_records == 0, "a clean end leaves nothing to replay"
    check_same(tree(fs), last, f"closed after the second life {seed}")
    fs.store.close()


def check_cut_in_recovery(cut: Cut, found: Tree, rng: random.Random, share: float = 1.0) -> int:
    """A second cut in the middle of recovery changes nothing of what the next one finds."""
    disk = WatchedDisk(root=cut.disk.kill().root)
    again: list[SimulatedStorage] = []

    def look() -> None:
        if rng.random() < share:
            again.append(disk.crash(rng))

    disk.watcher = look
    fs: FileSystem = opened(disk)
    look()
    disk.watcher = None
    fs.store.close()
    for second in again:
        check_same(shown(second), found, f"{cut}, and another one during recovery")
    return len(again)
