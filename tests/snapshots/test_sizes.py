"""The bytes that only one snapshot holds: what would come back if it alone were deleted."""

import random
from pathlib import Path

import pytest

import vfs
from tests.snapshots.lives import RandomLife
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO
from vfs.snapshots.sizes import exclusive_bytes

LARGE = 300_000


def noise(seed: int, length: int = LARGE) -> bytes:
    """Data that neither compresses nor repeats."""
    return random.Random(seed).randbytes(length)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"


def sizes(fs: FileSystem, *, packed: bool) -> dict[str, int]:
    """As of now, rounded to whole files of noise: packs compress names of blocks, not noise."""
    if packed:
        fs.flush()
    else:
        fs.checkpoint()
    return {name: round(size / LARGE) for name, size in exclusive_bytes(fs.store.index).items()}


@pytest.mark.parametrize("packed", [False, True])
def test_what_only_one_snapshot_holds(store: Path, packed: bool) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("changed", noise(1))
        fs.write_bytes("kept", noise(2))
        fs.write_bytes("removed", noise(3))
        fs.create_snapshot("one")
        assert sizes(fs, packed=packed) == {"one": 0}
        fs.write_bytes("changed", noise(4))
        fs.remove("removed")
        assert sizes(fs, packed=packed) == {"one": 2}
        fs.create_snapshot("two")
        fs.write_bytes("changed", noise(5))
        assert sizes(fs, packed=packed) == {"one": 2, "two": 1}
        fs.create_snapshot("same")
        fs.remove("changed")
        fs.create_snapshot("last")
        assert sizes(fs, packed=packed) == {"one": 2, "two": 1, "same": 1, "last": 0}
        fs.delete_snapshots(["two"])
        assert sizes(fs, packed=packed) == {"one": 2, "same": 1, "last": 0}


def test_what_two_snapshots_share_counts_for_neither(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("file", noise(1))
        fs.create_snapshot("one")
        fs.create_snapshot("two")
        fs.remove("file")
        assert sizes(fs, packed=False) == {"one": 0, "two": 0}
        fs.delete_snapshots(["one"])
        assert sizes(fs, packed=False) == {"two": 1}
        fs.clone("two", ROOT_INO, b"clone")
        assert sizes(fs, packed=False) == {"two": 0}


def test_equal_data_elsewhere_keeps_it_from_counting(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("file", noise(1))
        fs.write_bytes("other", noise(2))
        fs.create_snapshot("one")
        fs.move("file", "moved")
        fs.write_bytes("equal", noise(2))
        fs.remove("other")
        assert sizes(fs, packed=True) == {"one": 0}


def test_of_a_large_file_only_what_was_overwritten_counts(store: Path) -> None:
    with vfs.open(store) as fs:
        ino = fs.write_bytes("file", noise(1, 4 * LARGE)).ino
        fs.create_snapshot("one")
        fs.write(ino, LARGE, noise(2))
        fs.checkpoint()
        assert exclusive_bytes(fs.store.index) == {"one": LARGE}
        fs.truncate(ino, 3 * LARGE)
        fs.checkpoint()
        assert exclusive_bytes(fs.store.index) == {"one": 2 * LARGE}


def test_a_snapshot_alone_holds_the_clone_that_went(store: Path) -> None:
    """Its branch has no other reader, so it would go as a whole."""
    with vfs.open(store) as fs:
        fs.write_bytes("file", noise(1))
        fs.create_snapshot("base")
        clone = fs.clone("base", ROOT_INO, b"clone").ino
        fs.write_bytes("clone/own", noise(2))
        fs.create_snapshot("with-clone")
        fs.drop_clone(clone)
        fs.remove("file")
        assert sizes(fs, packed=False) == {"base": 0, "with-clone": 1}
        fs.delete_snapshots(["base"])
        assert sizes(fs, packed=False) == {"with-clone": 2}


def test_what_was_rolled_back_is_held_by_the_snapshot_of_it(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("file", noise(1))
        fs.create_snapshot("base")
        fs.write_bytes("file", noise(2))
        fs.write_bytes("more", noise(3))
        kept = fs.rollback("base").kept_as
        assert sizes(fs, packed=False) == {"base": 0, kept: 2}


def test_what_was_rolled_back_to_counts_when_it_has_changed_since(store: Path) -> None:
    """The live tree forks from the snapshot, and looks through to what it has not changed itself."""
    with vfs.open(store) as fs:
        fs.write_bytes("changed", noise(1))
        fs.write_bytes("kept", noise(2))
        fs.write_bytes("removed", noise(3))
        fs.create_snapshot("base")
        kept_as = fs.rollback("base").kept_as
        fs.delete_snapshots([kept_as])
        assert sizes(fs, packed=False) == {"base": 0}
        fs.write_bytes("changed", noise(4))
        assert sizes(fs, packed=False) == {"base": 1}
        fs.remove("removed")
        assert sizes(fs, packed=True) == {"base": 2}
        fs.clone("base", ROOT_INO, b"clone")
        assert sizes(fs, packed=True) == {"base": 0}
        fs.remove("clone/changed")
        fs.remove("clone/kept")
        assert sizes(fs, packed=True) == {"base": 1}
        fs.delete_snapshots(["base"])
        assert round(fs.collect().pruned_bytes / LARGE) == 1


@pytest.mark.parametrize("seed", range(4))
def test_it_is_about_what_comes_back(store: Path, seed: int) -> None:
    """In random lives: what is said of a snapshot is what its deletion gives back."""
    with vfs.open(store, pack_workers=0) as fs:
        life = RandomLife(fs, f"sizes {seed}")
        for _ in range(12):
            for _ in range(5):
                life.step()
            life.rng.choice((life.snapshot, life.snapshot, life.clone, life.rollback))()
        told = 0
        while fs.snapshots():
            fs.flush()
            prune_all(fs)
            name = life.rng.choice([snapshot.name for snapshot in fs.snapshots()])
            expected = exclusive_bytes(fs.store.index)[name]
            told += expected
            fs.delete_snapshots([name])
            assert prune_all(fs) == pytest.approx(expected, rel=0.01, abs=2000)
        assert told


def prune_all(fs: FileSystem) -> int:
    """Until nothing more comes of it; the bytes that lost their last reference."""
    found = 0
    while True:
        work = fs.begin_prune(large=True)
        fs.prune(work)
        if not work.rows:
            return found
        found += work.bytes
