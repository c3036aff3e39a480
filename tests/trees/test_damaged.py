"""An export of a store in which some things cannot be read: these are reported, all else comes out."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import vfs
from tests.packed_stores import noise
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import Fill
from vfs.limits import SEGMENT_BYTES

CONTENT = noise(1, 10_000)


def change(store: Path, statement: str, *arguments: object) -> None:
    """As if SQLite's own checksums had not seen it."""
    connection = apsw.Connection(str(store / "index.db"))
    connection.execute(statement, arguments)
    assert connection.changes() >= 1
    connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Files in folders; /a/large has two segments."""
    path = tmp_path / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        fs.make_directory("/a/b", parents=True)
        for name in ("/a/first", "/a/b/inner", "/a/large", "/z"):
            fs.write_bytes(name, CONTENT)
        fs.write(fs.resolve("/a/large").ino, SEGMENT_BYTES + 5, CONTENT)
    return path


INO = "(SELECT ino FROM entry WHERE name=CAST(? AS BLOB))"
DAMAGE: dict[str, Callable[[Path], None]] = {
    "a/first": lambda store: change(store, f"UPDATE extent SET map=x'c1' WHERE ino={INO}", "first"),
    "a/large": lambda store: change(
        store, f"UPDATE extent SET map=x'c1' WHERE segment=1 AND ino={INO}", "large"
    ),
    "z": lambda store: change(store, f"UPDATE extent SET map=? WHERE ino={INO}", _too_long(), "z"),
}


def _too_long() -> bytes:
    segment = ExtentMap()
    segment.replace(0, [Fill(20_000, 7)])
    return segment.encode()


@pytest.mark.parametrize("path", DAMAGE)
def test_a_file_whose_map_is_damaged_is_reported(store: Path, tmp_path: Path, path: str) -> None:
    DAMAGE[path](store)
    with vfs.open(store, read_only=True) as fs:
        report = vfs.export_tree(fs, "/", tmp_path / "out")
    assert report.problem_count == 1
    assert report.problems[0].startswith(f"{path}: damaged index: ")
    found = {each.relative_to(tmp_path / "out").as_posix() for each in (tmp_path / "out").rglob("*")}
    assert found == {"a", "a/b", "a/first", "a/b/inner", "a/large", "z"} - {path}
    assert (tmp_path / "out/a/b/inner").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_listed_is_reported(store: Path, tmp_path: Path) -> None:
    with vfs.open(store) as fs:
        for number in range(500):
            fs.write_bytes(f"/a/b/{number:03}-a-name-that-stands-in-one-place-of-the-index-only", b"")
    index = store / "index.db"
    data = bytearray(index.read_bytes())
    at = data.index(b"250-a-name-that-stands-in-one-place")
    data[at] ^= 1
    index.write_bytes(data)
    with vfs.open(store, read_only=True) as fs:
        report = vfs.export_tree(fs, "/", tmp_path / "out")
    assert report.problem_count == 1
    assert report.problems[0].startswith("a/b: damaged index: ")
    assert (tmp_path / "out/a/first").read_bytes() == CONTENT
    assert (tmp_path / "out/z").read_bytes() == CONTENT
