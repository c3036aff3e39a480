"""A store without its index, or with a part of it: names from the log, contents from the packs by hash."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3

import vfs
from tests.packed_stores import noise, text
from tests.repair.stores import FOUND, check_life_goes_on, crashed, make, mend, shown, unlike
from vfs.backing.packs import PackFile
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import Superblock
from vfs.limits import ROOT_INO

PAGE_BYTES = 4096


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with some of everything."""
    return make(tmp_path / "store")


def lose_index(store: Path) -> None:
    """The index, with what SQLite has beside it."""
    for path in store.glob("index.db*"):
        path.unlink()


def spoil_root(store: Path, table: str) -> None:
    """Damage the first page of a table."""
    data = bytearray((store / "index.db").read_bytes())
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(bytes((*data[:18], 1, 1, *data[20:])))  # as if it had no log of its own
        sql = "SELECT rootpage FROM sqlite_schema WHERE name=?"
        ((page,),) = connection.execute(sql, (table,)).fetchall()
    data[(page - 1) * PAGE_BYTES + 2000] ^= 1
    (store / "index.db").write_bytes(data)


def hashes(store: Path) -> set[str]:
    """Of all blobs in all packs."""
    storage = DirectoryStorage(store)
    uuid = Superblock.read(storage).uuid
    found = set()
    for name in storage.list("packs"):
        pack = PackFile.open(storage, name, uuid)
        found |= {blob.hash.hex() for blob in pack.blobs()}
        pack.close()
    storage.close()
    return found


def test_a_log_that_goes_back_to_the_beginning_gives_everything_back(tmp_path: Path) -> None:
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        fs.make_directory("/a/b", parents=True)
        fs.write_bytes("/a/file", noise(1, 100_000))
        fs.write_bytes("/a/b/file", b"small")
        fs.rename(ROOT_INO, b"a", ROOT_INO, b"c")
    before = shown(store)
    lose_index(store)
    mended = mend(store)
    assert unlike(mended.tree, before) == []
    assert not any(path.startswith(FOUND) for path in mended.tree)
    check_life_goes_on(store)


def test_what_was_imported_comes_back_by_name(tmp_path: Path) -> None:
    """Its data never was in the log, but where it lies is."""
    store, source = tmp_path / "store", tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for number in range(20):
        (source / "deep" / f"f{number}").write_bytes(text(number, 10_000))
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        vfs.import_tree(fs, source)
    before = shown(store)
    lose_index(store)
    mended = mend(store)
    assert unlike(mended.tree, before) == []


def test_contents_that_only_the_index_named_come_back_by_their_hash(store: Path) -> None:
    known = hashes(store)
    lose_index(store)
    mended = mend(store)
    found = {path.removeprefix(f"{FOUND}/") for path in mended.tree if path.startswith(f"{FOUND}/")}
    assert {name for name in found if len(name) == 64} == known
    with vfs.open(store, read_only=True) as fs:
        for name in known:
            assert blake3(fs.read_bytes(f"{FOUND}/{name}")).hexdigest() == name
        attributes = fs.resolve(FOUND)
    assert attributes.mode == 0o040700
    check_life_goes_on(store)


def test_what_the_log_tells_of_files_has_its_name(store: Path) -> None:
    crashed(store)
    before = shown(store)
    lose_index(store)
    mended = mend(store)
    # /a was made before the log begins: what is in it is there, under the number of the directory.
    folder = f"{FOUND}/inode-{before['/a'][0][0]}"
    for number in range(12):
        assert mended.tree[f"{folder}/new{number}"] == before[f"/a/new{number}"]
    assert mended.says("records 1 to")


def test_no_file_comes_back_under_its_name_with_half_of_what_it_held(store: Path) -> None:
    crashed(store)  # changes the middle of a packed file, and the size of another
    lose_index(store)
    mended = mend(store)
    assert not any(path.endswith(("/noise", "/text")) for path in mended.tree)
    assert mended.says("loses its name") or mended.says("nothing but its name")


def test_each_page_that_is_lost_loses_no_more_than_it_must(store: Path, tmp_path: Path) -> None:
    """Whatever page it is: files that have names and extents read right, and dead contents stay dead."""
    before = shown(store)
    pages = (store / "index.db").stat().st_size // PAGE_BYTES
    dead = 0
    for number in range(0, pages, 2):
        copy = Path(shutil.copytree(store, tmp_path / f"page {number}"))
        data = bytearray((copy / "index.db").read_bytes())
        at = number * PAGE_BYTES
        data[at + 100 : at + 140] = bytes(byte ^ 0x55 for byte in data[at + 100 : at + 140])
        (copy / "index.db").write_bytes(data)
        mended = mend(copy)
        for path, node in mended.tree.items():
            if path and not path.startswith(FOUND) and path in before and node[2] is not None:
                lost = any(loss.path == path for loss in mended.plan.losses)
                assert lost or node[2] == before[path][2], f"page {number + 1}: {path}"
        dead += any("come back" in line for line in mended.lines)
        shutil.rmtree(copy)
    assert 0 < dead < 6, "only where extents are lost there are contents without a name"


def test_what_was_removed_does_not_come_back(store: Path) -> None:
    """Rows on free pages of the index are old, and dead blobs are dead."""
    with vfs.open(store, pack_workers=0) as fs:
        for number in range(400):
            fs.write_bytes(f"/empty/{number}", b"")
        fs.checkpoint()
        for number in range(400):
            fs.unlink(fs.resolve("/empty").ino, b"%d" % number)
        fs.unlink(ROOT_INO, b"last")
    before = shown(store)
    data = bytearray((store / "index.db").read_bytes())
    data[50] ^= 1  # the first page: nothing says any more which table begins where
    (store / "index.db").write_bytes(data)
    mended = mend(Path(shutil.copytree(store, store.with_name("first page"))))
    assert unlike(mended.tree, before) == []
    assert not any(path.startswith(FOUND) for path in mended.tree)
    spoil_root(store, "extent")
    mended = mend(store)
    assert mended.says("come back under /lost+found")
    assert f"{FOUND}/{blake3(text(2, 3_000)).hexdigest()}" not in mended.tree, "it was dead"


def test_everything_but_packs_gone(store: Path) -> None:
    known = hashes(store)
    lose_index(store)
    shutil.rmtree(store / "log")
    (store / "superblock.json").unlink()
    mended = mend(store)
    assert mended.says("it is made anew for store")
    assert {path.rpartition("/")[2] for path in mended.tree if path.startswith(f"{FOUND}/")} == known
    check_life_goes_on(store)
