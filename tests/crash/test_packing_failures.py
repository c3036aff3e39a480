"""A disk that fails while data is packed or collected: what failed is given up and tried anew with another
file, the log keeps everything, and the store goes on taking changes.

A failed sync of a pack is not a failed sync of the log: nothing that was answered stands in the pack alone.
"""

import errno
import random
from collections import Counter
from contextlib import nullcontext, suppress
from itertools import pairwise

import pytest

from tests.crash.afterwards import check_clean, check_life_goes_on, check_same, names_in, shown
from tests.crash.disks import WatchedDisk, new_disk
from tests.crash.extent import LIVES, LONG, style, tell
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.packing import packing
from tests.crash.steps import PACKING, Data, Step
from tests.crash.trees import Tree, tree
from tests.simulated.faults import Fault
from vfs.errors import ChunkDamaged, IndexUnwritten, NoSpace, PackUnwritten
from vfs.inode.extents import ChunkRange

CALLS = 400 if LONG else 2
"""At so many calls of a life something fails."""

LIFE_STEPS = 12


def lived(life: Life, where: object) -> int:
    """Do all steps; what fails changes nothing. Returns how many failed."""
    failed = 0
    before = tree(life.fs)
    while life.answered < len(life.steps):
        step = life.steps[life.answered]
        try:
            life.step()
        except (NoSpace, PackUnwritten, IndexUnwritten):
            failed += 1
            check_same(tree(life.fs), before, f"{where}, {step}")
            life.count()
        assert life.fs.failed is None, f"{where}: {step}"
        life.fs.table.check_invariants()
        before = tree(life.fs)
    return failed


def check_all_is_well(life: Life, disk: WatchedDisk, rng: random.Random, where: object) -> None:
    """Nothing is lost, and packing works again."""
    last = tree(life.fs)
    check_same(shown(disk.kill()), last, f"{where}: killed")
    life.fs.sync()
    check_same(shown(disk.crash(rng)), last, f"{where}: a power cut")
    life.settle()
    life.fs.flush()
    life.fs.collect()
    check_same(tree(life.fs), last, f"{where}: packed")
    assert life.fs.store.index.referenced_chunks() == {}
    after = disk.crash(rng)
    check_same(shown(after), last, f"{where}: packed, then a power cut")
    check_clean(after, where)
    life.fs.close()
    check_clean(disk, where)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("seed", LIVES)
def test_a_call_that_fails_while_packing(seed: int, code: int) -> None:
    """Every call to the folder of packs and to the index, from the first pass on."""
    steps = packing(seed)
    disk = new_disk()
    life = Life(disk, steps, **style(seed)).run_to([step.verb for step in steps].index("pack_begin"))
    first = len(disk.history)
    life.run()
    last = len(disk.history)
    life.drop()
    rng = random.Random(f"{seed} {code}")
    calls = [
        (number, call)
        for number, call in enumerate(disk.history)
        if first <= number < last and call[1].startswith(("packs", "index"))
    ]
    calls = sorted(rng.sample(calls, min(CALLS, len(calls))))
    failed = 0
    for number, (kind, name) in calls:
        disk = new_disk()
        life = Life(disk, steps, **style(seed))
        disk.faults = [Fault(code, skip=number - disk.calls, partial=rng.choice((0, 40, 700)))]
        where = f"{kind} of {name}, call {number}, failed"
        failed += lived(life, where)
        assert disk.faults[0].times == 0, where
        disk.faults = []
        check_no_second_sync(disk.history, number, where)
        check_all_is_well(life, disk, rng, where)
    tell(f"failed call, {errno.errorcode[code]}", seed, calls=len(calls), failed=failed)


def check_no_second_sync(history: list[tuple[str, str]], number: int, where: object) -> None:
    """A pack whose sync failed is not synced again: the system may have forgotten what it could not write."""
    kind, name = history[number]
    if kind == "sync" and name.startswith("packs/"):
        assert (kind, name) not in history[number + 1 :], f"{where}, and was tried again"
        assert ("rename", name) not in history[number:], f"{where}, and the pack was used"


def packable(disk: WatchedDisk) -> Life:
    """A life with data in several chunks, all of it in the index."""
    steps = [Step("create", (f"/{number}",)) for number in range(6)]
    steps += [Step("write", (f"/{number}", 0, Data("random", 15_000, number))) for number in range(6)]
    return Life(disk, [*steps, Step("checkpoint")]).run()


def places_of(life: Life) -> dict[str, ChunkRange]:
    """Where the data of each file begins."""
    found = {}
    for name in life.fs.listdir():
        inode = life.fs.resolve(b"/" + name)
        (extent,) = life.fs.table.file(inode).plan(0, 1)
        assert isinstance(extent, ChunkRange)
        found[f"/{name.decode()}"] = extent
    return found


def hashes(found: Tree) -> dict[str, str]:
    """The contents alone: reading changes access times."""
    return {path: node[2] for path, node in found.items() if path}


def test_a_failed_sync_of_a_pack_leaves_everything_in_the_log() -> None:
    disk = new_disk()
    life = packable(disk)
    before, chunks = tree(life.fs), disk.list("log")
    disk.faults = [Fault(errno.EIO, "sync", "packs/new-1")]
    with pytest.raises(PackUnwritten):
        life.fs.pack(everything=True)
    assert disk.faults[0].times == 0
    assert life.fs.failed is None
    assert disk.list("packs") == []
    assert disk.list("log") == chunks
    assert life.fs.store.rows.packs() == []
    check_same(tree(life.fs), before, "the sync of a pack failed")
    check_same(shown(disk.crash()), before, "the sync of a pack failed, then a power cut")
    life.fs.write_bytes("/more", b"the store takes changes")
    life.fs.sync()
    assert life.fs.flush() > 0
    renamed = [name for kind, name in disk.history if kind == "rename"]
    assert renamed[-1] == "packs/new-2", "another file"
    check_no_second_sync(disk.history, disk.history.index(("sync", "packs/new-1")), "the sync of a pack")


def test_a_pack_whose_swap_failed_goes_only_after_a_later_commit() -> None:
    """Until then a power cut could bring the swap back, and with it rows that point into the pack."""
    disk = new_disk()
    life = packable(disk)
    before = tree(life.fs)
    work = life.fs.begin_pack(everything=True)
    assert life.fs.run_pack(work)
    assert work.sealed is not None
    disk.faults = [Fault(errno.EIO, "sync", "index.db")]
    with pytest.raises(IndexUnwritten):
        life.fs.commit_pack(work)
    first = len(disk.history)
    life.fs.abandon_pack(work)
    calls = disk.history[first:]
    unlinked = calls.index(("unlink", f"packs/{work.sealed.name}"))
    assert ("sync", "index.db") in calls[:unlinked]
    check_same(tree(life.fs), before, "the swap failed")
    check_same(shown(disk.crash()), before, "the swap failed, then a power cut")
    assert disk.list("packs") == []


def test_packing_leaves_room_for_deletes() -> None:
    """What is kept for them is not filled with packs of data that does not become smaller."""
    disk = new_disk()
    disk.space_bytes = 4 << 20
    fs = opened(disk)
    rng = random.Random(0)
    with suppress(NoSpace):
        for number in range(1000):
            fs.write_bytes(f"/{number}", rng.randbytes(20_000))
    names = fs.listdir()
    assert len(names) > 100
    fs.checkpoint()
    for _ in range(30):
        with suppress(NoSpace):
            fs.pack(everything=True)
    for name in names:
        fs.remove(b"/" + name)
    fs.checkpoint()
    fs.collect()
    assert disk.room() > 3 << 20
    fs.close()
    check_clean(disk, "emptied")


def test_a_chunk_that_cannot_be_read_while_packing_stays_with_what_it_holds() -> None:
    """An error of the disk that is over later: nothing is lost, all else is packed."""
    disk = new_disk()
    life = packable(disk)
    before = tree(life.fs)
    places = places_of(life)
    chunk = Counter(place.chunk for place in places.values()).most_common()[-1][0]
    assert {place.chunk for place in places.values()} > {chunk}
    disk.faults = [Fault(errno.EIO, "read", f"log/chunk-{chunk:08}", times=1 << 30)]
    life.fs.flush()
    disk.faults = []
    assert set(life.fs.store.index.referenced_chunks()) == {chunk}
    check_same(tree(life.fs), before, "all can be read again")
    last = tree(life.fs)
    check_same(shown(disk.crash()), last, "a power cut")
    life.fs.close()
    check_clean(disk, "closed")
    again = Life(disk, [Step("flush")]).run()
    assert again.fs.store.index.referenced_chunks() == {}, "with the next life it is tried again"
    check_same(tree(again.fs), last, "packed")


def test_a_damaged_chunk_keeps_its_files_and_nothing_else_from_being_packed() -> None:
    disk = new_disk()
    life = packable(disk)
    before = tree(life.fs)
    places = places_of(life)
    victim = places["/1"]
    life.fs.close()
    name = f"log/chunk-{victim.chunk:08}"
    disk.flip(name, victim.start + 100)
    life = Life(disk, [Step("flush"), Step("collect_all")]).run()
    for path in places:
        with pytest.raises(ChunkDamaged) if path == "/1" else nullcontext():
            life.fs.read_bytes(path)
    assert set(life.fs.store.index.referenced_chunks()) == {victim.chunk}
    disk.flip(name, victim.start + 100)
    life.fs.close()
    assert hashes(shown(disk)) == hashes(before)
    check_clean(disk, "the bit is right again")


def test_a_pack_that_cannot_be_read_is_kept_when_it_is_collected() -> None:
    disk = new_disk()
    life = packable(disk)
    life.fs.flush()
    (pack,) = disk.list("packs")
    life.fs.remove("/1")
    life.fs.remove("/2")
    before = tree(life.fs)
    disk.faults = [Fault(errno.EIO, "read", f"packs/{pack}", times=1 << 30)]
    report = life.fs.collect()
    disk.faults = []
    assert report.packs_kept == 1
    assert pack in disk.list("packs")
    check_same(tree(life.fs), before, "the pack can be read again")
    check_same(shown(disk.crash()), before, "a power cut")
    life.fs.close()
    check_clean(disk, "closed")
    life = Life(disk, [Step("collect_all")]).run()
    assert pack not in disk.list("packs"), "with the next life it is tried again"
    check_same(tree(life.fs), before, "collected")


@pytest.mark.parametrize("seed", LIVES)
def test_room_comes_and_goes_while_packing(seed: int) -> None:
    """A disk so small that passes and collections fail again and again, until there is room."""
    disk, rng = new_disk(), random.Random(seed)
    steps = packing(seed)
    life = Life(disk, steps, **style(seed)).run_to([step.verb for step in steps].index("pack_begin"))
    used = disk.space_bytes - disk.room()
    for first, last in pairwise(sorted(rng.sample(range(life.answered, len(steps)), 6))):
        disk.space_bytes = used + rng.choice((20_000, 60_000, 120_000, 1 << 30))
        before = tree(life.fs)
        while first <= life.answered < last or life.answered < first:
            step = life.steps[life.answered]
            try:
                life.step()
            except (NoSpace, PackUnwritten):
                if step.verb in PACKING:
                    check_same(tree(life.fs), before, f"{step} was refused")
                life.count()
            before = tree(life.fs)
        used = min(used, disk.space_bytes - disk.room())
    disk.space_bytes = 1 << 40
    highest = life.highest_ino
    check_all_is_well(life, disk, rng, f"room came and went, life {seed}")
    assert names_in(shown(disk))
    check_life_goes_on(disk, highest, f"{seed} room", LIFE_STEPS)
