"""Stores of older formats are repaired too, and are of today's format then."""

import tarfile
from pathlib import Path

import pytest

import vfs
from tests.repair.stores import check_mended, digests
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import FORMAT, Superblock
from vfs.repair.repair import repairing

STORES = sorted((Path(__file__).parent.parent / "formats").glob("v*.tar.gz"))


@pytest.mark.parametrize("archive", STORES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def test_a_damaged_index_of_an_older_store(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    store = next(path.parent for path in tmp_path.rglob("superblock.json"))
    with repairing(store) as work:
        work.look()
        assert not work.needed, work.found.problems
    before = vfs.check(store).counts
    index = bytearray((store / "index.db").read_bytes())
    index[40] ^= 1
    (store / "index.db").write_bytes(index)
    damaged = digests(store)
    with repairing(store) as work:
        work.look()
        assert digests(store) == damaged
        assert work.needed
        assert work.act().clean
    check_mended(store)
    after = vfs.check(store).counts
    for what in ("files", "directories", "logical_bytes", "packs", "blobs"):
        assert after[what] == before[what]
    storage = DirectoryStorage(store)
    assert Superblock.read(storage).format == FORMAT
    storage.close()
