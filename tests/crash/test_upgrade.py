"""An old store is upgraded when it is opened to be written: a power cut at any call of that leaves a store of
the old version or of today's with the same files, and the next opening ends what was begun.

The old store is one of today's whose superblock, tables and folders are made what they were.
"""

import errno
import random

import pytest

from tests.crash.afterwards import check_clean, check_life_goes_on, check_same, shown
from tests.crash.disks import WatchedDisk, new_disk, sync_all
from tests.crash.extent import LIVES, LONG, tell
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.steps import GC_STAGES, PACK_STAGES, PACKING, Step, script, without
from tests.crash.trees import tree
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.superblock import FORMAT, NAME, Superblock
from vfs.errors import VfsError

WAYS = 4 if LONG else 1
OLD_VERSIONS = range(1, FORMAT)
CHECKPOINTING = ("begin", "gather", "gather_rest", "commit", "end", "reopen")

WITHOUT_TREES = """
DROP TABLE branch; DROP TABLE tree; DROP TABLE snapshot; DROP TABLE pruning;
DROP INDEX inode_gen; DROP INDEX entry_gen; DROP INDEX extent_gen; DROP INDEX xattr_gen;
UPDATE meta SET value = 2 WHERE key = 'schema';
DELETE FROM meta WHERE key IN ('generation', 'next_tree');
"""
"""To the tables of versions 2 and 3."""

WITHOUT_PACKS = """
DROP INDEX extent_chunk;
ALTER TABLE extent DROP COLUMN chunk;
DROP TABLE blob; DROP TABLE block; DROP TABLE pack;
UPDATE meta SET value = 1 WHERE key = 'schema';
DELETE FROM meta WHERE key IN ('blob_bytes', 'referenced_bytes', 'next_blob', 'next_block', 'next_pack');
"""


def older(disk: SimulatedStorage, version: int) -> WatchedDisk:
    """The store as that version would have left it, killed; with version 1 nothing was packed."""
    old = WatchedDisk(1, root=disk.kill().root)
    block = Superblock.read(old)
    options = block.options if version > 1 else {}
    old.overwrite(NAME, Superblock(block.uuid, block.created_ns, options, version).encode())
    take_back(old, WITHOUT_TREES)
    if version == 1:
        take_back(old, WITHOUT_PACKS)
        assert old.list("packs") == []
        del old.root.names["packs"]
    sync_all(old.root)
    return WatchedDisk(1, root=old.root)


def take_back(old: WatchedDisk, statements: str) -> None:
    """Take out what an older version did not have."""
    connection = old.index_connection(INDEX_NAME, read_only=False)
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "TRUNCATE")
    with connection:
        connection.execute(statements)
    connection.close()


def old_steps(seed: int, version: int) -> list[Step]:
    """What an old store can have seen, half of it in its log alone."""
    packing = PACKING if version == 1 else PACK_STAGES + GC_STAGES
    steps = without(script(f"upgrade {seed}", 80), "lose", *packing, *CHECKPOINTING)
    return [*steps[:30], Step("checkpoint"), *steps[30:]]


@pytest.mark.parametrize("version", OLD_VERSIONS)
@pytest.mark.parametrize("seed", LIVES)
def test_a_power_cut_at_any_call_of_an_upgrade(seed: int, version: int) -> None:
    steps = old_steps(seed, version)
    rng = random.Random(seed)
    disk = new_disk()
    life = Life(disk, steps).run()
    expected = tree(life.fs)
    life.drop()
    old = older(disk, version)
    life = Life(old, [Step("flush"), Step("collect_all")])
    check_same(tree(life.fs), expected, "upgraded")
    life.run()
    check_same(tree(life.fs), expected, "packed")
    life.drop()
    old = older(disk, version)
    found: list[tuple[int, SimulatedStorage]] = []
    old.watcher = lambda: found.extend((old.calls, old.crash(rng)) for _ in range(WAYS))
    fs = opened(old)
    old.watcher = None
    upgrading = old.calls
    fs.flush()
    fs.store.close()
    for call, after in found:
        where = f"cut at call {call} of an upgrade"
        check_same(shown(after), expected, where)
        assert Superblock.read(after).format == FORMAT
        assert after.exists("packs")
        check_clean(after, f"{where}, and done again")
    highest = max(node[0][0] for path, node in expected.items() if path)
    check_life_goes_on(rng.choice(found)[1], highest, f"upgrade {seed}")
    assert {call for call, _ in found} == set(range(upgrading))
    tell(f"upgrade from version {version}", seed, cuts=len(found))


@pytest.mark.parametrize("version", OLD_VERSIONS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_upgrade_that_fails_is_refused_and_done_later(code: int, version: int) -> None:
    steps = old_steps(0, version)
    disk = new_disk()
    life = Life(disk, steps).run()
    expected = tree(life.fs)
    life.drop()
    number = 0
    while True:
        old = older(disk, version)
        old.faults = [Fault(code, skip=number)]
        try:
            fs = opened(old)
        except (OSError, VfsError):
            pass
        else:
            check_same(tree(fs), expected, f"call {number} failed, and the store was opened")
            failed = old.faults.pop().times == 0
            fs.store.close()
            if not failed:
                break  # there are not so many calls
        old.faults = []
        for after in (old.kill(), old.crash()):
            check_same(shown(after), expected, f"call {number} of an upgrade failed")
            check_clean(after, f"call {number} of an upgrade failed")
        number += 1
    assert number > {1: 10, 2: 5, 3: 5}[version]
