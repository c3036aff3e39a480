"""Rows of packed data: numbers never come twice, sums follow, a swap happens only where nothing changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs.backing.pack_rows import FIRST_KEY, PackRows
from vfs.backing.places import COMING, THERE, BlobEntry, BlockEntry, SealedPack, hash_prefix
from vfs.errors import IndexDamaged
from vfs.filesystem import FileSystem


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def rows(fs: FileSystem) -> Iterator[PackRows]:
    found = PackRows(fs.store.index)
    yield found
    found.close()


def sealed(rows: PackRows, *lengths: int) -> SealedPack:
    """A pack with one block that holds blobs of these lengths."""
    numbers = rows.begin_pack(len(lengths), 1)
    block = BlockEntry(numbers.first_block, numbers.pack, 64, 100, sum(lengths), 1, (1 << 64) - 5)
    blobs = [
        BlobEntry(bytes([200 + at]) * 32, numbers.first_blob + at, block.id, sum(lengths[:at]), length)
        for at, length in enumerate(lengths)
    ]
    return SealedPack(numbers.pack, f"{numbers.pack:064x}", 1000, [block], blobs, moved=False)


def test_numbers_are_never_handed_out_twice(rows: PackRows) -> None:
    first, second = rows.begin_pack(10, 2), rows.begin_pack(5, 1)
    assert (first.pack, second.pack) == (1, 2)
    assert second.first_blob == first.blob_end
    assert second.first_block == first.block_end
    assert rows.more_numbers(7, 3) == (second.blob_end, second.block_end)
    assert rows.begin_pack(1, 1).first_blob == second.blob_end + 7


def test_a_pack_is_coming_until_it_is_put(fs: FileSystem, rows: PackRows) -> None:
    pack = sealed(rows, 10, 20)
    assert [row.state for row in rows.unsettled_packs()] == [COMING]
    assert rows.places(0, 10) == []
    with fs.store.index.transaction() as transaction:
        transaction.put_pack(pack)
    assert [(row.id, row.state, row.name) for row in rows.packs()] == [(pack.id, THERE, pack.name)]
    assert rows.unsettled_packs() == []
    places = rows.places(0, 10)
    assert [(place.offset, place.length, place.block) for place in places] == [
        (0, 10, pack.blocks[0]),
        (10, 20, pack.blocks[0]),
    ]
    assert rows.find(hash_prefix(pack.blobs[1].hash)) == places[1:]
    assert rows.meta()["blob_bytes"] == 30


def test_blobs_that_move_keep_number_and_references(fs: FileSystem, rows: PackRows) -> None:
    old, new = sealed(rows, 10), sealed(rows, 10)
    with fs.store.index.transaction() as transaction:
        transaction.put_pack(old)
        transaction.add_blob_references({old.blobs[0].id: 2}, 20)
    moved = [new.blobs[0]._replace(id=old.blobs[0].id, offset=3)]
    with fs.store.index.transaction() as transaction:
        transaction.put_pack(new._replace(blobs=moved, moved=True))
        transaction.set_going([old.id])
    (place,) = rows.places(0, 10)
    assert (place.blob, place.block.id, place.offset) == (old.blobs[0].id, new.blocks[0].id, 3)
    assert rows.meta()["blob_bytes"] == 10
    assert rows.meta()["referenced_bytes"] == 20
    with fs.store.index.transaction() as transaction:
        transaction.drop_packs([old.id])
        transaction.add_blob_references({place.blob: -2}, -20)
        transaction.drop_blobs([(place.blob, place.length)])
    assert rows.meta()["blob_bytes"] == 0
    assert [row.id for row in rows.packs()] == [new.id]


def test_a_blob_that_is_referenced_cannot_be_dropped(fs: FileSystem, rows: PackRows) -> None:
    pack = sealed(rows, 10)
    with fs.store.index.transaction() as transaction:
        transaction.put_pack(pack)
        transaction.add_blob_references({pack.blobs[0].id: 1}, 10)
    with pytest.raises(IndexDamaged, match="referenced again"):
        with fs.store.index.transaction() as transaction:
            transaction.drop_blobs([(pack.blobs[0].id, 10)])
    assert len(rows.places(0, 10)) == 1


def test_a_swap_needs_the_map_that_was_planned(fs: FileSystem, rows: PackRows) -> None:
    fs.write_bytes("/file", b"x1" * 5000)
    fs.checkpoint()
    ((chunk, ino, segment, gen), encoded) = rows.rows_to_pack(FIRST_KEY, 10)[0]
    assert chunk == 1
    with fs.store.index.transaction() as transaction:
        assert not transaction.swap_segment((ino, segment, gen), b"another", encoded, None)
        assert transaction.swap_segment((ino, segment, gen), encoded, encoded, None)
    assert rows.rows_to_pack(FIRST_KEY, 10) == []
