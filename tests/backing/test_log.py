"""The log in ordinary life: append, read, roll, sync, replay, remove.

What must be the same on a real directory and on the simulated disk runs on both.
"""

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backing.log_history import UUID, contents, opened, small_chunks
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.log import Log, Place
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.errors import DataDamaged, LogDamaged, ReadOnly
from vfs.limits import FRAME_COMMAND_BYTES, FRAME_DATA_BYTES, MIB

Make = Callable[[], Storage]


@pytest.fixture(params=["directory", "simulated"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return DirectoryStorage(tmp_path) if request.param == "directory" else SimulatedStorage()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimulatedStorage:
    """A simulated disk, and chunks that roll after a few frames."""
    small_chunks(monkeypatch)
    return SimulatedStorage()


def data_at(log: Log, place: Place, length: int) -> bytes:
    return bytes(log.read(place.chunk, place.frame, place.start, length))


def test_what_is_appended_is_read_and_replayed(storage: Storage) -> None:
    log = Log.create(storage, UUID)
    assert (log.last_lsn, log.synced_lsn, log.chunk_numbers()) == (0, 0, [1])
    places = [log.append(b"one"), log.append(b"two", b"data"), log.append(b"", b"x" * 20_000)]
    assert places[0] == Place(1, 64, 64 + 40 + 3)
    assert places[1] == Place(1, 107, 107 + 40 + 3 + 8)
    assert log.last_place == places[2]
    assert data_at(log, places[1], 4) == b"data"
    assert bytes(log.read(1, places[1].frame, places[1].start + 1, 2)) == b"at"
    assert data_at(log, places[2], 20_000) == b"x" * 20_000
    assert log.size_bytes == 64 + 3 * 40 + 6 + 2 * 8 + 4 + 20_000
    log.close()
    again, records = opened(storage)
    assert contents(records) == [(b"one", b""), (b"two", b"data"), (b"", b"x" * 20_000)]
    assert [record.place for record in records] == places
    assert (again.last_lsn, again.synced_lsn, again.last_place) == (3, 3, places[2])
    assert again.append(b"four").frame == log.size_bytes
    again.close()
    again.close()
    storage.close()


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"abcd"),
        memoryview(b"abcd"),
        memoryview(b"dcba")[::-1].tobytes(),
        [b"ab", b"cd"],
        [memoryview(b"ab"), b"", bytearray(b"cd")],
        memoryview(b"abcd").cast("I"),
        [b"a", b"b", b"c", b"d"] + [b""] * 3000,
    ],
    ids=["bytearray", "memoryview", "copy", "list", "mixed", "items of four bytes", "more than writev takes"],
)
def test_data_may_be_any_buffers(storage: Storage, data: bytes) -> None:
    log = Log.create(storage, UUID)
    place = log.append(b"c", data)
    assert data_at(log, place, 4) == b"abcd"
    big = log.append(b"c", [b"x" * 9000, memoryview(b"y" * 5000)])
    assert data_at(log, big, 14_000) == b"x" * 9000 + b"y" * 5000
    log.close()
    assert contents(opened(storage)[1])[0] == (b"c", b"abcd")
    storage.close()


def test_the_largest_frame_fits_and_a_larger_one_is_refused(storage: Storage) -> None:
    log = Log.create(storage, UUID)
    place = log.append(b"c" * FRAME_COMMAND_BYTES, bytes(FRAME_DATA_BYTES))
    assert data_at(log, place, FRAME_DATA_BYTES) == bytes(FRAME_DATA_BYTES)
    for command, data in ((b"c" * (FRAME_COMMAND_BYTES + 1), b""), (b"", bytes(FRAME_DATA_BYTES + 1))):
        with pytest.raises(ValueError, match="no frame holds"):
            log.append(command, data)
    assert log.last_lsn == 1
    log.close()
    assert len(opened(storage)[1]) == 1
    storage.close()


def test_chunks_are_sealed_before_64_mib(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    log = Log.create(storage, UUID)
    data = bytes(MIB)
    places = [log.append(b"", data) for _ in range(65)]
    assert {place.chunk for place in places[:63]} == {1}
    assert {place.chunk for place in places[63:]} == {2}
    assert (tmp_path / "log/chunk-00000001").stat().st_size <= 64 * MIB
    assert log.chunk_bounds(1) == (1, 63)
    assert log.chunk_bounds(2) == (64, 65)
    assert isinstance(log.read(1, places[0].frame, places[0].start, MIB), memoryview)
    log.close()
    storage.close()


def test_replay_goes_on_after_an_lsn(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    places = [log.append(b"%d" % number, bytes(300)) for number in range(1, 21)]
    for after in range(21):
        place = places[after - 1] if after else None
        for options in ({}, {"after_place": place}, {"after_place": Place(1, 64, 64)}):
            again, records = opened(disk.kill(), after, **options)
            assert [int(record.command) for record in records] == list(range(after + 1, 21))
            assert again.last_lsn == 20
            if after < 20 or options:
                assert again.last_place is not None
    with pytest.raises(LogDamaged, match="the index holds 21"):
        opened(disk.kill(), 21)


def test_the_last_place_is_known_when_nothing_is_replayed(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(9):
        log.append(b"", bytes(300))
    assert opened(disk.kill(), 9)[0].last_place == log.last_place
    assert opened(disk.kill(), 9, after_place=log.last_place)[0].last_place == log.last_place


def test_use_before_replay_and_after_close_is_refused(storage: Storage) -> None:
    Log.create(storage, UUID).close()
    log = Log.open(storage, UUID, after_lsn=0)
    with pytest.raises(RuntimeError):
        log.append(b"")
    assert list(log.replay()) == []
    with pytest.raises(RuntimeError):
        list(log.replay())
    log.append(b"")
    log.close()
    with pytest.raises(RuntimeError):
        log.append(b"")
    with pytest.raises(RuntimeError):
        log.begin_sync()
    storage.close()


def test_read_only_reads_and_refuses_appends(storage: Storage) -> None:
    log = Log.create(storage, UUID)
    place = log.append(b"c", b"data")
    log.close()
    reader, records = opened(storage, read_only=True)
    assert contents(records) == [(b"c", b"data")]
    assert data_at(reader, place, 4) == b"data"
    reader.sync()
    with pytest.raises(ReadOnly):
        reader.append(b"")
    reader.close()
    storage.close()


def test_bounds_sizes_and_removal_of_chunks(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    places = [log.append(b"%d" % number, bytes(400)) for number in range(12)]
    last = places[-1].chunk
    assert last == 4
    bounds = [log.chunk_bounds(number) for number in log.chunk_numbers()]
    assert [first for first, _ in bounds] == [1, 4, 7, 10]
    assert [end for _, end in bounds] == [3, 6, 9, 12]
    log.sync()
    total = log.size_bytes
    log.remove_chunk(2)
    assert log.chunk_numbers() == [1, 3, 4]
    assert log.chunk_bounds(1) == (1, 6)
    assert log.size_bytes < total
    with pytest.raises(DataDamaged):
        data_at(log, places[4], 1)
    for number in (4, 2, 99):
        with pytest.raises(ValueError, match="cannot be removed"):
            log.remove_chunk(number)
    log.close()
    again, records = opened(disk, after_lsn=6)
    assert len(records) == 6
    assert again.chunk_numbers() == [1, 3, 4]
    assert again.chunk_bounds(1) == (1, 6)
    assert again.size_bytes == sum(len(disk.content(f"log/{name}")) for name in disk.list("log"))
    with pytest.raises(LogDamaged):
        opened(disk, after_lsn=4)


def test_a_chunk_goes_only_when_a_later_one_is_durable(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(3):
        log.append(b"", bytes(400))
    log.sync()
    log.append(b"", bytes(400))
    log.remove_chunk(1)
    assert log.chunk_numbers() == [2]
    assert disk.list("log") == ["chunk-00000001", "chunk-00000002"]
    for seed in range(30):  # chunk 2 may be gone altogether: the log still knows where it stands
        again, _ = opened(disk.crash(), after_lsn=3)
        assert again.last_lsn in (3, 4), seed
    log.sync()
    assert disk.list("log") == ["chunk-00000002"]


def test_a_chunk_begun_after_a_sync_began_is_not_durable_with_it(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(4):
        log.append(b"", bytes(400))
    ticket = log.begin_sync()
    for _ in range(3):
        log.append(b"", bytes(400))
    log.run_sync(ticket)
    log.end_sync(ticket, None)
    log.remove_chunk(1)
    log.remove_chunk(2)
    assert disk.list("log") == ["chunk-00000002", "chunk-00000003"]


def test_a_chunk_that_cannot_be_unlinked_is_listed_again(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(7):
        log.append(b"", bytes(400))
    log.sync()
    disk.faults.append(Fault(errno.EIO, "unlink"))
    log.remove_chunk(1)
    assert log.chunk_numbers() == [1, 2, 3]
    log.remove_chunk(1)
    assert log.chunk_numbers() == [2, 3]
    assert log.failed is None


def test_a_sync_covers_what_was_appended_before_it_began(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(8):
        log.append(b"", bytes(400))
    ticket = log.begin_sync()
    for _ in range(8):
        log.append(b"", bytes(400))
    calls = len(disk.history)
    worker = threading.Thread(target=log.run_sync, args=(ticket,))
    worker.start()
    worker.join()
    assert disk.history[calls:] == [
        ("sync", "log/chunk-00000001"),
        ("sync", "log/chunk-00000002"),
        ("sync_folder", "log"),
        ("sync", "log/chunk-00000003"),
    ]
    assert log.synced_lsn == 0
    log.end_sync(ticket, None)
    assert log.synced_lsn == 8
    calls = len(disk.history)
    log.sync()
    assert ("sync", "log/chunk-00000003") in disk.history[calls:]  # it went on after the first sync began
    assert log.synced_lsn == 16
    calls = disk.calls
    log.sync()
    assert disk.calls == calls  # nothing new, nothing to do
