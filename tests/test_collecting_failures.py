"""A collection that meets damage or a full disk: nothing live is lost, and what can go goes."""

from pathlib import Path

import pytest

import vfs
from tests.packed_stores import block, check, flip, make, noise, opened, packs, write_pack
from tests.test_checker import damage
from vfs import FileSystem
from vfs.backing.storage import Space
from vfs.collecting import Collect
from vfs.errors import DataDamaged, NoSpace


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store")


def test_damaged_live_data_stays_and_all_else_moves(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(store) as fs:
        write_pack(fs, {f"/{number}": noise(number, 20_000) for number in range(10)})
        write_pack(fs, {"/thin": noise(50, 20_000), "/gone": noise(51, 20_000)})
    path = packs(store)[0]
    wrong = block(store, path, codec=0, number=6)
    flip(path, wrong.offset + 5_000)
    damaged = vfs.check(store, data=True).files_damaged
    assert 0 < len(damaged) < 10
    sound = [number for number in range(10) if f"/{number}" not in damaged]
    with opened(store) as fs:
        fs.remove(f"/{sound[0]}")
        fs.remove(f"/{sound[1]}")
        fs.remove("/gone")
        found = fs.collect()
        assert (found.packs_kept, found.packs_rewritten) == (1, 1)
        assert sum("cannot be moved" in record.message for record in caplog.records) == 1
        assert path.exists()
        assert fs.read_bytes("/thin") == noise(50, 20_000)
        for number in sound[2:]:
            assert fs.read_bytes(f"/{number}") == noise(number, 20_000)
        for name in damaged:
            with pytest.raises(DataDamaged):
                fs.read_bytes(name)
        for name in damaged:
            fs.remove(name)
        assert fs.collect().packs_removed == 0, "not tried again in this life"
    assert vfs.check(store, data=True).problem_count == 1
    with opened(store) as fs:
        assert fs.collect().packs_removed == 1
        assert not path.exists()
    check(store)


def test_a_pack_with_damaged_tables_is_kept(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/live": noise(1, 20_000), "/gone": noise(2, 20_000)})
    path = packs(store)[0]
    flip(path, path.stat().st_size - 1)
    with opened(store) as fs:
        fs.remove("/gone")
        assert fs.collect().packs_kept == 1
        assert path.exists()
        fs.remove("/live")
    with opened(store) as fs:
        assert fs.collect().packs_removed == 1, "nothing has to be read from it"
    check(store)


def test_a_pack_whose_rows_cannot_be_right_is_kept(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/gone": noise(1, 20_000)})
        fs.remove("/gone")
        fs.checkpoint()
    damage(store, "UPDATE blob SET length=length+1 WHERE id=(SELECT max(id) FROM blob)")
    with opened(store) as fs:
        assert fs.collect().packs_kept == 1
        assert len(packs(store)) == 1


def test_a_full_disk_leaves_everything_as_it_was(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(store) as fs:
        write_pack(fs, {f"/{number}": noise(number, 20_000) for number in range(10)})
        write_pack(fs, {"/gone": noise(51, 20_000)})
        fs.remove("/0")
        fs.remove("/1")
        fs.remove("/gone")
        fs.checkpoint()
        before = packs(store)
        with monkeypatch.context() as patch:
            patch.setattr("vfs.backing.pack_writer.PackWriter.finish", full)
            with pytest.raises(NoSpace):
                fs.collect()
        assert packs(store) == before[:1], "what was dead is gone, since that needs no room"
        assert fs.store.rows.unsettled_packs() == []
        assert fs.collect().packs_rewritten == 1
    check(store)


def test_rounds_are_as_large_as_there_is_room(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/large": noise(10, 40_000), "/larger": noise(11, 20_000)})
        for number in range(6):
            write_pack(fs, {f"/{number}": noise(number, 10_000), f"/gone{number}": noise(number + 20, 9_000)})
        fs.remove("/larger")
        for number in range(6):
            fs.remove(f"/gone{number}")
        fs.checkpoint()
        # Room for 25 kB, and for what the packs become smaller; nothing is kept back on a disk of no size.
        room = 25_000 + sum(path.stat().st_size for path in packs(store))

        def space() -> Space:
            return Space(0, room - sum(path.stat().st_size for path in packs(store)), 1000, 1000)

        def commit(work: Collect) -> None:
            rooms.append(space().free_bytes)
            FileSystem.commit_collect(fs, work)

        rooms: list[int] = []
        monkeypatch.setattr(fs, "commit_collect", commit)
        monkeypatch.setattr(fs.store.storage, "space", space)
        assert fs.collect().packs_rewritten == 7, "small ones made room for the large one"
        assert len(rooms) > 1
        assert min(rooms) >= 0, "with the new pack beside the old ones"
        assert space().free_bytes > 25_000 + 70_000
        assert fs.read_bytes("/large") == noise(10, 40_000)
        fs.remove("/large")
        write_pack(fs, {"/next": noise(12, 10_000), "/dead": noise(13, 10_000)})
        fs.remove("/dead")
        fs.checkpoint()
        monkeypatch.setattr(fs.store.storage, "space", lambda: Space(0, 0, 1000, 1000))
        with pytest.raises(NoSpace, match="until the old one goes"):
            fs.collect()
    check(store)


def full(*_: object) -> str:
    raise OSError(28, "No space left on device")
