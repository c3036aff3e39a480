"""Space comes back: what is dead goes, what is live stays readable, and a store that was emptied is small."""

import tarfile
from pathlib import Path

import pytest

import vfs
from tests.packed_stores import check, make, noise, opened, packs, text, write_pack
from vfs import FileSystem
from vfs.backing.garbage import AUTOMATIC, EAGER, PackFigures, choose_packs
from vfs.limits import MIB

KIB = 1024


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store")


def size_of(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


# --- which packs --------------------------------------------------------------------------------


def figures(number: int, raw: int, dead: int) -> PackFigures:
    return PackFigures(number, f"{number:064x}", raw // 2, 10, raw, 1, dead)


def chosen(packs: list[PackFigures], *, eager: bool) -> list[int]:
    return [pack.id for pack in choose_packs(packs, EAGER if eager else AUTOMATIC)]


def test_dead_packs_come_first_and_then_the_thinnest() -> None:
    packs = [figures(1, 100 * MIB, 60 * MIB), figures(2, 90 * MIB, 90 * MIB), figures(3, 80 * MIB, 70 * MIB)]
    assert chosen(packs, eager=False) == [2, 3, 1]


def test_a_background_collection_leaves_what_is_little() -> None:
    thin = [figures(1, 40 * MIB, 20 * MIB), figures(2, 100 * MIB, 30 * MIB)]
    assert chosen(thin, eager=False) == []
    assert chosen(thin, eager=True) == [1, 2]
    assert chosen([figures(1, 100 * MIB, 5 * MIB)], eager=True) == []


def test_small_packs_are_merged_when_there_are_enough() -> None:
    small = [figures(number, 3 * MIB, 0) for number in range(1, 17)]
    assert len(chosen(small, eager=False)) == 16
    assert chosen(small[1:], eager=False) == []
    assert len(chosen(small[:2], eager=True)) == 2
    assert chosen(small[:1], eager=True) == []
    assert chosen([*small[:1], figures(99, 120 * MIB, 0)], eager=True) == []


def due(fs: FileSystem) -> bool:
    return fs.gc_due


def test_a_background_collection_is_due_when_it_would_do_something(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.collecting.AUTOMATIC", EAGER)
    monkeypatch.setattr("vfs.collection.AUTOMATIC", EAGER)
    with opened(store) as fs:
        write_pack(fs, {"/kept": noise(1, 20_000), "/gone": noise(2, 20_000)})
        assert not due(fs)
        fs.remove("/gone")
        fs.checkpoint()
        assert not due(fs), "it is not looked all the time"
        monkeypatch.setattr(fs, "_surveyed_at", -100.0)
        fs.write_bytes("/more", b"x")
        fs.checkpoint()
        assert due(fs)
        assert fs.collect(eager=False).packs_rewritten == 1
        assert not due(fs)
    check(store)


def test_a_thin_log_is_packed_and_not_looked_at_for_ever(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.collecting.DEAD_LOG_BYTES", 100_000)
    with opened(store) as fs:
        for number in range(20):
            fs.write_bytes(f"/{number}", noise(number, 10_000))
        for number in range(19):
            fs.remove(f"/{number}")
        fs.checkpoint()
        fs.roll_log()
        assert due(fs)
        found = fs.collect(eager=False)
        assert found.log_freed_bytes > 180_000
        assert not due(fs)
        assert fs.read_bytes("/19") == noise(19, 10_000)
    check(store)


# --- what comes of it -----------------------------------------------------------------------------


def test_nothing_to_do(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/file": noise(1, 50_000)})
        before = packs(store)
        found = fs.collect()
        assert found.packs == 1
        assert (found.packs_removed, found.packs_rewritten, found.moved_bytes, found.freed_bytes) == (0,) * 4
        assert packs(store) == before
    check(store)


def test_a_dead_pack_goes_and_nothing_is_copied(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/kept": noise(1, 50_000)})
        write_pack(fs, {"/gone": noise(2, 60_000)})
        gone = packs(store)[0]
        fs.remove("/gone")
        found = fs.collect()
        assert (found.packs, found.packs_removed, found.packs_rewritten) == (2, 1, 0)
        assert found.dead_bytes == 60_000
        assert found.moved_bytes == 0
        assert found.freed_bytes > 60_000
        assert not gone.exists()
        assert len(packs(store)) == 1
        assert fs.read_bytes("/kept") == noise(1, 50_000)
    check(store)


def test_a_thin_pack_is_rewritten(store: Path) -> None:
    with opened(store) as fs:
        contents = {f"/{number}": noise(number, 20_000) for number in range(10)}
        write_pack(fs, contents)
        before = packs(store)
        for number in range(6):
            fs.remove(f"/{number}")
        found = fs.collect()
        assert (found.packs, found.packs_removed, found.packs_rewritten) == (1, 0, 1)
        assert found.dead_bytes == 120_000
        assert found.moved_bytes == 80_000
        assert 110_000 < found.freed_bytes < 130_000
        assert not before[0].exists()
        assert packs(store)[0].stat().st_size < 90_000
        for number in range(6, 10):
            assert fs.read_bytes(f"/{number}") == noise(number, 20_000)
        again = fs.collect()
        assert (again.packs_removed, again.packs_rewritten, again.dead_bytes) == (0, 0, 0)
    check(store)


def test_small_packs_become_one(store: Path) -> None:
    with opened(store) as fs:
        for number in range(5):
            write_pack(fs, {f"/{number}": noise(number, 10_000)})
        assert len(packs(store)) == 5
        found = fs.collect()
        assert (found.packs_rewritten, found.moved_bytes, found.dead_bytes) == (5, 50_000, 0)
        assert len(packs(store)) == 1
        assert [fs.read_bytes(f"/{number}") for number in range(5)] == [noise(n, 10_000) for n in range(5)]
    check(store)


def test_rounds_are_bounded(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.collection.ROUND_BYTES", 30_000)
    with opened(store) as fs:
        for number in range(8):
            write_pack(fs, {f"/{number}": noise(number, 10_000)})
        fs.checkpoint()
        work = fs.begin_collect(eager=True)
        rounds = 0
        while fs.run_collect(work):
            rounds += 1
            assert work.round is not None
            assert work.round.sealed is not None
            assert sum(blob.length for blob in work.round.sealed.blobs) <= 30_000
            fs.commit_collect(work)
            fs.end_collect(work)
        assert rounds == 3
        assert fs.finish_collect(work).packs_rewritten == 8
        assert [fs.read_bytes(f"/{number}") for number in range(8)] == [noise(n, 10_000) for n in range(8)]
    check(store)


def test_many_dead_packs_go_in_several_rounds(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.collection.ROUND_BLOBS", 3)
    with opened(store) as fs:
        for number in range(6):
            write_pack(fs, {f"/{number}": noise(number, 10_000)})
        for number in range(6):
            fs.remove(f"/{number}")
        assert fs.collect().packs_removed == 6
        assert packs(store) == []
    check(store)


def test_an_emptied_store_is_small(tmp_path: Path) -> None:
    store = tmp_path / "store"
    vfs.mkfs(store)
    with opened(store) as fs:
        for folder in range(20):
            fs.make_directory(f"/d{folder}")
            for number in range(200):
                fs.write_bytes(f"/d{folder}/some-file-{number}", text(folder * 200 + number, 3000))
        fs.write_bytes("/large", noise(9, 3 * MIB))
        fs.flush()
        for folder in range(20):
            for number in range(200):
                fs.remove(f"/d{folder}/some-file-{number}")
        fs.write_bytes("/late", noise(10, 2 * MIB))
        for entry in fs.listdir("/"):
            fs.remove("/" + entry.decode())
        fs.checkpoint()
        assert size_of(store) > 4 * MIB
        found = fs.collect()
        fs.wait_until_freed()
        assert size_of(store) < MIB, "while it is open"
        assert found.log_freed_bytes > 2 * MIB
        assert found.index_freed_bytes > 0
    assert size_of(store) < MIB
    check(store)


def test_the_index_of_a_version_1_store_becomes_small_again(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parent / "formats" / "v1-closed.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    store = tmp_path / "store"
    with opened(store) as fs:
        fs.make_directory("/d")
        for number in range(6000):
            fs.mknod(fs.resolve("/d").ino, b"a rather long name of a file %d" % number, 0o644)
        fs.checkpoint()
        for number in range(6000):
            fs.remove(f"/d/a rather long name of a file {number}")
        fs.checkpoint()
        assert size_of(store) > MIB
        fs.collect()
        fs.wait_until_freed()
        assert size_of(store) < MIB
        fs.write_bytes("/new", noise(1, 1000))
    check(store)


def test_a_dry_run_tells_the_same_and_changes_nothing(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {f"/{number}": noise(number, 20_000) for number in range(10)})
        write_pack(fs, {"/gone": noise(77, 30_000)})
        write_pack(fs, {"/small": noise(78, 5_000)})
        fs.remove("/gone")
        for number in range(3):
            fs.remove(f"/{number}")
        before = packs(store)
        told = fs.collect(dry_run=True)
        assert packs(store) == before
        done = fs.collect()
        for name in ("packs", "packs_removed", "packs_rewritten", "dead_bytes", "moved_bytes"):
            assert getattr(told, name) == getattr(done, name), name
        assert (done.packs, done.packs_removed, done.packs_rewritten) == (3, 1, 2)
        assert told.freed_bytes == pytest.approx(done.freed_bytes, abs=3000)
    check(store)


def test_progress_is_told(store: Path) -> None:
    told: list[tuple[int, int, str]] = []
    with opened(store) as fs:
        write_pack(fs, {f"/{number}": noise(number, 20_000) for number in range(10)})
        fs.remove("/0")
        fs.remove("/1")
        fs.collect(progress=lambda done, total, what: told.append((done, total, what)))
    assert told[0][:2] == (0, 160_000)
    assert told[-1][:2] == (160_000, 160_000)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_a_shared_blob_stays_until_its_last_file_goes(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/one": noise(1, 40_000)})
        write_pack(fs, {"/two": noise(1, 40_000)})
        assert len(packs(store)) == 1, "the same data is stored once"
        fs.remove("/one")
        assert fs.collect().dead_bytes == 0
        assert fs.read_bytes("/two") == noise(1, 40_000)
        fs.remove("/two")
        assert fs.collect().packs_removed == 1
    check(store)


def test_dead_data_that_is_written_again_lives(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/one": noise(1, 40_000)})
        fs.remove("/one")
        fs.checkpoint()
        write_pack(fs, {"/two": noise(1, 40_000)})
        assert fs.collect().dead_bytes == 0
        assert fs.read_bytes("/two") == noise(1, 40_000)
    check(store)


# --- online ---------------------------------------------------------------------------------------


def test_a_reader_keeps_the_old_pack(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/read": noise(1, 40_000), "/gone": noise(2, 40_000)})
        old = packs(store)[0]
        fs.remove("/gone")
        plan = fs.begin_read(fs.resolve("/read").ino, 0, 40_000)
        fs.collect()
        assert old.exists()
        assert fs.run_read(plan) == noise(1, 40_000)
        fs.end_read(plan)
        fs.checkpoint()
        assert not old.exists()
        assert fs.read_bytes("/read") == noise(1, 40_000)
    check(store)


def test_a_pack_that_a_reader_kept_goes_at_the_next_opening(store: Path) -> None:
    fs = opened(store)
    write_pack(fs, {"/read": noise(1, 40_000), "/gone": noise(2, 40_000)})
    old = packs(store)[0]
    fs.remove("/gone")
    fs.begin_read(fs.resolve("/read").ino, 0, 40_000)
    fs.collect()
    fs.sync()
    fs.store.close()  # killed
    assert old.exists()
    report = vfs.check(store)
    assert report.clean
    assert len(report.notes) == 2
    with opened(store) as fs:
        assert not old.exists()
        assert fs.read_bytes("/read") == noise(1, 40_000)
    check(store)


def test_files_change_between_the_steps(store: Path) -> None:
    with opened(store) as fs:
        contents = {f"/{number}": noise(number, 20_000) for number in range(10)}
        write_pack(fs, contents)
        for number in range(4):
            fs.remove(f"/{number}")
        fs.checkpoint()
        work = fs.begin_collect(eager=True)
        fs.remove("/4")
        fs.write_bytes("/5", b"new")
        fs.clone_range(fs.resolve("/6").ino, 0, 20_000, fs.write_bytes("/clone", b"").ino, 0)
        assert fs.run_collect(work)
        fs.remove("/6")
        fs.checkpoint()
        fs.commit_collect(work)
        fs.write_bytes("/7", b"newer")
        fs.end_collect(work)
        assert not fs.run_collect(work)
        assert fs.read_bytes("/clone") == noise(6, 20_000)
        assert fs.read_bytes("/8") == noise(8, 20_000)
        fs.checkpoint()
        assert fs.collect().dead_bytes == 60_000, "/4, /5 and /7"
        assert fs.read_bytes("/clone") == noise(6, 20_000)
    check(store)


def test_a_log_that_names_what_was_packed_anew_needs_a_checkpoint_first(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/file": noise(1, 40_000)})
        fs.write_bytes("/other", noise(2, 9_000))
        fs.checkpoint()
        fs.clone_range(fs.resolve("/other").ino, 0, 9_000, fs.write_bytes("/clone", b"").ino, 0)
        fs.pack(everything=True)
        with pytest.raises(RuntimeError, match="after a checkpoint"):
            fs.begin_collect(eager=True)
        fs.collect()
        assert fs.read_bytes("/clone") == noise(2, 9_000)
    check(store)


def test_a_cancelled_collection_leaves_nothing(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {f"/{number}": noise(number, 20_000) for number in range(10)})
        fs.remove("/0")
        fs.remove("/1")
        fs.checkpoint()
        before = packs(store)
        work = fs.begin_collect(eager=True, progress=lambda done, total, what: cancel(done))

        def cancel(done: int) -> None:
            work.cancelled = done > 50_000

        assert not fs.run_collect(work)
        assert packs(store) == before
        assert fs.store.rows.unsettled_packs() == []
        assert fs.collect().packs_rewritten == 1
    check(store)
