"""fsck of stores with snapshots: what is damaged is named once, by a live path where there is one."""

from pathlib import Path

import pytest

import vfs
from tests.losing import lose
from tests.packed_stores import flip, noise, packs
from tests.snapshots.checked_stores import OLD


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Each file is a pack of its own: one that all trees show, one of snapshots alone, one of a clone."""
    path = tmp_path / "packed"
    vfs.mkfs(path)
    with vfs.open(path, pack_workers=0) as fs:
        fs.make_directory("folder")
        for number, name in enumerate(("folder/then", "folder/always")):
            fs.write_bytes(name, noise(number, 20_000 + 1000 * number))
            fs.flush()
        fs.create_snapshot("one")
        fs.create_snapshot("two")
        fs.clone("one:folder", fs.resolve("/").ino, b"clone")
        fs.write_bytes("clone/then", b"")
        fs.write_bytes("clone/own", noise(2, 22_000))
        fs.flush()
        fs.create_snapshot("three")
        fs.write_bytes("clone/own", b"")
        fs.remove("folder/then")
    return path


def damaged(store: Path, number: int) -> list[str]:
    """What is named when the pack of a file is damaged, the smallest of them 0."""
    flip(packs(store)[::-1][number], 5000)
    report = vfs.check(store, data=True)
    assert report.problems
    assert report.files_damaged_count == len(report.files_damaged)
    return report.files_damaged


def test_a_damaged_file_of_many_trees_is_named_once_by_its_live_path(packed: Path) -> None:
    assert damaged(packed, 1) == ["/folder/always"]


def test_a_damaged_file_of_snapshots_is_named_in_the_newest(packed: Path) -> None:
    assert damaged(packed, 0) == ["/.snapshots/three/folder/then"]


def test_a_damaged_file_of_a_clone_in_a_snapshot_is_named_there(packed: Path) -> None:
    assert damaged(packed, 2) == ["/.snapshots/three/clone/own"]


def test_a_clone_is_named_when_nothing_live_but_it_has_the_file(packed: Path) -> None:
    with vfs.open(packed) as fs:
        fs.remove("folder/always")
        fs.delete_snapshots(["one", "two", "three"])
    assert damaged(packed, 1) == ["/clone/always"]


def test_damaged_ranges_of_the_log_are_named_alike(tmp_path: Path) -> None:
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store, pack_workers=0) as fs:
        fs.write_bytes("file", b"secret" * 1000)
        fs.create_snapshot("one")
        fs.write_bytes("file", b"public" * 1000)
    chunk = store / "log" / "chunk-00000001"
    data = chunk.read_bytes()
    chunk.write_bytes(data.replace(b"secretsecret", b"secretSECRET", 1))
    report = vfs.check(store, data=True)
    assert report.files_damaged == ["/.snapshots/one/file"]
    assert report.problems[0].message.startswith("segment 0 of inode 2, as of generation 1 of branch 0: ")


def test_lost_ranges_are_listed_once_and_where_they_are_seen(tmp_path: Path) -> None:
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store, pack_workers=0) as fs:
        for name in ("kept", "mended"):
            fs.write_bytes(name, OLD)
            lose(fs, fs.resolve(name), 1000, 500)
        fs.create_snapshot("one")
        fs.clone("one", fs.resolve("/").ino, b"clone")
        fs.write_bytes("mended", OLD)
        fs.write_bytes("clone/mended", OLD)
        fs.write(fs.resolve("clone/kept").ino, 0, b"more")
    report = vfs.check(store, data=True)
    assert report.problems == []
    assert [(lost.path, lost.offset, lost.length) for lost in report.lost] == [
        ("/.snapshots/one/mended", 1000, 500),
        ("/clone/kept", 1000, 500),
        ("/kept", 1000, 500),
    ]
    assert (report.lost_count, report.lost_bytes) == (3, 1500)
