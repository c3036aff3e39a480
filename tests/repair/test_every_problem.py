"""Each kind of damage that fsck can tell is made, told, mended, and mended for good; nothing else changes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.trees import Tree
from tests.packed_stores import flip, packs
from tests.repair.stores import check_life_goes_on, is_found, make, mend, shown, unlike
from tests.test_checker import ROW_DAMAGE as NAME_DAMAGE
from tests.test_checker import damage
from tests.test_checker_packs import PARTS
from tests.test_checker_packs import ROW_DAMAGE as PACK_DAMAGE

Damage = Callable[[Path], object]
SMALL = {"/a/b", "/a/b/small"}

CHANGED: dict[str, set[str]] = {
    "an entry without an inode": SMALL,
    "a lost entry": SMALL,
    "an entry in a file": SMALL,
    "a name with a slash": {"/a/b/small", "/a/b/a_b"},
    "a name that is dots": {"/a/b/small", "/a/b/_.."},
    "a cookie too large": {"/a/b"},
    "a directory of its own below itself": {"/a", "/a/b", "/a/b/c", "/a/b/hard", "/a/b/noise", "/a/b/small"},
    "a segment without a file": {"/a/b/noise"},
    "no extents at all": {
        *("/a/b/hard", "/a/b/noise", "/a/b/small", "/a/copy", "/a/file", "/a/text"),
        *("/grown", "/last", "/sparse"),
    },
    "an attribute of nobody": {"/a/file", "/a/b/hard"},
    "a link without a target": {"/a", "/a/soft"},
}
"""Paths that are other than before, by the name of the damage; after all others there is none."""

FOUND_AGAIN: dict[str, set[str]] = {
    "an entry without an inode": {"inode-11"},
    "a lost entry": {"inode-11"},
    "an entry in a file": {"inode-11"},
    "a directory of its own below itself": {
        *("inode-3", "inode-3/c", "inode-3/hard", "inode-3/noise", "inode-3/small"),
    },
    "a segment without a file": {"inode-888"},
}
"""What is in /lost+found afterwards, by the name of the damage."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of which all others are copies."""
    return make(tmp_path_factory.mktemp("made") / "store")


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "store"))


def check_changes(before: Tree, after: Tree, name: str) -> None:
    """Nothing is other than before but what is expected after a damage of that name."""
    differences = unlike(after, before)
    changed = {
        path
        for path in before.keys() | after.keys()
        if any(repr(path) in line or f": {path} " in line for line in differences)
    }
    assert changed == CHANGED.get(name, set()), differences
    found = {path.removeprefix("/lost+found/") for path in after if is_found(path)} - {"/lost+found"}
    assert found == FOUND_AGAIN.get(name, set())


@pytest.mark.parametrize("name", NAME_DAMAGE)
def test_damage_to_the_namespace(store: Path, name: str) -> None:
    before = shown(store)
    sql, arguments, _ = NAME_DAMAGE[name]
    damage(store, sql, *arguments(store))
    mended = mend(store)
    check_changes(before, mended.tree, name)


@pytest.mark.parametrize("name", PACK_DAMAGE)
def test_damage_to_what_the_index_knows_of_packs(store: Path, name: str) -> None:
    before = shown(store)
    damage(store, PACK_DAMAGE[name][0])
    mended = mend(store)
    check_changes(before, mended.tree, name)


@pytest.mark.parametrize("name", PARTS)
def test_damage_to_the_tables_of_a_pack(store: Path, name: str) -> None:
    before = shown(store)
    path = packs(store)[-1]
    flip(path, PARTS[name](path))
    mended = mend(store)
    check_changes(before, mended.tree, name)


def test_much_at_once(store: Path) -> None:
    """Damages that do not touch each other, in one store."""
    before = shown(store)
    for name in ("a lost entry", "a wrong number of entries", "links of a directory", "a sequence behind"):
        sql, arguments, _ = NAME_DAMAGE[name]
        damage(store, sql, *arguments(store))
    for name in ("a block of another checksum", "blob_bytes", "next_pack", "a blob counted too often"):
        damage(store, PACK_DAMAGE[name][0])
    mended = mend(store)
    assert mended.tree["/a/file"] == before["/a/file"]
    check_life_goes_on(store)
