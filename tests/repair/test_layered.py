"""Stores with snapshots, clones and a rollback: what is sound of them stays as it was, nothing of one moment
is ever shown in another, and what cannot be kept is said.
"""

import os
import shutil
from pathlib import Path

import pytest

import vfs
from tests.repair.layered import Look, looks, make_layered
from tests.repair.stores import check_mended, kill, mend
from tests.test_checker import damage
from vfs.backing.storage import DirectoryStorage
from vfs.limits import ROOT_INO
from vfs.repair.repair import repairing

Looks = dict[str, Look]
STEP = 2 if "REPAIR_PAGES" in os.environ else 24
"""Every so many pages are lost, one after the other."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Looks]:
    path = make_layered(tmp_path_factory.mktemp("made") / "store")
    return path, looks(path)


@pytest.fixture
def store(made: tuple[Path, Looks], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "store"))


@pytest.fixture
def before(made: tuple[Path, Looks]) -> Looks:
    return dict(made[1])


def check_same(store: Path, expected: Looks) -> None:
    """Every tree that is there is what it was, and no other is."""
    found = looks(store)
    assert found.keys() == expected.keys()
    for name, seen in found.items():
        assert seen == expected[name], name


def automatic(seen: Looks) -> str:
    """What the rollback has kept."""
    return next(name for name in seen if name.startswith("before-rollback"))


def test_the_store_is_sound(store: Path, before: Looks) -> None:
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
    assert len(before) == 7
    with repairing(store) as work:
        work.look()
        assert not work.needed


def test_a_wrong_count_costs_no_tree_anything(store: Path, before: Looks) -> None:
    damage(store, "UPDATE meta SET value=value+1 WHERE key='files'")
    mended = mend(store)
    assert list(mended.plan.groups) == ["index"], mended.lines
    check_same(store, before)
    with vfs.open(store, pack_workers=0) as fs:
        fs.rollback("one")
        assert fs.clone("three", ROOT_INO, b"another").is_directory
        fs.write_bytes("/another/in it", b"goes on")
        fs.collect()
    found = looks(store)
    assert found[""].pop("/another")[0] == "a clone"
    for path in before["one"].keys() - {"/"}:
        assert found[""][path] == before["one"][path]
    for name in before.keys() - {""}:
        if not name.startswith("clone"):  # the rollback took away what was not there then
            assert found[name] == before[name], name
    assert vfs.check(store, data=True).clean


def test_the_main_tree_is_mended_and_no_other_changes(store: Path, before: Looks) -> None:
    """A name of what is live is lost; the snapshots have it as ever."""
    ino = before[""]["/rolled back"][0]
    damage(store, "DELETE FROM entry WHERE ino=? AND name=?", ino, b"rolled back")
    mended = mend(store)
    found = looks(store)
    assert found[""][f"/lost+found/inode-{ino}"][-1] == before[""]["/rolled back"][-1]
    assert mended.says("has no name")
    for name in before.keys() - {""}:
        assert found[name] == before[name], name


def test_what_a_snapshot_alone_has_lost_costs_that_snapshot(store: Path, before: Looks) -> None:
    """The row of what was removed since: only the first snapshot, and the clone of it, see it."""
    ino = before["one"]["/last"][0]
    damage(store, "DELETE FROM inode WHERE ino=? AND gen=1", before["one"]["/a/file"][0])
    mended = mend(store)
    assert mended.says("snapshot one goes: it is not sound"), mended.lines
    found = looks(store)
    assert "one" not in found
    assert ino
    assert found.keys() >= {"", "two"}
    for name in found:
        if name != "":
            assert found[name] == before[name], name


def test_a_row_with_nonsense_costs_those_who_see_it(store: Path, before: Looks) -> None:
    ino = before["two"]["/new in two"][0]
    damage(store, "UPDATE extent SET map=x'c1' WHERE ino & 1099511627775 = ?", ino)
    mended = mend(store)
    assert mended.says("snapshot two goes: rows that it sees are damaged")
    found = looks(store)
    assert found["one"] == before["one"]
    assert {"two", "three", automatic(before)}.isdisjoint(found)


@pytest.mark.parametrize("table", ["snapshot", "tree", "branch", "pruning"])
def test_a_table_of_trees_that_is_missing(store: Path, before: Looks, table: str) -> None:
    storage = DirectoryStorage(store)
    connection = storage.index_connection("index.db", read_only=False)
    connection.execute(f"DROP TABLE {table}")
    connection.close()
    storage.close()
    mended = mend(store)
    if table != "pruning":
        assert mended.says(f"the table {table} is missing"), mended.lines
    if table == "branch":
        assert mended.says("forks from is lost: only what was written there is left")
        assert looks(store)["two"] == before["two"]
        return
    found = looks(store)[""]
    assert {path: row[-1] for path, row in found.items() if row[0] != "a clone"} == {
        path: row[-1] for path, row in before[""].items() if row[0] != "a clone"
    }


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Many files, whose rows take many pages, written anew in each of several generations, and the contents
    that they have now."""
    path = tmp_path_factory.mktemp("aged") / "store"
    vfs.mkfs(path)
    with vfs.open(path, pack_workers=0) as fs:
        fs.autopilot = False
        for round_ in range(4):
            for number in range(150):
                if (number + round_) % 3 or not round_:
                    name = f"/{number % 2}/{number:03} {'long ' * 8}"
                    fs.make_directory(f"/{number % 2}", parents=True)
                    fs.write_bytes(name, b"%d of round %d " % (number, round_) * 30)
                    fs.set_xattr(fs.resolve(name).ino, b"user.round", b"%d" % round_)
            fs.create_snapshot(f"round {round_}")
            if round_ == 2:
                fs.rollback("round 1")
        for number in range(0, 150, 5):
            fs.remove(f"/{number % 2}/{number:03} {'long ' * 8}")
    return path, now(path)


def now(path: Path) -> dict[str, str]:
    """Of each file that has its name: content and attributes."""
    return {
        name: f"{row[-1]} {row[-2] or ''}"
        for name, row in looks(path)[""].items()
        if not name.startswith("/lost+found") and row[-1] != "lost"
    }


@pytest.mark.parametrize("part", range(2))
def test_a_lost_page_never_lets_an_older_row_show(
    aged: tuple[Path, dict[str, str]], tmp_path: Path, part: int
) -> None:
    """Whatever page of the index is lost: no name comes back, and none leads to what it had before."""
    made, expected = aged
    index = (made / "index.db").read_bytes()
    pages = len(index) // 4096
    kept = set()
    for page in range(1 + part * STEP // 2, pages + 1, STEP):
        copy = tmp_path / f"page{page}"
        shutil.copytree(made, copy)
        spoilt = bytearray(index)
        spoilt[(page - 1) * 4096 + 200] ^= 255
        (copy / "index.db").write_bytes(spoilt)
        with repairing(copy) as work:
            work.look()
            assert work.left.clean, (page, work.left.problems)
            if work.needed:
                assert work.act().clean
        for name, content in now(copy).items():
            assert name in expected, (page, name)
            without = content.partition(" ")[0] + " "  # attributes may be lost
            assert content in (expected[name], without), (page, name)
            if content == expected[name]:
                kept.add(name)
        shutil.rmtree(copy)
    assert kept == expected.keys()


def test_an_index_that_is_gone_takes_its_snapshots_with_it(store: Path) -> None:
    (store / "index.db").unlink()
    mended = mend(store)
    assert mended.says("they are lost with the index")
    assert list(looks(store)) == [""]


def test_tables_of_packed_data_that_are_lost_count_what_every_tree_names(store: Path, before: Looks) -> None:
    """They are made anew when the store is opened: no content that only a snapshot has is taken for waste."""
    storage = DirectoryStorage(store)
    connection = storage.index_connection("index.db", read_only=False)
    connection.execute("DROP TABLE blob; DROP TABLE block; DROP TABLE pack")
    connection.close()
    storage.close()
    with vfs.open(store, pack_workers=0) as fs:
        fs.collect()
    assert vfs.check(store, data=True).clean
    check_same(store, before)


def test_clones_that_only_the_log_has(store: Path, before: Looks) -> None:
    """Made, changed, and one of them removed, after the last checkpoint."""
    fs = vfs.open(store, pack_workers=0)
    fs.autopilot = False
    fs.clone("one", ROOT_INO, b"late")
    fs.write_bytes("/late/a/text", b"late" * 1000)
    fs.clone("two", fs.resolve("/late").ino, b"inside")
    fs.write_bytes("/late/inside/more", b"more")
    gone = fs.clone("two", ROOT_INO, b"gone")
    fs.write_bytes("/gone/x", b"x")
    fs.drop_clone(gone.ino)
    fs.sync()
    kill(fs, store)
    expected = looks(store)
    assert len(expected) == len(before) + 2
    damage(store, "UPDATE meta SET value=value+1 WHERE key='files'")
    mend(store)
    check_same(store, expected)


def test_a_clone_whose_name_is_lost_comes_to_lost_and_found(store: Path, before: Looks) -> None:
    damage(
        store, "DELETE FROM entry WHERE name=? AND ino>1099511627776 AND parent & 1099511627775 = 2", b"clone"
    )
    mended = mend(store)
    assert mended.says("has no name"), mended.lines
    found = looks(store)
    path = next(path for path, row in found[""].items() if row[0] == "a clone")
    assert path.startswith("/lost+found/")
    assert [name for name in found if name.startswith("clone")]


def test_twice_in_a_row(store: Path, before: Looks) -> None:
    """A store that was repaired is damaged and repaired once more; snapshots of both times stay."""
    damage(store, "UPDATE meta SET value=value+1 WHERE key='files'")
    mend(store)
    with vfs.open(store, pack_workers=0) as fs:
        fs.create_snapshot("between")
        fs.write_bytes("/since", b"since")
    expected = looks(store)
    assert expected["one"] == before["one"]
    damage(store, "UPDATE meta SET value=value+1 WHERE key='files'")
    mend(store)
    check_same(store, expected)
    check_mended(store)
