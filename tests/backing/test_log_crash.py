"""The log after a power cut or a kill at any moment: a prefix that holds all that was synced, and no frame of
a life before the cut. Runs on the simulated disk only.
"""

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backing.log_history import UUID, History, Step, contents, lived, opened, small_chunks
from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Stopped
from vfs.backing.log import Log

LIFE: list[Step] = [
    *(10, 300, "sync", 700, 20, 600, 30, "sync", 500, 500, 500, 10, "sync"),
    *("full", 1000, 40, "sync", 20, "full", 900, 5, "full", 5, 600, 600),
]
"""Rolls with and without a sync between, is refused in places, leaves several chunks un-synced."""

SIZES = [step for step in LIFE if isinstance(step, int)]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)


def calls_of(steps: list[Step]) -> tuple[int, int]:
    """The numbers of storage calls when the log was created, and when the steps were done."""
    storage = SimulatedStorage()
    log = Log.create(storage, UUID)
    first = storage.calls
    History().run(log, steps)
    return first, storage.calls


def stopped_at(call: int, steps: list[Step]) -> tuple[SimulatedStorage, History]:
    """A disk that stopped in the middle of a storage call of that life."""
    storage, history = SimulatedStorage(call), History()
    log = Log.create(storage, UUID)
    storage.stop_at = call
    with pytest.raises(Stopped):
        history.run(log, steps)
    return storage, history


def live_again(storage: SimulatedStorage, name: str, stop: int | None = None) -> History:
    """Recover, and write other frames of the same sizes over the cut tail; the machine may stop.

    The same sizes, because then what comes back of the first life would fit exactly behind the second's
    frames.
    """
    log, records = opened(storage)
    history = History(name, contents(records), len(records), len(records))
    if stop is not None:
        storage.stop_at = storage.calls + stop
    with suppress(Stopped):
        history.run(log, [*SIZES[len(records) : len(records) + 5], "sync", *SIZES[len(records) + 5 :]])
    return history


def check_second_life(storage: SimulatedStorage, history: History, rng: random.Random) -> None:
    """After a power cut: recover, live on, lose power again. Nothing of the cut tail comes back."""
    history.check_after_power_cut(contents(opened(storage.kill())[1]))
    for stop in (None, rng.randrange(12)):
        again = storage.kill()
        second = live_again(again, "b", stop)
        for _ in range(2):
            second.check_after_power_cut(contents(opened(again.crash(rng))[1]))


@pytest.mark.parametrize("call", range(*calls_of(LIFE)))
def test_a_stop_in_any_call_leaves_a_prefix_with_all_that_was_synced(call: int) -> None:
    storage, history = stopped_at(call, LIFE)
    rng = random.Random(call)
    for _ in range(12):
        check_second_life(storage.crash(rng), history, rng)


@pytest.mark.parametrize("call", range(*calls_of(LIFE)))
def test_a_kill_in_any_call_loses_nothing_that_was_acknowledged(call: int) -> None:
    storage, history = stopped_at(call, LIFE)
    after = storage.kill()
    history.check_after_kill(contents(opened(after)[1]))
    # What replay gave is durable from then on, although nobody synced it in the first life.
    found = contents(opened(after.crash())[1])
    history.check_after_kill(found)


@pytest.mark.parametrize("call", range(*calls_of(LIFE)))
def test_a_stop_in_any_call_of_recovery_changes_nothing_of_what_the_next_one_finds(call: int) -> None:
    storage, _ = stopped_at(call, LIFE)
    rng = random.Random(call)
    for _ in range(5):
        broken = storage.crash(rng)
        expected = contents(opened(broken.kill())[1])
        stop = 0
        while True:
            recovering = broken.kill()
            recovering.stop_at = stop
            try:
                opened(recovering)
            except Stopped:
                stop += 1
                for _ in range(2):
                    again, records = opened(recovering.crash(rng))
                    assert contents(records) == expected
                    assert again.synced_lsn == again.last_lsn == len(expected)
                continue
            break
        assert stop >= 2  # at least one chunk and the folder were synced


def test_the_last_frames_cut_at_every_byte_leave_the_frames_before() -> None:
    storage, history = lived([100, 200, "sync", 30, 0, 60])
    name = "log/chunk-00000001"
    content = storage.content(name)
    whole = contents(opened(storage.kill())[1])
    assert whole == history.tried
    ends = [record.place.start + len(record.data) for record in opened(storage.kill())[1]]
    for size in range(ends[1], len(content) + 1):
        cut = storage.kill()
        cut.overwrite(name, content[:size])
        found = contents(opened(cut)[1])
        assert found == history.tried[: sum(end <= size for end in ends)]
        assert len(found) >= history.synced
        assert len(cut.content(name)) == max(end for end in ends if end <= size)
        torn = storage.kill()
        torn.overwrite(name, content[:size] + bytes(len(content) - size))
        assert contents(opened(torn)[1])[: len(found)] == found


def test_the_second_chunk_cut_at_every_byte_leaves_the_frames_before() -> None:
    storage, history = lived([700, "sync", 600, 600, 10])
    name = "log/chunk-00000002"
    content = storage.content(name)
    for size in range(len(content)):
        cut = storage.kill()
        cut.overwrite(name, content[:size])
        log, records = opened(cut)
        history.check_after_power_cut(contents(records))
        assert 1 + (size >= 64) <= len(log.chunk_numbers()) <= 2
        log.append(b"more")
        assert contents(opened(cut.kill())[1])[-1] == (b"more", b"")


def test_a_torn_tail_over_several_chunks_is_cut_from_its_first_bad_frame() -> None:
    storage, _ = lived(["sync", 700, 600, 600, 600, 600, 600])
    assert storage.list("log")[-1] == "chunk-00000003"
    storage.flip("log/chunk-00000001", 64 + 40 + 10)
    log, records = opened(storage)
    assert contents(records) == []
    assert storage.list("log") == ["chunk-00000001"]
    assert storage.content("log/chunk-00000001") == storage.content("log/chunk-00000001")[:64]
    # What must stand in this order is told in vfs/backing/log.py.
    cut = [call for call in storage.history if call[0] in ("unlink", "truncate", "sync_folder")]
    assert cut[-5:] == [
        ("unlink", "log/chunk-00000002"),
        ("unlink", "log/chunk-00000003"),
        ("sync_folder", "log"),
        ("truncate", "log/chunk-00000001"),
        ("sync_folder", "log"),
    ]
    assert log.append(b"new").chunk == 1


@pytest.mark.parametrize("sizes", [[100, 100, 100, 100], [700, 600, 600, 600], [10, 1300, 40, 1300]])
def test_no_frame_of_a_cut_tail_comes_back_behind_a_new_one(sizes: list[Step]) -> None:
    storage, _ = lived(["sync", *sizes])
    torn = SimulatedStorage(root=storage.kill().root)
    for name in torn.list(
        "log"
    ):  # as after a power cut: all of it is on the medium, but for one wrong sector
        torn.overwrite(f"log/{name}", torn.content(f"log/{name}"))
    torn.root.sync()
    torn.flip("log/chunk-00000001", 64 + 45)
    torn.open("log/chunk-00000001").sync()
    log, records = opened(torn)
    assert records == []
    second = History("b")
    for size in sizes:
        second.run(log, [size])
        for seed in range(60):
            second.check_after_power_cut(contents(opened(torn.crash(random.Random(seed)))[1]))


def test_what_a_full_disk_cut_off_never_looks_like_damage() -> None:
    storage, history = lived([800, "sync", "full", 1000, "sync"])
    assert storage.list("log") == ["chunk-00000001", "chunk-00000002"]
    for seed in range(100):
        history.check_after_power_cut(contents(opened(storage.crash(random.Random(seed)))[1]))


def test_read_only_ignores_a_torn_tail_and_leaves_it() -> None:
    storage, history = lived([100, "sync", 200, 300])
    name = "log/chunk-00000001"
    storage.overwrite(name, storage.content(name)[:-1])
    before, calls = storage.content(name), storage.calls
    log, records = opened(storage, read_only=True)
    assert contents(records) == history.tried[:2]
    assert log.last_lsn == 2
    assert storage.content(name) == before
    assert storage.calls == calls


def test_pages_that_a_failed_sync_lost_are_not_taken_for_durable() -> None:
    storage, history = lived([100, "sync", 200, 300])
    node = storage._file("log/chunk-00000001")
    node.durable = bytearray(
        node.content[:300]
    )  # what the medium has; the cache shows all, and calls it clean
    node.pending.clear()
    first = contents(opened(storage.kill())[1])
    history.check_after_power_cut(first)
    after = storage.kill()
    log, records = opened(after)
    log.append(b"next")
    log.sync()
    assert contents(opened(after.crash())[1]) == [*contents(records), (b"next", b"")]


steps = st.lists(st.one_of(st.integers(0, 1300), st.just("sync")), max_size=25)


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(0, 2**32), st.floats(0, 1))
def test_any_life_and_any_end(steps: list[Step], seed: int, share: float) -> None:
    first, last = calls_of(steps)
    rng = random.Random(seed)
    call = first + int(share * (last - first))
    storage, history = stopped_at(call, steps) if call < last else lived(steps, seed)
    after = storage.crash(rng)
    check_second_life(after, history, rng)
    history.check_after_kill(contents(opened(storage.kill())[1]))
