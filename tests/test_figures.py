"""What `vfs info` adds up: sums over the index, and the ratios of the steps."""

from pathlib import Path

import pytest

import vfs
from vfs.backing.index import Index
from vfs.backing.places import BlobEntry, BlockEntry, SealedPack
from vfs.backing.storage import DirectoryStorage
from vfs.backing.sums import Sums, read_sums
from vfs.figures import data_figures

SUMS = Sums(
    lsn=9,
    raw_bytes=100,
    raw_chunks=1,
    referenced_bytes=900,
    blob_bytes=300,
    dead_blob_bytes=50,
    dead_bytes=20,
    blocks=2,
    block_bytes=350,
    compressed_bytes=140,
    packs=1,
    pack_bytes=150,
    lost_bytes=30,
)


def test_steps() -> None:
    figures = data_figures(SUMS, logical_bytes=2000, log_bytes=40, index_bytes=10)
    assert figures["logical_bytes"] == 2000
    assert figures["allocated_bytes"] == 1000
    assert figures["unique_bytes"] == 400
    assert figures["stored_bytes"] == 200
    assert figures["dead_bytes"] == 20
    assert figures["lost_bytes"] == 30
    assert figures["ratios"] == {
        "holes_and_fills": 2.0,
        "deduplication": 2.5,
        "storing": 2.0,
        "in_all": 10.0,
        "compression": 2.5,
    }


def test_an_empty_store_has_no_ratios_but_of_what_is_there(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        figures = fs.info()
    assert figures["allocated_bytes"] == figures["unique_bytes"] == figures["backlog_bytes"] == 0
    assert figures["ratios"]["holes_and_fills"] is None
    assert figures["ratios"]["compression"] is None
    assert figures["packs"] == figures["dead_bytes"] == 0
    assert figures["stored_bytes"] == figures["log_bytes"] + figures["index_bytes"]


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    vfs.mkfs(tmp_path / "store")
    return DirectoryStorage(tmp_path / "store")


def test_sums_over_the_index(storage: DirectoryStorage) -> None:
    index = Index.open(storage, read_only=False)
    blocks = [BlockEntry(1, 1, 64, 500, 1000, 1, 7), BlockEntry(2, 1, 564, 300, 300, 0, 7)]
    blobs = [
        BlobEntry(b"a" * 32, 1, 1, 0, 600),
        BlobEntry(b"b" * 32, 2, 1, 600, 400),
        BlobEntry(b"c" * 32, 3, 2, 0, 300),
    ]
    with index.transaction() as transaction:
        transaction.begin_pack(3, 2)
        transaction.begin_pack(1, 1)  # one that is still being written counts nowhere
        transaction.put_pack(SealedPack(1, "f" * 64, 950, blocks, blobs, moved=False))
        transaction.add_blob_references({1: 3, 3: 1}, 2100)
        transaction.add_references({4: 1234, 5: 66})
        transaction.add_meta({"lost_bytes": 12})
    sums = read_sums(index)
    index.close()
    assert sums == Sums(
        lsn=0,
        raw_bytes=1300,
        raw_chunks=2,
        referenced_bytes=2100,
        blob_bytes=900,
        dead_blob_bytes=400,
        dead_bytes=200,
        blocks=2,
        block_bytes=1300,
        compressed_bytes=800,
        packs=1,
        pack_bytes=950,
        lost_bytes=12,
    )
