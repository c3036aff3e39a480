"""A full disk, which passes, and a failing one, which does not: nothing acknowledged is lost."""

import errno

import pytest

from tests.backing.log_history import UUID, contents, opened, small_chunks
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.log import Log, Place
from vfs.errors import NoSpace, StoreFailed


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimulatedStorage:
    """A simulated disk, and chunks that roll after a few frames."""
    small_chunks(monkeypatch)
    return SimulatedStorage()


def append_until_full(log: Log, frames: list[tuple[bytes, bytes]]) -> int:
    """Append as many as there is room for."""
    for done, frame in enumerate(frames):
        try:
            log.append(*frame)
        except NoSpace:
            return done
    raise AssertionError("the disk was not full")


def data_at(log: Log, place: Place, length: int) -> bytes:
    return bytes(log.read(place.chunk, place.frame, place.start, length))


@pytest.mark.parametrize("room", [*range(0, 700, 37), 64 + 39, 64 + 41])
def test_a_full_disk_leaves_the_log_as_it_was(disk: SimulatedStorage, room: int) -> None:
    log = Log.create(disk, UUID)
    tried = [(b"%d" % number, bytes(150)) for number in range(40)]
    disk.space_bytes = 64 + 3 * 1400 + room
    done = append_until_full(log, tried)
    for _ in range(3):
        with pytest.raises(NoSpace):
            log.append(b"large", bytes(1000))
    assert log.failed is None
    log.sync()
    assert contents(opened(disk.kill())[1]) == tried[:done]
    disk.space_bytes *= 2
    log.append(b"there is room again")
    log.sync()
    for _ in range(5):
        assert contents(opened(disk.crash())[1]) == [*tried[:done], (b"there is room again", b"")]


def test_a_full_disk_that_cannot_be_cut_back_is_for_ever(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    log.append(b"before")
    disk.faults += [Fault(errno.ENOSPC, "append", partial=30), Fault(errno.EIO, "truncate")]
    with pytest.raises(StoreFailed, match="could not be cut back"):
        log.append(b"lost")
    with pytest.raises(StoreFailed, match="could not be cut back"):
        log.append(b"after")
    assert contents(opened(disk.kill())[1]) == [(b"before", b"")]


@pytest.mark.parametrize("partial", [0, 10, 44])
def test_a_failed_write_is_for_ever(disk: SimulatedStorage, partial: int) -> None:
    log = Log.create(disk, UUID)
    place = log.append(b"before", b"data")
    disk.faults.append(Fault(errno.EIO, "append", partial=partial))
    with pytest.raises(StoreFailed, match="Input/output error"):
        log.append(b"lost")
    assert isinstance(log.failed, StoreFailed)
    for refused in (lambda: log.append(b"after"), log.sync, log.begin_sync):
        with pytest.raises(StoreFailed, match="Input/output error"):
            refused()
    assert data_at(log, place, 4) == b"data"
    assert contents(opened(disk.kill())[1]) == [(b"before", b"data")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("kind", ["create", "append"])
def test_a_chunk_that_cannot_be_begun(disk: SimulatedStorage, code: int, kind: str) -> None:
    log = Log.create(disk, UUID)
    tried = [(b"%d" % number, bytes(400)) for number in range(4)]
    for command, data in tried[:3]:
        log.append(command, data)
    disk.faults.append(Fault(code, kind, partial=20))
    with pytest.raises(NoSpace if code == errno.ENOSPC else StoreFailed):
        log.append(*tried[3])
    assert disk.list("log") == ["chunk-00000001"]
    assert contents(opened(disk.kill())[1]) == tried[:3]
    if code == errno.ENOSPC:
        log.append(*tried[3])
        assert contents(opened(disk.kill())[1]) == tried


def test_a_chunk_that_cannot_be_given_up_is_for_ever(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    for _ in range(3):
        log.append(b"", bytes(400))
    disk.faults += [Fault(errno.ENOSPC, "append", partial=20), Fault(errno.EIO, "unlink")]
    with pytest.raises(StoreFailed):
        log.append(b"", bytes(400))
    with pytest.raises(StoreFailed):
        log.append(b"")
    again, records = opened(disk.kill())
    assert len(records) == 3
    assert again.chunk_numbers() == [1]


def test_an_interrupt_in_the_middle_of_a_write_is_for_ever(
    disk: SimulatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log.create(disk, UUID)
    file = log._file
    assert file is not None
    append = file.append

    def interrupted(pieces: list[bytes]) -> None:
        append(pieces)
        raise KeyboardInterrupt

    monkeypatch.setattr(file, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.append(b"maybe")
    monkeypatch.undo()
    with pytest.raises(StoreFailed):
        log.append(b"after")


@pytest.mark.parametrize("kind", ["sync", "sync_folder"])
def test_a_failed_sync_is_never_retried(disk: SimulatedStorage, kind: str) -> None:
    log = Log.create(disk, UUID)
    for _ in range(5):
        log.append(b"", bytes(400))
    disk.faults.append(Fault(errno.EIO, kind))
    calls = disk.calls
    with pytest.raises(StoreFailed, match="syncing the log: Input/output error"):
        log.sync()
    assert (log.synced_lsn, log.last_lsn) == (0, 5)
    assert disk.calls > calls
    calls = disk.calls
    for refused in (log.sync, log.begin_sync, lambda: log.append(b"")):
        with pytest.raises(StoreFailed):
            refused()
    assert disk.calls == calls


def test_a_sync_beside_one_that_failed_does_not_succeed(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    log.append(b"one")
    first = log.begin_sync()
    log.append(b"two")
    second = log.begin_sync()
    disk.faults.append(Fault(errno.EIO, "sync"))
    with pytest.raises(OSError) as failure:
        log.run_sync(first)
    with pytest.raises(OSError):  # the kernel would say yes: it reports a lost page once
        log.run_sync(second)
    log.end_sync(second, failure.value)
    log.end_sync(first, failure.value)
    assert log.synced_lsn == 0
    assert log.failed is not None


def test_poison_from_above_keeps_the_first_reason(disk: SimulatedStorage) -> None:
    log = Log.create(disk, UUID)
    log.poison(StoreFailed("first"))
    log.poison(StoreFailed("second"))
    with pytest.raises(StoreFailed, match="first"):
        log.append(b"")
