"""The histogram of durations: every duration has its bucket, and percentiles are near the truth."""

import math
from time import perf_counter_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.mount.latency import BITS, BUCKETS, PERCENTILES, Latency, bounds

LONGEST_NS = (1 << BITS) - 1
OFF_BY = 0.032


def bucket_of(ns: int) -> int:
    """Where a duration is counted."""
    latency = Latency()
    latency.note(ns)
    return latency.counts.index(1)


def test_buckets_follow_each_other_without_gaps() -> None:
    assert bounds(0).begin_ns == 0
    for index in range(BUCKETS - 1):
        assert bounds(index).end_ns == bounds(index + 1).begin_ns
    assert bounds(BUCKETS - 1).end_ns == LONGEST_NS + 1


@given(st.integers(0, LONGEST_NS) | st.integers(0, BITS).map(lambda bits: (1 << bits) - 1))
def test_a_duration_lies_in_its_narrow_bucket(ns: int) -> None:
    begin, end = bounds(bucket_of(ns))
    assert begin <= ns < end
    assert end - begin <= max(1, begin / 16)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=300))
def test_percentiles_are_near_the_truth(durations: list[int]) -> None:
    latency = Latency()
    for ns in durations:
        latency.note(ns)
    figures = latency.figures()
    for name, share in PERCENTILES.items():
        true_us = sorted(durations)[math.ceil(share * len(durations)) - 1] / 1e3
        assert figures[name] == pytest.approx(true_us, rel=OFF_BY, abs=0.002)
    assert figures["count"] == len(durations)
    assert figures["max_us"] == pytest.approx(max(durations) / 1e3, abs=0.001)
    assert figures["mean_us"] == pytest.approx(sum(durations) / len(durations) / 1e3, abs=0.001)
    assert sum(found for _, found in figures["histogram_us"]) == len(durations)


def test_nothing_has_no_figures() -> None:
    figures = Latency().figures()
    assert (figures["count"], figures["p99_us"], figures["max_us"], figures["histogram_us"]) == (
        0,
        None,
        None,
        [],
    )


def test_what_is_timed_is_counted_however_it_ends() -> None:
    latency = Latency()
    with latency.timed():
        pass
    with pytest.raises(OSError, match="gone"), latency.timed():
        raise OSError("gone")
    latency.since(perf_counter_ns() - 5_000_000_000)
    figures = latency.figures()
    assert figures["count"] == 3
    assert figures["p50_us"] < 5_000_000 <= figures["max_us"]
