"""Mending what the index says of data: rows that packs know better, counts, maps, packs that nobody names."""

from pathlib import Path

import apsw
import pytest

from tests.packed_stores import block, packs
from tests.repair.mending import CONTENTS, apply, change, find, mend
from vfs.backing.storage import DirectoryStorage

ROWS = {
    "offset of a block": "UPDATE block SET offset=offset+1 WHERE id={block}",
    "stored": "UPDATE block SET stored=stored-1 WHERE id={block}",
    "size": "UPDATE block SET size=size-1 WHERE id={block}",
    "codec": "UPDATE block SET codec=1-codec WHERE id={block}",
    "unknown codec": "UPDATE block SET codec=77 WHERE id={block}",
    "checksum": "UPDATE block SET checksum=checksum+1 WHERE id={block}",
    "another pack": "UPDATE block SET pack=3-pack WHERE id={block}",
    "no pack": "UPDATE block SET pack=99 WHERE id={block}",
    "no block": "DELETE FROM block WHERE id={block}",
    "another block": "UPDATE blob SET block=block+1 WHERE id={blob}",
    "a block that is not there": "UPDATE blob SET block=99999 WHERE id={blob}",
    "length": "UPDATE blob SET length=length-1 WHERE id={blob}",
    "place beyond the block": "UPDATE blob SET offset=offset+9999999 WHERE id={blob}",
    "prefix": "UPDATE blob SET prefix=prefix+1 WHERE id={blob}",
    "no blob": "DELETE FROM blob WHERE id={blob}",
    "a blob that nobody has": "INSERT INTO blob VALUES(77777, 1, {block}, 0, 10, 0)",
    "state": "UPDATE pack SET state=7 WHERE id=1",
    "name": "UPDATE pack SET name='" + "b" * 64 + "' WHERE id=1",
    "size of a pack": "UPDATE pack SET size=size+1 WHERE id=1",
    "no row of a pack": "DELETE FROM pack WHERE id=1",
    "all rows": "DELETE FROM pack; DELETE FROM block; DELETE FROM blob WHERE id > 3",
    "reserved numbers": "UPDATE meta SET value=1 WHERE key IN ('next_blob', 'next_block', 'next_pack')",
}


@pytest.mark.parametrize(("what", "codec"), [(what, number % 2) for number, what in enumerate(ROWS)])
def test_a_wrong_row_costs_nothing_as_long_as_the_pack_knows_better(
    storage: DirectoryStorage, store: Path, what: str, codec: int
) -> None:
    wrong = block(store, packs(store)[0], codec=codec)
    connection = apsw.Connection(str(store / "index.db"))
    (blob,) = next(iter(connection.execute("SELECT min(id) FROM blob WHERE block=?", (wrong.id,))))
    connection.close()
    change(store, ROWS[what].format(block=wrong.id, blob=blob))
    assert mend(storage, heals=True) == 0


COUNTS = {
    "references of a blob": "UPDATE blob SET refs=refs+1 WHERE id=2",
    "references of chunks": "UPDATE chunk SET referenced=referenced+5",
    "no references of chunks": "DELETE FROM chunk",
    "sums": "UPDATE meta SET value=value+1 WHERE key IN ('blob_bytes', 'referenced_bytes', 'lost_bytes')",
    "allocated bytes of a segment": "UPDATE extent SET allocated=allocated+1 WHERE ino=2",
    "allocated bytes of a file": "UPDATE inode SET allocated=1 WHERE ino=2",
    "the lowest chunk": "UPDATE extent SET chunk=chunk+1 WHERE chunk IS NOT NULL",
    "a segment of no file": (
        "INSERT INTO extent SELECT 999, 0, 1, allocated, map, chunk FROM extent WHERE ino=2"
    ),
}


@pytest.mark.parametrize("what", COUNTS)
def test_wrong_counts_are_counted_anew(storage: DirectoryStorage, store: Path, what: str) -> None:
    change(store, COUNTS[what])
    assert mend(storage) == 0


def test_a_map_that_cannot_be_decoded_loses_its_segment(storage: DirectoryStorage, store: Path) -> None:
    change(
        store,
        "UPDATE extent SET map=x'c1' WHERE ino=(SELECT ino FROM entry WHERE name=CAST('second' AS BLOB))",
    )
    assert mend(storage) == len(CONTENTS["/second"])


def test_packs_that_nobody_names_go_only_when_the_index_is_whole(
    storage: DirectoryStorage, store: Path
) -> None:
    second = "WHERE ino=(SELECT ino FROM entry WHERE name=CAST('second' AS BLOB))"
    change(store, "DELETE FROM blob WHERE block IN (SELECT id FROM block WHERE pack=2)")
    change(store, "DELETE FROM pack WHERE id=2; DELETE FROM block WHERE pack=2")
    change(store, f"DELETE FROM extent {second}; UPDATE inode SET allocated=0, size=0 {second}")
    plan = find(storage, index_is_whole=False)
    assert len(plan.unknown) == 1
    apply(storage, plan)
    assert (store / plan.unknown[0]).exists()
    plan = find(storage)
    assert plan.waste == [plan.problems[0].split()[0]]
    apply(storage, plan)
    assert not (store / plan.waste[0]).exists()
    assert find(storage).empty
