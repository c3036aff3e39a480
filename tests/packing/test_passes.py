"""What a pass leaves: the same content, equal data once, few extents; and when it comes by itself."""

from itertools import pairwise
from pathlib import Path

import pytest

import vfs
from tests.packing.stores import KIB, flat, noise, opened, pack_bytes, rows_of
from vfs import FileSystem
from vfs.backing.creation import CreationOptions
from vfs.inode.extents import BlobRange, ChunkRange, Fill
from vfs.limits import MIB, SEGMENT_BYTES


def test_content_holes_and_figures_are_the_same_after_packing(fs: FileSystem, store: Path) -> None:
    ino = fs.write_bytes("/file", noise(3 * MIB)).ino
    fs.write(ino, 5 * MIB, noise(70_000, 1))
    fs.write(ino, SEGMENT_BYTES - 10_000, noise(50_000, 2))
    fs.write(ino, 4 * MIB, b"A" * 20_000)
    fs.write(ino, SEGMENT_BYTES * 2 + 5, b"small")
    size, allocated = fs.get(ino).size, fs.get(ino).allocated
    content = bytes(fs.read(ino, 0, size))
    holes = [(at, fs.seek_hole(ino, at), fs.seek_data(ino, at)) for at in range(0, size, MIB)]
    assert fs.flush() > 3 * MIB
    for look in range(2):
        assert bytes(fs.read(ino, 0, size)) == content
        assert [(at, fs.seek_hole(ino, at), fs.seek_data(ino, at)) for at in range(0, size, MIB)] == holes
        assert (fs.get(ino).size, fs.get(ino).allocated) == (size, allocated)
        assert not any(isinstance(extent, ChunkRange) for extent in flat(rows_of(fs, "/file")))
        if not look:
            fs.close()
            fs = opened(store)
    assert fs.replayed_records == 0
    assert fs.backlog_bytes == 0
    fs.close()


def test_a_flush_leaves_no_chunk_but_an_empty_one(fs: FileSystem) -> None:
    for number in range(30):
        fs.write_bytes(f"/{number}", noise(300_000, number))
    fs.flush()
    assert len(fs.log.chunk_numbers()) == 1
    assert fs.log.size_bytes < 4096
    assert pack_bytes(fs) > 30 * 300_000
    assert fs.flush() == 0


def test_copies_cost_nothing(fs: FileSystem) -> None:
    data = noise(2 * MIB)
    fs.write_bytes("/a", data)
    fs.flush()
    before = pack_bytes(fs)
    for number in range(5):
        fs.write_bytes(f"/copy {number}", data)
    fs.flush()
    assert pack_bytes(fs) == before
    assert all(fs.read_bytes(f"/copy {number}") == data for number in range(5))


def test_copies_cost_nothing_while_both_are_being_written(fs: FileSystem) -> None:
    data = noise(2 * MIB)
    one, other = fs.write_bytes("/one", b"").ino, fs.write_bytes("/other", b"").ino
    for at in range(0, len(data), 100_000):
        fs.write(one, at, data[at : at + 100_000])
        fs.write(other, at, data[at : at + 100_000])
        if at in (500_000, 1_200_000):
            fs.flush()
    fs.flush()
    assert fs.read_bytes("/one") == fs.read_bytes("/other") == data
    assert flat(rows_of(fs, "/one")) == flat(rows_of(fs, "/other"))
    assert sum(length for (length,) in fs.store.index._all("SELECT length FROM blob WHERE refs>0")) == len(
        data
    )


def test_what_was_deleted_and_comes_again_costs_nothing(fs: FileSystem) -> None:
    data = noise(2 * MIB)
    fs.write_bytes("/a", data)
    fs.flush()
    before = pack_bytes(fs)
    fs.remove("/a")
    fs.checkpoint()
    fs.write_bytes("/b", data)
    fs.flush()
    assert pack_bytes(fs) == before
    assert fs.read_bytes("/b") == data


def test_small_files_share_blocks(fs: FileSystem) -> None:
    for number in range(200):
        fs.write_bytes(f"/{number}", b"line of text %d\n" % number * 100)
    fs.flush()
    (blocks,) = fs.store.index._all("SELECT count(*) FROM block")[0]
    assert blocks <= 4
    assert pack_bytes(fs) < 200 * 1600 // 3
    assert fs.read_bytes("/77") == b"line of text 77\n" * 100


def test_segments_are_one_stream(fs: FileSystem) -> None:
    data = noise(100_000)
    fs.write_bytes("/a", data)
    ino = fs.write_bytes("/b", b"").ino
    fs.write(ino, SEGMENT_BYTES - 40_000, data)
    fs.flush()
    assert [extent.blob for extent in flat(rows_of(fs, "/a")) if isinstance(extent, BlobRange)] == sorted(
        {extent.blob for extent in flat(rows_of(fs, "/b")) if isinstance(extent, BlobRange)}
    )


def test_splinters_are_merged_again(fs: FileSystem) -> None:
    data = bytearray(noise(2 * MIB))
    ino = fs.write_bytes("/a", bytes(data)).ino
    fs.flush()
    whole = len(flat(rows_of(fs, "/a")))
    for at in range(10_000, len(data), 30_000):
        patch = noise(500, at)
        data[at : at + 500] = patch
        fs.write(ino, at, patch)
    fs.checkpoint()
    assert len(flat(rows_of(fs, "/a"))) > 3 * whole
    fs.flush()
    extents = flat(rows_of(fs, "/a"))
    assert len(extents) < 2 * whole
    lengths = dict(fs.store.index._all("SELECT id, length FROM blob"))
    assert all(isinstance(each, BlobRange) and each.length == lengths[each.blob] for each in extents)
    assert fs.read_bytes("/a") == data


def test_without_a_daemon_it_packs_between_operations(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.backlog.COOL_SECONDS", 0.0)
    monkeypatch.setattr("vfs.packing.LOOK_SECONDS", 0.0)
    with vfs.open(store, backlog_limit_bytes=2 * MIB) as fs:
        for number in range(40):
            fs.write_bytes(f"/{number}", noise(MIB, number))
            assert fs.backlog_bytes < 70 * MIB
        assert fs.store.rows.packs()
        assert all(fs.read_bytes(f"/{number}") == noise(MIB, number) for number in range(40))


def test_writers_are_slowed_down_when_too_much_waits(store: Path) -> None:
    with opened(store, backlog_limit_bytes=4 * MIB) as fs:
        delays = []
        for number in range(20):
            delays.append(fs.write_delay_seconds(MIB))
            fs.write_bytes(f"/{number}", noise(MIB, number))
        assert delays[0] == 0
        assert delays[-1] > 0
        assert all(after >= before for before, after in pairwise(delays))
        assert fs.pack_wants_checkpoint
        fs.flush()
        assert fs.write_delay_seconds(MIB) == 0


def test_blobs_may_be_as_small_as_a_store_wants(tmp_path: Path) -> None:
    vfs.mkfs(
        tmp_path / "store", CreationOptions(blob_bytes=8 * KIB, block_bytes=64 * KIB, compression="none")
    )
    with opened(tmp_path / "store") as fs:
        fs.write_bytes("/file", noise(MIB))
        fs.flush()
        assert len(flat(rows_of(fs, "/file"))) > 60
        assert fs.read_bytes("/file") == noise(MIB)


def test_fills_lie_nowhere(fs: FileSystem) -> None:
    ino = fs.write_bytes("/file", b"\xff" * MIB).ino
    fs.truncate(ino, 5 * MIB)
    fs.flush()
    assert all(isinstance(extent, Fill) for extent in flat(rows_of(fs, "/file")))
    assert fs.store.rows.packs() == []
