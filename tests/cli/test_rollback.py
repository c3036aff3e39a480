"""`vfs rollback`: the same words and the same result on a store and on its mount."""

from pathlib import Path

import pytest

import vfs as library
from tests.cli.shell import vfs


@pytest.fixture
def store(tmp_path: Path) -> Path:
    library.mkfs(tmp_path / "store")
    with library.open(tmp_path / "store") as fs:
        fs.write_bytes("/file", b"then")
        fs.create_snapshot("then")
        fs.write_bytes("/file", b"now")
        fs.write_bytes("/new", b"new")
    return tmp_path / "store"


def test_on_a_store_that_is_not_mounted(store: Path) -> None:
    done = vfs("rollback", store, "then")
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first == f"{store}: rolled back to then"
    words = second.split()
    undo = words[words.index("vfs") :]
    assert second.startswith("what it was before is kept as before-rollback-")
    with library.open(store) as fs:
        assert fs.listdir("/") == [b"file"]
        assert fs.read_bytes("/file") == b"then"
    report = vfs("rollback", "--json", *undo[2:]).document
    assert report.keys() == {"store", "rolled_back_to", "kept_as"}
    assert (report["store"], report["rolled_back_to"]) == (str(store), undo[-1])
    assert report["kept_as"] not in ("then", undo[-1])
    with library.open(store) as fs:
        assert fs.read_bytes("/file") == b"now"
        assert fs.read_bytes("/new") == b"new"


@pytest.mark.mounted
def test_on_a_mount_by_either_path(store: Path, tmp_path: Path) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    assert vfs("mount", store, point).code == 0
    try:
        report = vfs("rollback", "--json", point, "then").document
        assert report.keys() == {"store", "rolled_back_to", "kept_as"}
        assert (point / "file").read_bytes() == b"then"
        done = vfs("rollback", store, report["kept_as"])
        assert done.out.splitlines()[0] == f"{store}: rolled back to {report['kept_as']}"
        assert (point / "file").read_bytes() == b"now"
        assert vfs("rollback", point, "never").error.startswith("no snapshot is called 'never'; list them")
    finally:
        assert vfs("umount", point).code == 0
    assert vfs("mount", "--read-only", store, point).code == 0
    try:
        refused = vfs("rollback", point, "then")
        assert refused.code == 1
        assert "read-only" in refused.error
    finally:
        assert vfs("umount", point).code == 0


def test_no_wrong_words(store: Path, tmp_path: Path) -> None:
    unknown = vfs("rollback", store, "never")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.error.startswith("no snapshot is called 'never'")
    assert vfs("rollback", store).code == 2
    assert "no such store" in vfs("rollback", tmp_path / "none", "then").error
    with library.open(store) as fs:
        assert [snapshot.name for snapshot in fs.snapshots()] == ["then"]
