"""`vfs fsck` of stores with snapshots and clones, and of mounts of them: the same words, the same result."""

import os
from pathlib import Path

import pytest

from tests.cli.shell import vfs
from tests.packed_stores import flip, packs
from tests.snapshots.checked_stores import NEW, make


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    make(tmp_path / "kept")
    return tmp_path / "kept"


def test_what_is_counted(kept: Path) -> None:
    ran = vfs("fsck", "--data", kept)
    assert ran.code == 0, ran.out
    assert "2 snapshots, 2 clones" in ran.out


@pytest.mark.mounted
def test_a_mounted_store(kept: Path, point: Path) -> None:
    assert vfs("mount", kept, point).code == 0
    assert vfs("clone", point, "two:copy/a", point / "again").code == 0
    (point / "again" / "file").write_bytes(NEW * 10)
    os.unlink(point / "copy" / "kept")
    assert vfs("snapshot", "create", point, "three").code == 0
    assert vfs("rollback", point, "one").code == 0
    assert vfs("snapshot", "delete", point, "two").code == 0
    (point / "after").write_bytes(NEW)
    document = vfs("fsck", "--data", "--json", point).document
    assert document["problems"] == []
    assert document["counts"]["snapshots"] == 3  # one, three, and what was before the rollback
    flip(packs(kept)[0], 100)
    document = vfs("fsck", "--data", "--json", point).document
    assert document["files_damaged"], document
    assert all(Path(point, *path.split("/")[1:]).exists() for path in document["files_damaged"])


@pytest.mark.mounted
def test_a_mounted_snapshot(kept: Path, point: Path) -> None:
    assert vfs("mount", kept, point, "--snapshot", "one").code == 0
    document = vfs("fsck", "--data", "--json", point).document
    assert document["problems"] == []
    assert document["counts"]["snapshots"] == 2
