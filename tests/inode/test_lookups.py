"""What is kept of inodes that the kernel knows: right counts, and next to no memory."""

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vfs.inode.lookups import PAGE, LookupCounts

NUMBERS = st.one_of(st.integers(1, 3 * PAGE), st.integers(1, 2**62))
COUNTS = st.one_of(st.integers(0, 3), st.sampled_from((254, 255, 256, 2**40)))


@given(st.lists(st.tuples(NUMBERS, COUNTS, st.booleans())))
def test_it_counts_as_a_dictionary_does(steps: list[tuple[int, int, bool]]) -> None:
    counts, expected = LookupCounts(), Counter[int]()
    for number, count, takes in steps:
        if takes:
            assert counts.take(number) == expected.pop(number, 0)
        else:
            counts.put(number, count)
            expected[number] = count
        assert counts.get(number) == expected[number]
        assert (number in counts) == (expected[number] > 0)
    expected += Counter()  # without those that are 0
    assert sorted(counts) == sorted(expected)
    for number in expected:
        counts.put(number, 0)
    assert not counts.pages
    assert not list(counts)


def test_numbers_next_to_each_other_take_three_bytes_each() -> None:
    tracemalloc.start()
    try:
        counts = LookupCounts()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100_000):
            counts.put(number, 1 + number % 5)
        taken = tracemalloc.get_traced_memory()[0] - before
        for number in range(100_000):
            counts.take(number)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 3 * 100_000
    assert left < 100_000, "what is left is the empty table of pages"
