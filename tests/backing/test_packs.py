"""Packs: what the writer was given the reader gives back, and a name says all that is in a pack."""

import errno
import os
import random
import time
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tests.backing.made_packs import UUID, PackedStore, file_of, media, text
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault, Stopped
from vfs.backing.codecs import Codec
from vfs.backing.directory_file import DirectoryFile
from vfs.backing.pack_writer import PackWriter, new_name
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER, BlobEntry, Piece
from vfs.backing.storage import DirectoryStorage
from vfs.errors import PackDamaged
from vfs.limits import KIB


@given(
    contents=st.lists(
        st.builds(
            lambda seed, length, packs_well: (text if packs_well else media)(length, seed),
            st.integers(0, 10**6),
            st.integers(1, 40_000),
            st.booleans(),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_what_was_written_is_read_again(contents: list[bytes]) -> None:
    store = PackedStore()
    sealed, numbers = store.put(contents)
    pack = PackFile.open(store.storage, sealed.name, UUID)
    assert (pack.id, pack.size) == (sealed.id, sealed.size)
    assert pack.size == len(store.storage.content(file_of(sealed)))
    assert pack.blocks() == sealed.blocks
    entries = list(pack.blobs())
    assert entries == sorted(sealed.blobs)
    blocks = {block.id: block for block in pack.blocks()}
    for content, number in zip(contents, numbers, strict=True):
        entry = pack.find(blake3(content).digest())
        assert entry is not None
        assert entry.id == number
        data = pack.read_block(blocks[entry.block])
        assert bytes(data[entry.offset : entry.offset + entry.length]) == content
    assert sum(block.size for block in sealed.blocks) == sum(entry.length for entry in entries)


def test_a_hash_that_is_not_there_is_not_found() -> None:
    store = PackedStore()
    sealed, _ = store.put(text(50, seed) for seed in range(200))
    pack = PackFile.open(store.storage, sealed.name, UUID)
    there = {entry.hash for entry in sealed.blobs}
    chance = random.Random(0)
    for digest in (bytes(32), b"\xff" * 32, *(chance.randbytes(32) for _ in range(500))):
        assert pack.find(digest) is None
    for digest in there:
        other = digest[:31] + bytes([digest[31] ^ 1])
        assert pack.find(other) is None
        assert pack.find(digest) is not None


def test_the_bytes_of_a_pack_are_those_of_the_format() -> None:
    """The worked example of FORMAT.md, made by hand and by the writer."""
    disk = SimulatedStorage()
    disk.make_folder(PACKS_FOLDER)
    writer = PackWriter(disk, UUID, 3)
    content = b"hello, pack\n"
    block = writer.add_block(9, content, None)
    name = writer.finish([BlobEntry(blake3(content).digest(), 5, 9, 0, len(content))])
    writer.publish()
    found = disk.content(f"{PACKS_FOLDER}/{name}")
    assert found == example()
    assert name == blake3(found[:64] + found[84:]).hexdigest()
    assert (block.offset, block.stored, block.size, block.codec) == (64, 20, 12, Codec.NONE)


def example() -> bytes:
    """The bytes that FORMAT.md shows."""
    lines = Path(__file__).resolve().parents[2].joinpath("FORMAT.md").read_text().splitlines()
    start = lines.index("### Worked example: a pack")
    data = b""
    for line in lines[start:]:
        if line.startswith("## "):
            break
        offset, _, rest = line.partition("  ")
        if len(offset) == 4 and not set(offset) - set("0123456789abcdef"):
            assert int(offset, 16) == len(data), line
            data += bytes.fromhex(rest.split("|")[0])
    return data


def test_equal_contents_in_other_packs_have_other_names() -> None:
    first, second = PackedStore(), PackedStore()
    one, _ = first.put([text(1000)])
    same, _ = second.put([text(1000)])
    assert one.name == same.name, "all that is in a pack is the same"
    assert store_again(second).name != one.name


def store_again(store: PackedStore) -> PackFile:
    sealed, _ = store.put([text(1000, 1)])
    return PackFile.open(store.storage, sealed.name, UUID)


def test_data_stored_as_it_is_comes_without_a_copy(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.make_folder(PACKS_FOLDER)
    writer = PackWriter(storage, UUID, 1)
    content = media(300 * KIB)
    block = writer.add_block(1, content, None)
    name = writer.finish([])
    writer.publish()
    pack = PackFile.open(storage, name, UUID)
    found = pack.read_piece(block, 10, 200 * KIB)
    assert isinstance(found, memoryview)
    assert type(found.obj).__name__ == "mmap"
    assert found == content[10 : 10 + 200 * KIB]
    pack.close()
    assert found == content[10 : 10 + 200 * KIB], "what was handed out stays"
    storage.close()


def test_the_kernel_is_told_that_readers_of_a_pack_jump_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it fetches megabytes behind a block, where what lies before that is in memory."""
    storage = DirectoryStorage(tmp_path)
    storage.make_folder(PACKS_FOLDER)
    writer = PackWriter(storage, UUID, 1)
    writer.add_block(1, media(KIB), None)
    name = writer.finish([])
    writer.publish()
    told: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, *advice: told.append(advice))
    pack = PackFile.attach(storage, name, UUID)
    assert told == [(0, 0, os.POSIX_FADV_RANDOM)]
    pack.close()
    storage.close()


@pytest.mark.serial  # a neighbour that drops the kernel's caches takes pages that were asked for
@pytest.mark.parametrize("whole", [True, False], ids=["run", "piece"])
def test_a_run_is_here_only_when_all_of_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Not when its first and last pages are: who reads then would wait for the disk."""
    storage = DirectoryStorage(tmp_path)
    storage.make_folder(PACKS_FOLDER)
    writer = PackWriter(storage, UUID, 1)
    contents = [media(40 * KIB, seed) for seed in range(2)]
    blocks = [writer.add_block(number, content, None) for number, content in enumerate(contents, 1)]
    name = writer.finish([])
    writer.publish()
    pack = PackFile.attach(storage, name, UUID)
    file = storage.open(f"{PACKS_FOLDER}/{name}")
    begin, end = blocks[0].offset, blocks[1].offset + blocks[1].stored
    for _ in range(100):  # pages that another CPU has just had in hand stay at first
        file.drop_cache(0)
        if not file.resident(1, (begin + end) // 2):
            break
        time.sleep(0.01)
    else:
        pytest.skip("this file system keeps its pages, or cannot tell")
    file.pread(1, begin)
    file.pread(1, end - 1)
    run = [Piece(block, 0, block.size) for block in blocks]
    with monkeypatch.context() as patched:
        patched.delattr(DirectoryFile, "pread")  # it waits
        if whole:
            assert pack.read_run(run, wait=False) is None
        else:
            assert pack.piece_resident(blocks[0], 0, 1) is None
    deadline = time.monotonic() + 60
    while (found := pack.read_run(run, wait=False)) is None:
        assert time.monotonic() < deadline, "nobody has asked the disk for it"
        time.sleep(0.001)
    assert [bytes(each) for each in found] == contents
    pack.close()
    storage.close()


@given(start=st.integers(0, 100_000), length=st.integers(0, 100_000))
def test_any_range_of_a_block_stored_as_it_is(start: int, length: int) -> None:
    content = media(100_000)
    store = PackedStore()
    sealed, _ = store.put([content])
    for resident in (False, True):
        pack = PackFile.open(store.storage, sealed.name, UUID)
        read = pack.piece_resident if resident else pack.read_piece
        if start + length <= len(content):
            for _ in range(2):
                assert bytes(read(sealed.blocks[0], start, length) or b"") == content[start : start + length]
        else:
            with pytest.raises(PackDamaged):
                read(sealed.blocks[0], start, length)


def test_a_pack_appears_whole_or_not_at_all() -> None:
    """At every call of writing one, with every power cut: no file has a pack's name that is no pack."""
    calls = len(written(None).history)
    for stop in range(calls):
        disk = written(stop)
        for seed in range(5):
            after = disk.crash(random.Random(seed))
            for name in after.list(PACKS_FOLDER) if after.exists(PACKS_FOLDER) else []:
                if len(name) == 64:
                    assert PackFile.open(after, name, UUID).id == 1
                else:
                    assert f"{PACKS_FOLDER}/{name}" == new_name(1)


def written(stop: int | None) -> SimulatedStorage:
    disk = SimulatedStorage()
    disk.make_folder(PACKS_FOLDER)
    disk.sync_folder("")
    disk.history.clear()
    disk.calls = 0
    disk.stop_at = stop
    if stop is None:
        write_pack(disk, [])
    else:
        with pytest.raises(Stopped):
            write_pack(disk, [])
    return disk


@pytest.mark.parametrize("kind", ["create", "append", "sync", "rename", "sync_folder"])
def test_an_abandoned_pack_leaves_nothing(kind: str) -> None:
    disk = SimulatedStorage()
    disk.make_folder(PACKS_FOLDER)
    disk.faults.append(Fault(errno.EIO, kind, skip=1 if kind == "append" else 0))
    writers: list[PackWriter] = []
    with pytest.raises(OSError) as caught:
        write_pack(disk, writers)
    assert caught.value.errno == errno.EIO
    for writer in writers:
        writer.abandon()
    assert disk.list(PACKS_FOLDER) == []


def write_pack(disk: SimulatedStorage, writers: list[PackWriter]) -> None:
    """Write a pack of two blocks from begin to end; `writers` has the writer as soon as there is one."""
    writer = PackWriter(disk, UUID, 1)
    writers.append(writer)
    writer.add_block(1, media(5000), None)
    writer.add_block(2, media(3000), None)
    writer.finish([])
    writer.publish()
