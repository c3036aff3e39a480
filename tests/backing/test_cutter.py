"""Cutting: bounds are kept, cuts depend on the bytes alone, and an insertion moves only those near it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backing.made_packs import media
from vfs.backing.creation import CreationOptions
from vfs.backing.cutter import WINDOW_BYTES, Cutter
from vfs.limits import KIB, MIB

AVERAGE, LEAST, MOST = 4 * KIB, KIB, 16 * KIB


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.backing.cutter.WINDOW_BYTES", 40 * KIB)


def cut(data: bytes, sizes: list[int] | None = None, cutter: Cutter | None = None) -> list[bytes]:
    """Feed a stream in pieces of these sizes, over and over."""
    cutter = cutter or Cutter(AVERAGE, LEAST, MOST)
    blobs: list[bytes] = []
    start = turn = 0
    while start < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        blobs += map(bytes, cutter.feed(data[start : start + size]))
        start += size
        turn += 1
    return [*blobs, *map(bytes, cutter.finish())]


def stream(length: int, seed: int) -> bytes:
    """Random bytes, with long runs and repeated parts in them, where cutters go wrong."""
    chance = random.Random(seed)
    made = b""
    while len(made) < length:
        kind = chance.randrange(4)
        if kind == 0:
            made += bytes([chance.randrange(256)]) * chance.randrange(1, 30_000)
        elif kind == 1 and made:
            made += made[chance.randrange(len(made)) :][: chance.randrange(1, 20_000)]
        else:
            made += chance.randbytes(chance.randrange(1, 40_000))
    return made[:length]


@given(
    length=st.integers(0, 200_000),
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
)
def test_cuts_do_not_depend_on_how_the_stream_arrived(length: int, seed: int, sizes: list[int]) -> None:
    sizes[0] = max(sizes[0], 500)  # else thousands of single bytes: slow, and nothing new
    data = stream(length, seed)
    blobs = cut(data, sizes)
    assert b"".join(blobs) == data
    assert [len(blob) for blob in blobs] == [len(blob) for blob in cut(data)]


@pytest.mark.parametrize(
    "length", [*range(AVERAGE - 1, AVERAGE + 3), LEAST, MOST, MOST + 1, 40 * KIB, 40 * KIB + 1]
)
def test_cuts_do_not_depend_on_it_near_the_bounds(length: int) -> None:
    data = media(length)
    assert cut(data, [1]) == cut(data)
    assert cut(data, [length - 1, 1]) == cut(data)


@given(length=st.integers(0, 300_000), seed=st.integers(0, 1000))
def test_blobs_keep_their_bounds(length: int, seed: int) -> None:
    lengths = [len(blob) for blob in cut(stream(length, seed), [9000])]
    assert sum(lengths) == length
    assert all(LEAST <= each <= MOST for each in lengths[:-1])
    assert all(0 < each <= MOST for each in lengths[-1:])


def test_a_stream_up_to_the_average_is_one_blob() -> None:
    for length in (1, LEAST, AVERAGE):
        assert cut(media(length)) == [media(length)]
    assert len(cut(media(20 * AVERAGE))) > 5
    assert cut(b"") == []


def short_end() -> tuple[bytes, int]:
    """A long stream whose last two blobs are no longer than the average together, and where they begin."""
    for seed in range(1000):
        data = media(60_000, seed)
        end = [len(blob) for blob in cut(data)][-2:]
        if sum(end) <= AVERAGE:
            return data, len(data) - sum(end)
    pytest.fail("there is no such stream")


def test_the_end_of_a_long_stream_is_no_short_stream() -> None:
    data, start = short_end()
    cutter = Cutter(AVERAGE, LEAST, MOST)
    blobs = [*map(bytes, cutter.feed(data[: start + 10])), *map(bytes, cutter.feed(data[start + 10 :]))]
    assert [*blobs, *map(bytes, cutter.finish())] == cut(data)
    assert cut(data[start:], None, cutter) == [data[start:]], "but a stream of its own it is"


def test_one_stream_says_nothing_of_the_next() -> None:
    cutter = Cutter(AVERAGE, LEAST, MOST)
    data = media(100_000)
    first = cut(data, [7000], cutter)
    cut(stream(50_000, 1), [3000], cutter)
    assert cut(data, [7000], cutter) == first
    assert cut(media(AVERAGE), None, cutter) == [media(AVERAGE)]


@given(at=st.integers(0, 400_000), inserted=st.binary(min_size=1, max_size=100))
def test_an_insertion_moves_only_cuts_nearby(at: int, inserted: bytes) -> None:
    data = media(400_000)
    before = cut(data)
    after = cut(data[:at] + inserted + data[at:])
    known = set(before)
    fresh = [len(blob) for blob in after if blob not in known]
    assert sum(fresh) <= 12 * MOST, "cuts fall into step again soon"
    assert after[0] == before[0] or at < MOST
    assert after[-1] == before[-1] or at > len(data) - 12 * MOST


def test_the_sizes_that_a_store_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.backing.cutter.WINDOW_BYTES", WINDOW_BYTES)
    lengths = [len(blob) for blob in cut(media(16 * MIB), [MIB], Cutter.of(CreationOptions()))]
    assert 48 * KIB < sum(lengths) / len(lengths) < 112 * KIB
    assert max(lengths) <= 256 * KIB
    assert min(lengths[:-1]) >= 16 * KIB


def test_cuts_are_those_of_every_version() -> None:
    """Other cuts would not be wrong, but what is stored already would not be found again."""
    expected = [2795, 5442, 6742, 3037, 5539, 4318, 10896, 9165, 7233, 4280, 553]
    assert [len(blob) for blob in cut(media(60_000, 7))] == expected
