"""Stores that earlier versions wrote are read as they were, and can be written on."""

import subprocess
from pathlib import Path

import pytest

import vfs
from tests.formats.tree import HERE, plant, plant_lost, plant_packed, plant_trees, seen, seen_everywhere

ARCHIVES = sorted(path.name for path in HERE.glob("v*.tar.gz"))

LOST = [
    ("/folder/text", 700, 100),
    ("/lost", 6, 94),
    ("/lost-clone", 5000, 50),
    ("/packed-noise", 20_000, 100),
]


@pytest.fixture
def expected(name: str, tmp_path: Path) -> dict[str, str]:
    """What the tree looks like in a store of today."""
    vfs.mkfs(tmp_path / "today")
    with vfs.open(tmp_path / "today") as fs:
        plant(fs)
        if not name.startswith("v1-"):
            plant_packed(fs)
        if name >= "v3-":
            plant_lost(fs)
        if name >= "v4-":
            plant_trees(fs)
        return seen_everywhere(fs)


def test_there_are_golden_stores() -> None:
    wanted = [f"v{version}-{end}.tar.gz" for version in (1, 2, 3, 4) for end in ("closed", "crashed")]
    assert wanted == ARCHIVES


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_golden_store(name: str, tmp_path: Path, expected: dict[str, str]) -> None:
    subprocess.run(["tar", "-xzf", HERE / name, "-C", tmp_path], check=True)
    store = tmp_path / "store"
    check(store, name)
    with vfs.open(store, read_only=True) as fs:
        assert seen_everywhere(fs) == expected
    with vfs.open(store) as fs:
        assert seen_everywhere(fs) == expected
        fs.write_bytes("/new", b"written today")
    with vfs.open(store) as fs:
        assert fs.read_bytes("/new") == b"written today"
        fs.remove("/new")
        assert seen_everywhere(fs) == expected
    check(store, name)
    with vfs.open(store) as fs:  # of whatever format it was: it can do now what a store of today can
        fs.create_snapshot("today")
        fs.write_bytes("/folder/new", b"after it")
        fs.clone("today", 1, b"clone of today")
        fs.rollback("today")
        assert seen(fs) == {path: text for path, text in expected.items() if path.startswith("b")}
        assert fs.exists(f".snapshots/{fs.snapshots()[-1].name}/clone of today/folder")
    check(store, name)


def check(store: Path, name: str) -> None:
    """Clean, and the lost ranges are those that were planted."""
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
    lost = [(found.path, found.offset, found.length) for found in report.lost]
    assert lost == (LOST if name >= "v3-" else [])
