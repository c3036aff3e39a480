"""Names: what has none goes to /lost+found, what has two has one, what is not allowed is renamed."""

from pathlib import Path

import pytest
from msgspec.msgpack import encode

import vfs
from tests.packed_stores import noise
from tests.repair.stores import FOUND, check_life_goes_on, mend, shown
from tests.test_checker import damage
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import Superblock
from vfs.inode.extents import BlobRange, ChunkRange
from vfs.limits import ROOT_INO


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """/a/b/c/d with a file in each."""
    path = tmp_path / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        fs.make_directory("/a/b/c/d", parents=True)
        for folder in ("/a", "/a/b", "/a/b/c", "/a/b/c/d"):
            fs.write_bytes(f"{folder}/file", noise(len(folder), 5_000))
    return path


def numbers(store: Path) -> dict[str, int]:
    """Inode numbers by path."""
    return {path: node[0][0] for path, node in shown(store).items() if path}


def test_directories_that_lie_in_each_other_come_back_with_all_that_is_in_them(store: Path) -> None:
    known = numbers(store)
    before = shown(store)
    damage(store, "UPDATE entry SET parent=?, cookie=50 WHERE ino=?", known["/a/b/c/d"], known["/a/b"])
    mended = mend(store)
    top = f"{FOUND}/inode-{known['/a/b']}"
    for path in ("/file", "/c/file", "/c/d/file"):
        assert mended.tree[top + path][2] == before[f"/a/b{path}"][2]
    assert mended.says("lies in itself")
    check_life_goes_on(store)


def test_two_loops_at_once(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.make_directory("/x/y", parents=True)
    known = numbers(store)
    damage(store, "UPDATE entry SET parent=ino, cookie=50 WHERE ino=?", known["/a/b/c"])
    damage(store, "UPDATE entry SET parent=?, cookie=50 WHERE ino=?", known["/x/y"], known["/x"])
    mended = mend(store)
    assert mended.tree[f"{FOUND}/inode-{known['/a/b/c']}/d/file"]
    assert mended.tree[f"{FOUND}/inode-{known['/x']}/y"]


def test_a_directory_has_one_name(store: Path) -> None:
    known = numbers(store)
    damage(
        store,
        "INSERT INTO entry(parent, name, gen, ino, cookie, kind) VALUES(1, x'7a', 1, ?, 90, 4)",
        known["/a/b"],
    )
    mended = mend(store)
    assert mended.tree["/a/b"][0][0] == known["/a/b"]
    assert "/z" not in mended.tree
    assert mended.says("has two names")


def test_the_root_has_no_name(store: Path) -> None:
    known = numbers(store)
    damage(
        store,
        "INSERT INTO entry(parent, name, gen, ino, cookie, kind) VALUES(?, x'7a', 1, 1, 90, 4)",
        known["/a"],
    )
    mended = mend(store)
    assert "/a/z" not in mended.tree


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        (b"a/b", "a_b"),
        (b"a\0b", "a_b"),
        (b".", "_."),
        (b"..", "_.."),
        (b"", "_"),
        (b"x" * 300, "x" * 255),
        (b"fil/", "fil_"),
    ],
)
def test_names_that_are_not_allowed(store: Path, name: bytes, becomes: str) -> None:
    damage(store, "UPDATE entry SET name=? WHERE parent=2 AND name=x'66696c65'", name)
    mended = mend(store)
    assert f"/a/{becomes}" in mended.tree


def test_a_name_that_becomes_one_that_is_taken_gets_a_number(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/a/a_b", b"was here first")
    damage(store, "UPDATE entry SET name=x'612f62' WHERE parent=2 AND name=x'66696c65'")
    mended = mend(store)
    assert {"/a/a_b", "/a/a_b.1"} <= mended.tree.keys()


@pytest.mark.parametrize("kind", ["file", "directory", "an earlier one"])
def test_what_is_called_lost_and_found_already(store: Path, kind: str) -> None:
    with vfs.open(store) as fs:
        if kind == "file":
            fs.write_bytes(FOUND, b"a user's")
        else:
            fs.make_directory(FOUND)
            fs.write_bytes(f"{FOUND}/inode-{fs.resolve('/a/file').ino}", b"a user's")
    ino = numbers(store)["/a/file"]
    damage(store, "DELETE FROM entry WHERE ino=?", ino)
    mended = mend(store)
    if kind == "file":
        assert mended.tree[f"{FOUND}.1/inode-{ino}"][0][0] == ino
    else:
        assert mended.tree[f"{FOUND}/inode-{ino}.1"][0][0] == ino
    with vfs.open(store, read_only=True) as fs:
        taken = FOUND if kind == "file" else f"{FOUND}/inode-{ino}"
        assert fs.read_bytes(taken) == b"a user's"


def test_an_inode_whose_row_is_gone_keeps_name_and_content(store: Path) -> None:
    known = numbers(store)
    before = shown(store)
    damage(store, "DELETE FROM inode WHERE ino IN (?, ?)", known["/a/b/file"], known["/a/b/c"])
    mended = mend(store)
    assert mended.tree["/a/b/file"][2] == before["/a/b/file"][2]
    assert mended.tree["/a/b/c/d/file"] == before["/a/b/c/d/file"]
    assert mended.says(f"the attributes of file {known['/a/b/file']} are lost")
    check_life_goes_on(store)


def test_a_file_that_was_open_when_it_was_unlinked_does_not_come_back(store: Path) -> None:
    fs = vfs.open(store)
    ino = fs.resolve("/a/file").ino
    fs.open(ino)
    fs.unlink(fs.resolve("/a").ino, b"file")
    fs.checkpoint()
    fs.store.close()
    damage(store, "UPDATE meta SET value=value+1 WHERE key='files'")
    mended = mend(store)
    assert not any(node[0][0] == ino for path, node in mended.tree.items() if path)
    assert FOUND not in mended.tree


def test_values_of_the_wrong_type_and_absurd_ones(store: Path) -> None:
    """SQLite lets anything into a column."""
    known = numbers(store)
    before = shown(store)
    file = known["/a/file"]
    damage(store, "UPDATE inode SET uid='me', size=-5, mtime=x'00', nlink=1e300 WHERE ino=?", file)
    damage(store, "UPDATE inode SET cookie='next' WHERE ino=?", known["/a/b"])
    damage(store, "UPDATE entry SET cookie=? WHERE ino=?", 2**63 - 1, known["/a/b/c"])
    damage(store, "INSERT INTO entry VALUES(x'31', x'32', 1, 'x', 1, 1)")
    damage(store, "INSERT INTO extent VALUES('x', -1, 1, 0, x'90', NULL)")
    damage(store, "INSERT INTO xattr VALUES(?, 7, 1, 'text')", file)
    damage(store, "UPDATE sequence SET next=? WHERE name='ino'", 2**62)
    mended = mend(store)
    assert mended.tree["/a/file"][2] == before["/a/file"][2]
    assert mended.tree["/a/b/c/d/file"] == before["/a/b/c/d/file"]
    assert numbers(store)["/a/b/c"] == known["/a/b/c"]
    check_life_goes_on(store)
    assert max(numbers(store).values()) < 2**48, ROOT_INO


@pytest.mark.parametrize("number", [2**31, 2**40, 2**63 - 1])
def test_absurd_places_in_maps(store: Path, number: int) -> None:
    known = numbers(store)
    damage(
        store, "UPDATE extent SET map=? WHERE ino=?", encode([BlobRange(5000, number, 0)]), known["/a/file"]
    )
    chunk = encode([ChunkRange(5000, number, 64, 200)])
    damage(store, "UPDATE extent SET map=? WHERE ino=?", chunk, known["/a/b/file"])
    damage(store, "UPDATE meta SET value=? WHERE key='chunk'", number)
    mended = mend(store)
    assert {loss.path for loss in mended.plan.losses} == {"/a/file", "/a/b/file"}
    check_life_goes_on(store)


def test_options_that_cannot_be(store: Path) -> None:
    """Somebody wrote them by hand, with a right checksum."""
    storage = DirectoryStorage(store)
    block = Superblock.read(storage)
    (store / "superblock.json").write_bytes(Superblock(block.uuid, 5, {"block_bytes": -1}).encode())
    storage.close()
    mended = mend(store)
    assert mended.says("it gets default options")
    check_life_goes_on(store)
