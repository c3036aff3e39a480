"""Mending data: whatever byte of a pack or of the log is wrong, exactly what cannot be read becomes lost, all
else is kept, fsck is clean, and a second repair finds nothing.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

import vfs
from tests.packed_stores import block, flip, noise, packs
from tests.repair.mending import (
    CONTENTS,
    KIB,
    apply,
    check_life_goes_on,
    check_mended,
    find,
    mend,
    opened,
    told,
)
from vfs.backing.chunks import chunk_name
from vfs.backing.creation import CreationOptions
from vfs.backing.pack_format import BLOB, BLOCK, TRAILER_BYTES
from vfs.backing.storage import DirectoryStorage
from vfs.inode.extents import ChunkRange


def test_a_store_without_damage_is_left_alone(storage: DirectoryStorage, store: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    plan = find(storage)
    assert plan.empty
    apply(storage, plan)
    assert {path: path.read_bytes() for path in before} == before


# --- packs ------------------------------------------------------------------------------------------


def test_a_bad_piece_of_a_block_that_is_stored_as_it_is(storage: DirectoryStorage, store: Path) -> None:
    path = packs(store)[0]
    bad = block(store, path, codec=0, number=1)
    flip(path, bad.offset + bad.stored - bad.size + 3 * 32 * KIB + 77)
    assert mend(storage) == 32 * KIB


def test_fsck_names_only_the_files_that_a_bad_piece_hits(store: Path) -> None:
    """Several files lie in the block, and the bad piece is in one of them."""
    contents = {f"/{number}": noise(20 + number, 40 * KIB) for number in range(5)}
    with opened(DirectoryStorage(store)) as fs:
        fs.flush()
        before = packs(store)
        for name, content in contents.items():
            fs.write_bytes(name, content)
        fs.flush()
    (path,) = set(packs(store)) - set(before)
    bad = block(store, path, codec=0)
    assert bad.size == 200 * KIB
    flip(path, bad.offset + bad.stored - bad.size + 100)
    report = vfs.check(store, data=True)
    assert report.problem_count == 1
    assert len(report.files_damaged) == 1
    with vfs.open(store, read_only=True) as fs:
        for name, content in contents.items():
            if name not in report.files_damaged:
                assert fs.read_bytes(name) == content


def test_bad_sums_of_a_block_cost_the_block(storage: DirectoryStorage, store: Path) -> None:
    path = packs(store)[0]
    bad = block(store, path, codec=0)
    flip(path, bad.offset + 3)
    assert mend(storage) == bad.size


def test_a_bad_compressed_block_costs_the_block_in_all_files(storage: DirectoryStorage, store: Path) -> None:
    path = packs(store)[0]
    bad = block(store, path, codec=1)
    flip(path, bad.offset + bad.stored // 2)
    plan = find(storage)
    assert [file.path for file in plan.files] == ["/text", "/copy"]
    assert mend(storage) == 2 * bad.size


PARTS: dict[str, Callable[[bytes], int]] = {
    "header": lambda data: 20,
    "block table": lambda data: _tables(data)[0] + 12,
    "blob index": lambda data: _tables(data)[1] + 40,
    "a hash": lambda data: _tables(data)[1] + 5,
    "trailer": lambda data: len(data) - 30,
}


def _tables(data: bytes) -> tuple[int, int]:
    blocks, blobs = (int.from_bytes(data[-56 + 4 * n : -52 + 4 * n], "little") for n in range(2))
    index = len(data) - TRAILER_BYTES - blobs * BLOB.size
    return index - blocks * BLOCK.size, index


@pytest.mark.parametrize("part", PARTS)
def test_damaged_tables_cost_nothing(storage: DirectoryStorage, store: Path, part: str) -> None:
    path = packs(store)[0]
    flip(path, PARTS[part](path.read_bytes()))
    assert mend(storage) == 0
    assert not path.exists()


def test_damaged_tables_and_a_bad_block(storage: DirectoryStorage, store: Path) -> None:
    path = packs(store)[0]
    bad = block(store, path, codec=1)
    flip(path, bad.offset + bad.stored // 2)
    flip(path, PARTS["trailer"](path.read_bytes()))
    assert mend(storage) == 2 * bad.size


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_a_pack_that_is_cut_off_keeps_what_is_left(
    storage: DirectoryStorage, store: Path, share: float
) -> None:
    path = packs(store)[0]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    lost = mend(storage)
    assert (lost == 0) == (share == 0.999)


def test_a_missing_pack(storage: DirectoryStorage, store: Path) -> None:
    packs(store)[0].unlink()
    assert mend(storage) == sum(len(CONTENTS[path]) for path in ("/noise", "/text", "/copy", "/small"))


def test_all_packs_are_missing_and_their_folder_too(storage: DirectoryStorage, store: Path) -> None:
    shutil.rmtree(store / "packs")
    mend(storage)


def test_packs_under_each_other_s_names(storage: DirectoryStorage, store: Path) -> None:
    one, other = packs(store)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    assert mend(storage, heals=True) == 0


def test_a_pack_that_was_renamed(storage: DirectoryStorage, store: Path) -> None:
    path = packs(store)[0]
    path.rename(path.with_name("a" * 64))
    assert mend(storage, heals=True) == 0


def test_a_blob_that_is_not_what_its_hash_says(
    storage: DirectoryStorage, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader sees that, but nothing that is written anew must be taken for it."""
    with opened(DirectoryStorage(store)) as fs, monkeypatch.context() as patch:
        fs.flush()
        patch.setattr("vfs.backing.pack_session.blake3", lambda data: blake3(bytes(data) + b"!"))
        fs.write_bytes("/raw", noise(9, 3000))
        fs.flush()
    plan = find(storage)
    assert [(file.path, file.ranges) for file in plan.files] == [("/raw", [(0, 3000)])]
    apply(storage, plan)
    contents = {**CONTENTS, "/raw": noise(9, 3000)}
    check_mended(storage, contents, told(plan, contents))
    check_life_goes_on(storage, contents, told(plan, contents))


def test_damaged_blocks_that_nobody_needs_are_dropped(storage: DirectoryStorage, store: Path) -> None:
    with opened(DirectoryStorage(store)) as fs:
        for name in ("/text", "/copy"):
            fs.truncate(fs.resolve(name).ino, 0)
    path = packs(store)[0]
    bad = block(store, path, codec=1)
    flip(path, bad.offset + bad.stored // 2)
    plan = find(storage)
    assert [pack.name for pack in plan.packs] == [path.name]
    assert (plan.files, plan.lost_bytes) == ([], 0)
    apply(storage, plan)
    contents = {**CONTENTS, "/text": b"", "/copy": b""}
    check_mended(storage, contents, {name: bytearray(len(data)) for name, data in contents.items()})


def test_what_is_saved_does_not_rely_on_what_goes(tmp_path: Path) -> None:
    """The sound part of a bad blob is equal to a blob that nobody needs any more, in the pack that goes."""
    store = tmp_path / "store"
    vfs.mkfs(store, CreationOptions(block_bytes=256 * KIB, blob_bytes=64 * KIB, least_blob_bytes=48 * KIB))
    contents = {"/whole": noise(5, 100_000), "/part": noise(5, 100_000)[: 32 * KIB]}
    with opened(DirectoryStorage(store)) as fs:
        for name, content in contents.items():
            fs.write_bytes(name, content)
        fs.flush()
        assert len(fs.store.rows.places(0, 100)) == 1 + len(
            fs.table.file(fs.resolve("/whole")).plan(0, 1 << 20)
        )
        fs.remove("/part")
    (path,) = packs(store)
    bad = block(store, path, codec=0)
    flip(path, bad.offset + bad.stored - bad.size + 40 * KIB)
    storage = DirectoryStorage(store)
    plan = find(storage)
    apply(storage, plan)
    del contents["/part"]
    lost = told(plan, contents)
    assert lost["/whole"].find(1) == 32 * KIB
    check_mended(storage, contents, lost)
    storage.close()


# --- the log ----------------------------------------------------------------------------------------


def raw_place(storage: DirectoryStorage, path: str = "/raw") -> ChunkRange:
    fs = opened(storage, read_only=True)
    inode = fs.resolve(path)
    extent = fs.table.file(inode).plan(0, inode.size)[0]
    fs.store.close_files()
    assert isinstance(extent, ChunkRange)
    return extent


def test_a_bad_piece_of_the_log(storage: DirectoryStorage, store: Path) -> None:
    place = raw_place(storage)
    flip(store / chunk_name(place.chunk), place.start + 2 * 32 * KIB + 5)
    assert mend(storage) == 32 * KIB


@pytest.mark.parametrize("at", [3, 35, 45], ids=["magic", "checksum", "command"])
def test_a_bad_head_of_a_frame_costs_the_frame(storage: DirectoryStorage, store: Path, at: int) -> None:
    place = raw_place(storage)
    flip(store / chunk_name(place.chunk), place.frame + at)
    assert mend(storage) == len(CONTENTS["/raw"])


def test_a_missing_chunk(storage: DirectoryStorage, store: Path) -> None:
    chunk = raw_place(storage).chunk
    with opened(DirectoryStorage(store)) as fs:
        fs.log.roll()
        fs.checkpoint()
        assert chunk != fs.log.chunk_numbers()[-1]
    (store / chunk_name(chunk)).unlink()
    assert mend(storage) == len(CONTENTS["/raw"]) + len(CONTENTS["/tiny"])


# --- all at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_damage_in_many_places(storage: DirectoryStorage, store: Path, seed: int) -> None:
    rng = random.Random(seed)
    chunks = sorted((store / "log").iterdir())
    for _ in range(rng.randrange(2, 9)):
        path = rng.choice([*packs(store), *packs(store), chunks[0]])
        size = path.stat().st_size
        if rng.random() < 0.15 and path not in chunks:
            os.truncate(path, rng.randrange(size))
        elif size > 100:
            flip(path, rng.randrange(64, size))
    assert mend(storage) > 0 or find(storage).empty
