"""Parts of a store that are something else: links, folders, files of others; a repair that was cut short."""

import os
import shutil
from pathlib import Path

import pytest

import vfs
from tests.repair.stores import check_life_goes_on, check_mended, digests, make, mend, shown, unlike
from tests.simulated.faults import Stopped
from vfs.errors import RepairFailed, RepairPending
from vfs.repair import placing
from vfs.repair.repair import repairing

PARTS = ["superblock.json", "index.db", "log", "packs"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with some of everything."""
    return make(tmp_path / "store")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_a_link_is_not_followed(store: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(store / name, elsewhere / name)
    (store / name).symlink_to(elsewhere / name)
    before = digests(elsewhere)
    mend(store)
    assert digests(elsewhere) == before
    assert not (store / name).is_symlink()
    assert (store / "damaged" / "1" / name).is_symlink()
    check_life_goes_on(store)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_something_else(store: Path, name: str) -> None:
    path = store / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("not a folder")
    else:
        path.unlink()
        path.mkdir()
    mend(store)
    check_life_goes_on(store)


def test_a_chunk_and_a_pack_that_are_links(store: Path, tmp_path: Path) -> None:
    for number, path in enumerate(
        [*sorted((store / "log").iterdir())[:1], *sorted((store / "packs").iterdir())[:1]]
    ):
        shutil.move(path, tmp_path / f"part {number}")
        path.symlink_to(tmp_path / f"part {number}")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("part *")}
    mended = mend(store)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("part *")} == before
    assert mended.plan.loss_count > 0


def test_files_of_others_stay_and_are_named(store: Path) -> None:
    (store / "notes.txt").write_text("mine")
    (store / "index.db").unlink()
    mended = mend(store)
    assert (store / "notes.txt").read_text() == "mine"
    assert mended.plan.notes == ["notes.txt is no part of a store: it stays as it is"]


def test_what_is_replaced_is_kept_and_can_be_put_back(store: Path) -> None:
    index = bytearray((store / "index.db").read_bytes())
    index[5000] ^= 1
    (store / "index.db").write_bytes(index)
    mend(store)
    kept = store / "damaged" / "1"
    assert (kept / "index.db").read_bytes() == index
    assert (kept / "repair.json").exists()
    (store / "superblock.json").write_text("{}")
    before = digests(kept)
    mend(store)
    assert digests(kept) == before, "the second repair has a folder of its own"
    assert (store / "damaged" / "2" / "superblock.json").read_text() == "{}"


def test_a_store_whose_repair_was_cut_short_is_opened_by_nobody_but_a_repair(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown(store)
    index = bytearray((store / "index.db").read_bytes())
    index[5000] ^= 1
    (store / "index.db").write_bytes(index)

    def stop(storage: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch, repairing(store) as work:
        work.look()
        patch.setattr(placing, "finish", stop)
        with pytest.raises(Stopped):
            work.act()
    with pytest.raises(RepairPending):
        vfs.open(store)
    assert [problem.kind for problem in vfs.check(store).problems] == ["repair"]
    with repairing(store) as work:
        work.look()
        assert work.needed
        assert work.act().clean
    check_mended(store)
    assert unlike(shown(store), before) == []
    assert oct(os.stat(store / "index.db").st_mode & 0o777) == "0o600"


def test_a_disk_without_room_changes_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(At every call: `crash/test_repair`.)"""
    (store / "index.db").unlink()
    before = digests(store)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with repairing(store) as work:
        work.look()
        monkeypatch.setattr(placing, "copy_file", full)
        with pytest.raises(RepairFailed, match="its disk is full; nothing in it was changed"):
            work.act()
    assert digests(store) == before
