"""Verified reads: right bytes or ChunkDamaged, one check per frame and life, few chunks mapped."""

import errno
import gc
import os
import threading
from pathlib import Path

import pytest

from tests.backing.log_history import UUID, small_chunks
from tests.simulated.disk import SimulatedFile, SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.chunks import ChunkReader, chunk_name, chunk_numbers
from vfs.backing.frames import FRAME_HEADER_BYTES, PIECE_BYTES
from vfs.backing.log import Log, Place
from vfs.backing.storage import DirectoryStorage
from vfs.errors import ChunkDamaged


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimulatedStorage:
    small_chunks(monkeypatch)
    return SimulatedStorage()


def filled(disk: SimulatedStorage, frames: int = 12) -> tuple[Log, list[Place]]:
    """A log with three frames a chunk, each with 400 bytes of its own number."""
    log = Log.create(disk, UUID)
    return log, [log.append(b"c", bytes([number]) * 400) for number in range(frames)]


def test_names_that_are_no_chunks_are_passed_over(disk: SimulatedStorage) -> None:
    disk.make_folder("log")
    names = [
        "chunk-00000007",
        "chunk-00000003",
        "chunk-123456789",
        "chunk-7",
        "chunk-0000000x",
        "chunk-",
        "x",
    ]
    for name in [*names, "chunk-00000003.old", "chunk-٠٠٠٠٠٠٠٣", "chunk-" + "9" * 5000]:
        disk.create(f"log/{name}")
    assert chunk_numbers(disk) == [3, 7, 123456789]
    assert chunk_name(7) == "log/chunk-00000007"


def test_data_is_read_from_sealed_and_active_chunks(disk: SimulatedStorage) -> None:
    log, places = filled(disk)
    for _ in range(2):
        for number, place in enumerate(places):
            assert bytes(log.read(*place, 400)) == bytes([number]) * 400
            assert bytes(log.read(place.chunk, place.frame, place.start + 399, 1)) == bytes([number])
            assert bytes(log.read(*place, 0)) == b""
    assert isinstance(log.read(*places[0], 4), memoryview)


@pytest.mark.parametrize("number", [0, 11], ids=["sealed", "active"])
def test_what_is_not_in_the_data_of_the_frame_is_refused(disk: SimulatedStorage, number: int) -> None:
    log, places = filled(disk)
    chunk, frame, start = places[number]
    for _ in range(2):
        for bad_start, length in (
            (start - 1, 1),
            (start, 401),
            (start + 401, 0),
            (start, -1),
            (start + 1, 400),
        ):
            with pytest.raises(ChunkDamaged, match="are not in its data"):
                log.read(chunk, frame, bad_start, length)
        assert bytes(log.read(chunk, frame, start, 400)) == bytes([number]) * 400
    for bad_frame in (frame + 1, frame - 1, 0, 63, 1 << 40):
        with pytest.raises(ChunkDamaged) as damaged:
            log.read(chunk, bad_frame, start, 1)
        assert (damaged.value.chunk, damaged.value.offset) == (chunk, bad_frame)


@pytest.mark.parametrize("number", [0, 11], ids=["sealed", "active"])
@pytest.mark.parametrize("place", [0, 4, 8, 12, 16, 24, 32, 40, 41, 440])
def test_a_wrong_bit_anywhere_in_the_frame_is_damage(disk: SimulatedStorage, number: int, place: int) -> None:
    log, places = filled(disk)
    chunk, frame, start = places[number]
    disk.flip(chunk_name(chunk), frame + place)
    in_data = frame + place >= start
    for read in (log.read, log.read_resident) if in_data else (log.read, log.read_resident, log.check_range):
        with pytest.raises(ChunkDamaged):
            read(chunk, frame, start, 1)
    other = places[number - 1]
    assert bytes(log.read(*other, 1)) == bytes([number - 1 if number else 11])


def test_a_large_frame_is_verified_piece_by_piece() -> None:
    disk = SimulatedStorage()
    log = Log.create(disk, UUID)
    data = bytes(range(256)) * (4 * PIECE_BYTES // 256) + b"end"
    place = log.append(b"c", data)
    disk.flip(chunk_name(1), place.start + 2 * PIECE_BYTES + 5)
    log.check_range(*place, len(data))
    for start, length in ((0, 2 * PIECE_BYTES), (PIECE_BYTES - 1, 2), (3 * PIECE_BYTES, PIECE_BYTES + 3)):
        read = log.read(place.chunk, place.frame, place.start + start, length)
        assert bytes(read) == data[start : start + length]
    for start, length in ((2 * PIECE_BYTES, 1), (0, len(data)), (3 * PIECE_BYTES - 1, 2)):
        with pytest.raises(ChunkDamaged, match="piece 2"):
            log.read(place.chunk, place.frame, place.start + start, length)
    disk.flip(chunk_name(1), place.start + 2 * PIECE_BYTES + 5)
    assert bytes(log.read(*place, len(data))) == data, "what did not match is looked at again"


def test_what_is_known_of_frames_is_bounded(disk: SimulatedStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.backing.readable_chunk.KNOWN_FRAMES", 1)
    log, places = filled(disk)
    for _ in range(2):
        assert [bytes(log.read(*place, 1))[0] for place in places] == list(range(12))


def test_a_frame_is_checked_once_in_a_life(disk: SimulatedStorage) -> None:
    log, places = filled(disk)
    log.read(*places[11], 1)
    disk.flip(chunk_name(places[11].chunk), places[11].start)
    assert bytes(log.read(*places[11], 1)) != bytes([11])  # the price of not checking twice
    again = Log.open(disk, UUID, after_lsn=12)
    list(again.replay())
    with pytest.raises(ChunkDamaged):
        again.read(*places[11], 1)


def test_a_chunk_that_is_missing_short_or_unreadable_is_damage(disk: SimulatedStorage) -> None:
    log, places = filled(disk)
    with pytest.raises(ChunkDamaged, match=r"chunk 99 .*missing"):
        log.read(99, 64, 104, 1)
    name = chunk_name(1)
    disk.overwrite(name, disk.content(name)[:-1])
    with pytest.raises(ChunkDamaged, match="ends before the frame does"):
        log.read(*places[2], 1)
    disk.faults.append(Fault(errno.EIO, "read", chunk_name(2)))
    with pytest.raises(ChunkDamaged, match="Input/output error"):
        log.read(*places[3], 1)
    assert bytes(log.read(*places[3], 1)) == b"\x03"
    disk.faults.append(Fault(errno.EMFILE, "open", chunk_name(3)))
    with pytest.raises(ChunkDamaged, match="Too many open files"):
        log.read(*places[6], 1)


def test_resident_reads_never_wait_for_the_disk(disk: SimulatedStorage) -> None:
    log, places = filled(disk)
    assert log.read_resident(*places[0], 400) is None  # not mapped yet: opening may wait
    log.read(*places[0], 1)
    assert bytes(log.read_resident(*places[1], 400) or b"") == b"\x01" * 400
    assert bytes(log.read_resident(*places[11], 400) or b"") == b"\x0b" * 400
    disk.cold = True
    for place in places:
        assert log.read_resident(*place, 400) is None


@pytest.mark.parametrize("number", [1, 11], ids=["sealed", "active"])
def test_the_head_of_a_frame_is_asked_for_as_a_whole(
    disk: SimulatedStorage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where only its first bytes are in memory, reading the rest would wait for the disk."""
    log, places = filled(disk)
    log.read(*places[number - 1], 1)  # maps the chunk
    place = places[number]
    here, pread = place.frame + FRAME_HEADER_BYTES, SimulatedFile.pread
    asked: list[int] = []

    def partly_here(file: SimulatedFile, length: int, offset: int) -> bytes | None:
        asked.append(offset + length)
        return pread(file, length, offset) if offset + length <= here else None

    monkeypatch.setattr(SimulatedFile, "pread_resident", partly_here)
    monkeypatch.delattr(SimulatedFile, "pread")  # it waits
    assert log.read_resident(*place, 400) is None
    assert asked[-1] == place.start, "all up to the data"
    here = place.start
    assert log.read_resident(*place, 400) is None
    assert asked[-1] == place.start + 400
    here = place.start + 400
    assert log.read_resident(*place, 400) == bytes([number]) * 400


def test_only_so_many_chunks_stay_mapped(disk: SimulatedStorage) -> None:
    _, places = filled(disk, 30)
    reader = ChunkReader(disk, UUID, mapped_chunks=3)
    for place in places[:27:3]:
        reader.read(*place, 1)
    assert reader.mapped() == [7, 8, 9]
    view = reader.read(*places[18], 400)  # chunk 7 is now the last to go
    reader.read(*places[0], 1)
    assert reader.mapped() == [9, 7, 1]
    reader.forget(7)
    reader.close()
    assert bytes(view) == bytes([18]) * 400
    assert reader.mapped() == []


def open_below(folder: Path) -> int:
    """How many descriptors of this process lead there; others may go, with garbage of other tests."""
    targets = (os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return sum(target.startswith(f"{folder}/") for target in targets)


def test_chunks_that_are_let_go_give_their_descriptors_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    storage = DirectoryStorage(tmp_path)
    log = Log.create(storage, UUID)
    places = [log.append(b"c", bytes([number]) * 400) for number in range(60)]
    log.sync()
    gc.collect()
    before = open_below(tmp_path)
    reader = ChunkReader(storage, UUID, mapped_chunks=4)
    views = [reader.read(*place, 400) for place in places[:57]]
    assert open_below(tmp_path) <= before + 4 * 2 + 19  # a view keeps its mapping
    assert all(view == bytes([number]) * 400 for number, view in enumerate(views))
    views.clear()
    reader.close()
    assert open_below(tmp_path) == before
    log.close()
    storage.close()


def test_threads_read_while_the_owner_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, 20_000)
    storage = DirectoryStorage(tmp_path)
    log = Log.create(storage, UUID)
    places: list[Place] = []
    wrong: list[int] = []
    done = threading.Event()

    def read_all(step: int) -> None:
        while not done.is_set() or step > 1:
            for number in range(0, len(places), step):
                if bytes(log.read(*places[number], 900)) != number.to_bytes(4, "big") * 225:
                    wrong.append(number)
            if done.is_set():
                return

    threads = [threading.Thread(target=read_all, args=(step,)) for step in (7, 11, 13)]
    for thread in threads:
        thread.start()
    for number in range(4000):
        places.append(log.append(b"c", number.to_bytes(4, "big") * 225))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    log.close()
    storage.close()
