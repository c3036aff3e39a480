"""Damage told from a torn tail: one wrong bit before what is known to be synced refuses the log and changes
nothing; behind it, it cuts the tail; in frames that the index no longer needs it stops nobody.
"""

import errno

import pytest

from tests.backing.log_history import UUID, History, contents, lived, opened, small_chunks
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault
from vfs.backing.frames import FRAME_MAGIC
from vfs.backing.log import Log
from vfs.errors import ChunkDamaged, LogDamaged

CLASSES = {
    "magic": 0,
    "command length": 4,
    "command length, high": 6,
    "data length": 8,
    "data length, high": 11,
    "zero": 12,
    "lsn": 16,
    "lsn, high": 23,
    "synced mark": 24,
    "synced mark, high": 31,
    "checksum": 32,
    "command": 40,
    "data": 60,
}
FIRST = "log/chunk-00000001"
SECOND = "log/chunk-00000002"
THIRD = "log/chunk-00000003"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)


def frames_of(storage: SimulatedStorage) -> list[tuple[str, int]]:
    """Chunk name and offset of every frame."""
    return [
        (f"log/chunk-{record.place.chunk:08d}", record.place.frame) for record in opened(storage.kill())[1]
    ]


def check_refused(storage: SimulatedStorage, chunk: int, offset: int, **options: int) -> LogDamaged:
    """Opening is refused, names the place, and changes nothing."""
    before = {name: storage.content(f"log/{name}") for name in storage.list("log")}
    with pytest.raises(LogDamaged):
        opened(storage, read_only=True, **options)
    with pytest.raises(LogDamaged) as refused:
        opened(storage, **options)
    assert (refused.value.chunk, refused.value.offset) == (chunk, offset)
    assert {name: storage.content(f"log/{name}") for name in storage.list("log")} == before
    return refused.value


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("place", CLASSES.values(), ids=CLASSES)
def test_a_wrong_bit_before_a_synced_mark_is_damage(place: int, bit: int) -> None:
    storage, _ = lived([100, 100, 100, "sync", 100, 100])
    frames = frames_of(storage)
    for name, offset in frames[:3]:
        damaged = storage.kill()
        damaged.flip(name, offset + place, bit)
        refused = check_refused(damaged, 1, offset)
        assert "says that frame" in refused.reason


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("place", CLASSES.values(), ids=CLASSES)
def test_a_wrong_bit_behind_the_last_synced_mark_is_a_torn_tail(place: int, bit: int) -> None:
    storage, history = lived([100, 100, 100, "sync", 100, 100, 100])
    frames = frames_of(storage)
    for number in (3, 4, 5):
        name, offset = frames[number]
        torn = storage.kill()
        torn.flip(name, offset + place, bit)
        _, records = opened(torn)
        assert contents(records) == history.tried[:number]
        assert len(torn.content(name)) == offset


def test_the_mark_of_a_later_chunk_tells_damage_too() -> None:
    for marked_by in ("frame", "header"):
        storage, _ = lived([600, 600, "sync", 600, 600])
        name, offset = frames_of(storage)[1]
        if marked_by == "header":
            storage.overwrite(SECOND, storage.content(SECOND)[:64])
        storage.flip(name, offset + 50)
        refused = check_refused(storage, 1, offset)
        assert "chunk 2 at offset 0" in refused.reason


def test_a_mark_behind_more_damage_still_tells() -> None:
    storage, _ = lived([400, 400, 400, "sync", 400, 400])
    frames = frames_of(storage)
    assert frames[3][0] == SECOND
    storage.flip(*frames[1])
    storage.flip(SECOND, 3)
    storage.flip(*frames[3])
    refused = check_refused(storage, 1, frames[1][1])
    assert f"chunk 2 at offset {frames[4][1]}" in refused.reason


@pytest.mark.parametrize("place", range(64))
def test_a_wrong_bit_in_the_header_of_a_synced_chunk_is_damage(place: int) -> None:
    storage, _ = lived([600, 600, 600, "sync", 600])
    storage.flip(SECOND, place)
    check_refused(storage, 2, 0)


def test_the_only_chunk_without_its_header_is_damage() -> None:
    storage, _ = lived([100, "sync"])
    storage.flip(FIRST, 9)
    check_refused(storage, 1, 0)
    storage.overwrite(FIRST, b"")
    check_refused(storage, 1, 0)


def test_a_missing_chunk_is_damage() -> None:
    for missing, told_of in ((FIRST, 2), (SECOND, 2)):
        storage, _ = lived([600, 600, 600, 600, "sync", 600, 600])
        storage.unlink(missing)
        check_refused(storage, told_of, 0)
    storage, _ = lived([])
    storage.unlink(FIRST)
    check_refused(storage, 1, 0)


def test_a_tail_that_ends_before_what_the_index_holds_is_damage() -> None:
    storage, _ = lived([100, 100, 100])
    name, offset = frames_of(storage)[2]
    storage.overwrite(name, storage.content(name)[:offset])
    check_refused(storage, 1, offset, after_lsn=3)
    opened(storage, after_lsn=2)


def test_an_empty_chunk_behind_a_tail_that_is_too_short_is_cut_with_it() -> None:
    storage, history = lived([600, 600, 10, 600])
    name, offset = frames_of(storage)[2]
    storage.overwrite(name, storage.content(name)[:offset])  # lost at the border of a frame: it looks whole
    storage.overwrite(SECOND, storage.content(SECOND)[:64])
    log, records = opened(storage)
    assert contents(records) == history.tried[:2]
    assert log.chunk_numbers() == [1]
    assert storage.list("log") == ["chunk-00000001"]


def test_an_lsn_that_is_skipped_is_no_record() -> None:
    storage, history = lived([100, 100])
    log, _ = opened(storage)
    log.last_lsn += 1
    log.append(b"skips one")
    _, records = opened(storage)
    assert contents(records) == history.tried


@pytest.mark.parametrize("place", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("number", [0, 2, 3])
def test_damage_in_frames_that_the_index_has_stops_nobody(place: int, number: int) -> None:
    storage, history = lived([100, 100, 100, 100, 100, "sync", 100])
    name, offset = frames_of(storage)[number]
    storage.flip(name, offset + place)
    log, records = opened(storage, after_lsn=4)
    assert contents(records) == history.tried[4:]
    with pytest.raises(ChunkDamaged) as damaged:
        log.read(1, offset, offset + 42, 100)
    assert (damaged.value.chunk, damaged.value.offset) == (1, offset)


@pytest.mark.parametrize("place", CLASSES.values(), ids=CLASSES)
def test_damage_in_the_last_frame_that_the_index_has_never_cuts_it_short(place: int) -> None:
    storage, _ = lived([100, 100, 100, "sync"])
    name, offset = frames_of(storage)[2]
    storage.flip(name, offset + place)
    storage.overwrite(name, storage.content(name) + b"torn")
    before = storage.content(name)
    with pytest.raises(LogDamaged):
        opened(storage, after_lsn=3)
    assert storage.content(name) == before


def test_a_torn_tail_right_behind_what_the_index_has_is_cut() -> None:
    storage, _ = lived([100, 100, 100, "sync"])
    before = storage.content(FIRST)
    storage.overwrite(FIRST, before + b"torn")
    for options in ({}, {"after_place": opened(storage.kill(), 3)[0].last_place}):
        again = storage.kill()
        assert opened(again, 3, **options)[1] == []
        assert again.content(FIRST) == before


def test_a_sector_that_cannot_be_read_is_damage() -> None:
    storage, _ = lived([100, 100])
    storage.faults.append(Fault(errno.EIO, "read", skip=1, times=1))
    with pytest.raises(LogDamaged, match="cannot be read"):
        opened(storage)


def test_log_of_another_place_or_store_is_never_replayed() -> None:
    storage, _ = lived([0, 0])
    content = storage.content(FIRST)
    frame = content[64:]
    hostile = History(tried=[])
    log = Log.create(fresh := SimulatedStorage(), UUID)
    hostile.tried = [(b"c", frame), (b"c", content), (b"c", FRAME_MAGIC * 50)]
    for command, data in hostile.tried:
        log.append(command, data)
    assert contents(opened(fresh)[1]) == hostile.tried
    fresh.flip(FIRST, 64 + 39)  # lost: everything behind is searched, and no frame in the data is believed
    assert contents(opened(fresh)[1]) == []
    with pytest.raises(LogDamaged, match="another store"):
        list(Log.open(storage, bytes(16), after_lsn=0).replay())
