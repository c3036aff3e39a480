"""Runs of one byte in a write: in order, without gaps, true, and none overlooked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.inode.runs import Run, plan_write
from vfs.limits import FILL_RUN_BYTES as PAGE
from vfs.limits import FILL_WHOLE_BYTES

NOISE = bytes(range(256)) * (PAGE // 256)
FILLERS = {"zeros": b"\0", "ones": b"\xff", "letters": b"a", "noise": NOISE}

spans = st.lists(
    st.tuples(
        st.sampled_from(sorted(FILLERS)),
        st.sampled_from([1, 63, 64, 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE]),
    ),
    max_size=6,
)


def expected(data: bytes) -> list[int | None]:
    """For each page of the data the byte that it is made of, None for a mixed one; the slow way."""
    pages = [data[start : start + PAGE] for start in range(0, len(data), PAGE)]
    found = [page[0] if len(set(page)) == 1 else None for page in pages]
    if len(data) % PAGE and len(pages) > 1 and found[-1] != found[-2]:
        found[-1] = None  # a partial page is a run only as the end of a longer one
    if len(data) < FILL_WHOLE_BYTES:
        found = [None] * len(pages)
    return found


@given(spans=spans)
def test_runs_are_true_complete_and_in_order(spans: list[tuple[str, int]]) -> None:
    data = b"".join((FILLERS[filler] * length)[:length] for filler, length in spans)
    runs = plan_write(data)
    assert [0, *(run.stop for run in runs)] == [*(run.start for run in runs), len(data)]
    for left, right in pairwise(runs):
        assert left.byte != right.byte
    pages: list[int | None] = []
    for run in runs:
        assert run.start < run.stop
        assert run.start % PAGE == 0
        assert run.stop % PAGE == 0 or run.stop == len(data)
        if run.byte is not None:
            assert data[run.start : run.stop] == bytes((run.byte,)) * (run.stop - run.start)
        pages += [run.byte] * (-(-(run.stop - run.start) // PAGE))
    assert pages == expected(data)


@given(data=st.binary(max_size=200))
def test_short_writes(data: bytes) -> None:
    byte = data[0] if len(data) >= FILL_WHOLE_BYTES and len(set(data)) == 1 else None
    assert plan_write(data) == ([Run(0, len(data), byte)] if data else [])


@pytest.mark.parametrize("length", [64, 65, 4095, 4096, 4097, 10_000, 1 << 20])
def test_one_byte_throughout_is_one_run(length: int) -> None:
    for byte in (0, 7, 255):
        assert plan_write(bytes((byte,)) * length) == [Run(0, length, byte)]


@pytest.mark.parametrize("length", [64, 1000, 4095, 4096, 5000])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.5, 0.7, 1])
def test_one_other_byte_spoils_its_page(length: int, share: float) -> None:
    data = bytearray(length)
    data[int(share * (length - 1))] = 1
    assert Run(0, length, 0) not in plan_write(bytes(data))


def test_a_run_inside_the_data_starts_and_ends_on_a_page() -> None:
    data = NOISE[:100] + bytes(3 * PAGE) + NOISE[:100]
    assert plan_write(data) == [
        Run(0, PAGE, None),
        Run(PAGE, 3 * PAGE, 0),
        Run(3 * PAGE, len(data), None),
    ]


def test_a_run_reaches_to_the_end() -> None:
    data = NOISE + bytes(PAGE + 10)
    assert plan_write(data) == [Run(0, PAGE, None), Run(PAGE, len(data), 0)]


def test_neighbouring_runs_of_different_bytes_stay_apart() -> None:
    assert plan_write(bytes(PAGE) + b"\1" * PAGE) == [Run(0, PAGE, 0), Run(PAGE, 2 * PAGE, 1)]
