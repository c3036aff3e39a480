"""A repair that is cut short at any of its calls: the next one ends in the same store, and nothing that
verified is lost. A full or failing disk leaves a store that is repaired later.
"""

import errno
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

import vfs.repair.found
import vfs.repair.superblock
from tests.crash.afterwards import check_clean, check_life_goes_on, check_same, shown
from tests.crash.disks import ScratchDisk, WatchedDisk, new_disk, sync_all
from tests.crash.extent import LONG, tell
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.steps import script
from tests.crash.trees import Tree
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from tests.simulated.medium import FolderNode
from vfs.backing.chunks import chunk_name, chunk_numbers
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.log_salvage import SalvagedFrame, salvage_frames, survey
from vfs.backing.superblock import NAME, Superblock
from vfs.errors import VfsError
from vfs.repair.repair import Repair

SEEDS = range(8) if LONG else range(2)
SHARE = 1.0 if LONG else 0.5


def lived(seed: int) -> WatchedDisk:
    """A store after a life that ended with a kill: packs, and a log that the index does not have."""
    disk = new_disk(seed)
    life = Life(disk, script(f"repair {seed}", 120)).run()
    for number in range(6):
        ino = life.fs.mknod(1, b"more %d" % number, 0o644).ino
        life.fs.write(ino, number, b"%d" % number * 2000 * number)
    life.fs.sync()
    life.fs.mknod(1, b"a synced mark behind it all", 0o644)
    life.fs.sync()
    life.drop()
    return disk


def layered(seed: int) -> WatchedDisk:
    """The same with snapshots, a clone and a rollback behind it, and a clone that only the log has."""
    disk = new_disk(seed)
    Life(disk, script(f"repair {seed}", 60)).run().drop()
    fs = opened(disk)
    fs.write_bytes("/kept", b"then" * 2000)
    fs.create_snapshot("one")
    fs.write_bytes("/kept", b"now" * 2000)
    fs.clone("one", 1, b"clone")
    fs.write_bytes("/clone/kept", b"in the clone" * 500)
    fs.create_snapshot("two")
    fs.write_bytes("/after", b"after" * 2000)
    fs.rollback("two")
    fs.flush()
    fs.clone("two", 1, b"another")
    for number in range(12):
        fs.write_bytes(f"/another/new {number}", b"%d" % number * 3000)
    fs.sync()
    fs.mknod(1, b"a synced mark behind it all", 0o644)
    fs.sync()
    fs.store.close()
    sync_all(disk.root)  # or chunks that are gone may come back, and what a rollback took away with them
    return disk


def forget(disk: SimulatedStorage, folder: str, name: str) -> None:
    """A file is not there any more, on the medium either."""
    node = disk.root.names[folder] if folder else disk.root
    assert isinstance(node, FolderNode)
    del node.names[name]
    node.durable.pop(name, None)
    node.pending = [change for change in node.pending if change.name != name]


def index_gone(disk: SimulatedStorage) -> None:
    """Also what SQLite has beside it."""
    for name in [name for name in disk.list("") if name.startswith(INDEX_NAME)]:
        forget(disk, "", name)


def superblock_damaged(disk: SimulatedStorage) -> None:
    disk.flip(NAME, 20)


def rows_wrong(disk: SimulatedStorage) -> None:
    """Counts, a lost entry, and a directory that says that it lies elsewhere."""
    connection = disk.index_connection(INDEX_NAME, read_only=False)
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "TRUNCATE")
    with connection:
        connection.execute("UPDATE meta SET value=value+7 WHERE key='files'")
        connection.execute("DELETE FROM entry WHERE cookie=(SELECT max(cookie) FROM entry WHERE parent=1)")
        connection.execute("UPDATE inode SET parent=77 WHERE mode>>12=4 AND ino>1")
    connection.close()


def log_damaged(disk: SimulatedStorage) -> None:
    """A frame in the middle of what is to be replayed has no head any more."""
    uuid = Superblock.read(disk).uuid
    found = survey(disk, uuid)
    frames = [f for f in salvage_frames(disk, uuid, 0, found.synced_lsn) if isinstance(f, SalvagedFrame)]
    place = frames[-7].place
    content = bytearray(disk.content(chunk_name(place.chunk)))
    content[place.frame : place.frame + 60] = bytes(60)
    disk.overwrite(chunk_name(place.chunk), bytes(content))


def chunk_gone(disk: SimulatedStorage) -> None:
    """The first chunk, and the header of the second."""
    numbers = chunk_numbers(disk)
    forget(disk, *chunk_name(numbers[0]).split("/"))
    if len(numbers) > 1:
        disk.flip(chunk_name(numbers[1]), 20)


DAMAGE: dict[str, Callable[[SimulatedStorage], None]] = {
    "index gone": index_gone,
    "superblock": superblock_damaged,
    "rows": rows_wrong,
    "log": log_damaged,
    "chunk": chunk_gone,
}


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What repairs make has one time, so that the trees of two repairs can be compared."""
    monkeypatch.setattr(vfs.repair.found, "now_ns", lambda: 5)
    monkeypatch.setattr(vfs.repair.superblock, "now_ns", lambda: 5)


def repaired(disk: SimulatedStorage) -> bool:
    """Repair a disk; whether there was anything to do."""
    repair = Repair(disk, ScratchDisk)
    try:
        repair.look()
        needed = repair.needed
        if needed:
            report = repair.act()
            assert report.clean, report.problems
        return needed
    finally:
        repair.close()


def whole(disk: SimulatedStorage, expected: Tree, where: str) -> None:
    """A disk that was cut off is repaired to the same tree, and then there is nothing left to do."""
    repaired(disk)
    assert not repaired(disk), f"{where}: a second repair found something"
    check_same(shown(disk.kill()), expected, where)
    check_clean(disk, where)


Cuts = list[tuple[int, SimulatedStorage]]


def cut_through(disk: WatchedDisk, name: str, rng: random.Random, share: float) -> tuple[Tree, Cuts]:
    """Damage a disk and repair it: what it becomes, and what a cut at so many of the calls would leave."""
    DAMAGE[name](disk)
    undisturbed = disk.kill()
    assert repaired(undisturbed)
    expected = shown(undisturbed.kill())
    watched = WatchedDisk(1, root=disk.kill().root)
    cuts: Cuts = []

    def look() -> None:
        if rng.random() < share:
            cuts.append((watched.calls, watched.crash(rng)))

    watched.watcher = look
    assert repaired(watched)
    watched.watcher = None
    cuts.append((watched.calls, watched.crash(rng)))
    return expected, cuts


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_at_any_call_of_a_repair(seed: int, name: str) -> None:
    rng = random.Random(seed)
    expected, cuts = cut_through(lived(seed), name, rng, SHARE)
    for call, cut in cuts:
        whole(cut, expected, f"{name}, life {seed}, cut at call {call} of a repair")
    highest = max(node[0][0] for path, node in expected.items() if path)
    check_life_goes_on(rng.choice(cuts)[1], highest, f"repair {seed}")
    tell(f"repair of {name}", seed, cuts=len(cuts))


@pytest.mark.parametrize("name", ["index gone", "superblock", "rows", "log"])
def test_a_power_cut_at_any_call_of_a_repair_of_many_trees(name: str) -> None:
    expected, cuts = cut_through(layered(0), name, random.Random(name), 1.0 if LONG else 0.1)
    assert ("one:/" in expected) == (name in ("superblock", "log")), "the others hit rows that it shows"
    for call, cut in cuts:
        whole(cut, expected, f"{name} of many trees, cut at call {call} of a repair")
    tell(f"repair of {name} of many trees", 0, cuts=len(cuts))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_repair_that_fails_at_any_call_is_done_later(code: int) -> None:
    disk = lived(0)
    rows_wrong(disk)
    undisturbed = disk.kill()
    assert repaired(undisturbed)
    expected = shown(undisturbed.kill())
    number = 0
    while True:
        failing = disk.kill()
        failing.faults = [Fault(code, skip=number)]
        with suppress(VfsError):
            repaired(failing)
        if failing.faults.pop().times:
            break  # there are not so many calls
        whole(failing, expected, f"call {number} of a repair failed")
        number += 1 if LONG else 2
    assert number > 10
