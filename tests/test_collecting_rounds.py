"""Passes of the packer between two rounds of a collection: what was dead may be in use when it goes on."""

from pathlib import Path

import pytest

from tests.packed_stores import check, make, noise, opened, packs, write_pack


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store")


def test_passes_between_the_rounds_find_what_was_dead(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.collection.ROUND_BLOBS", 1)
    with opened(store) as fs:
        for number in range(6):
            write_pack(fs, {f"/dead-{number}": noise(number, 60_000)})
        write_pack(fs, {"/thin": noise(10, 50_000), "/gone": noise(11, 50_000)})
        for name in [*(f"/dead-{number}" for number in range(6)), "/gone"]:
            fs.remove(name)
        fs.checkpoint()
        work = fs.begin_collect(eager=True)
        rounds = 0
        while fs.run_collect(work):
            fs.commit_collect(work)
            fs.end_collect(work)
            rounds += 1
            if rounds == 2:
                stored = {pack.name for pack in packs(store)}
                for number in (3, 4):  # of packs that this collection holds for dead
                    fs.write_bytes(f"/again-{number}", noise(number, 60_000))
                fs.write_bytes("/gone", noise(11, 50_000))
                fs.write_bytes("/new", noise(12, 50_000))
                assert fs.flush() > 0
                assert len({pack.name for pack in packs(store)} - stored) == 1, "only what is new was stored"
                fs.checkpoint()
                fs.resume_collect(work)
        report = fs.finish_collect(work)
        assert report.packs_kept == 0
        assert (report.packs_removed, rounds) == (4, 5)
        contents = {f"/again-{number}": noise(number, 60_000) for number in (3, 4)}
        contents |= {"/thin": noise(10, 50_000), "/gone": noise(11, 50_000), "/new": noise(12, 50_000)}
        assert {name: fs.read_bytes(name) for name in contents} == contents
    check(store)
    with opened(store) as fs:
        assert {name: fs.read_bytes(name) for name in contents} == contents


def test_a_collection_goes_on_after_a_checkpoint_only(store: Path) -> None:
    with opened(store) as fs:
        write_pack(fs, {"/one": noise(1, 50_000)})
        work = fs.begin_collect(eager=True)
        fs.write_bytes("/two", noise(2, 50_000))
        fs.checkpoint()
        fs.pack(everything=True)
        fs.write_bytes("/three", b"younger than the index")
        with pytest.raises(RuntimeError, match="younger than the last pass"):
            fs.resume_collect(work)
        fs.abandon_collect(work)
