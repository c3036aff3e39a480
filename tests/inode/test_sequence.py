"""Numbers are never handed out twice, whatever happens to the log in between."""

import pytest

from vfs.inode.sequence import RANGE, Sequence


def reserve(sequence: Sequence, lsn: int) -> int:
    """What the journal does with a wanted reservation; returns its end."""
    end = sequence.next_range_end()
    sequence.reserved(end, lsn)
    return end


def test_nothing_is_handed_out_before_it_is_reserved() -> None:
    sequence = Sequence(2)
    assert sequence.exhausted
    assert sequence.wants_reservation
    reserve(sequence, 10)
    assert sequence.exhausted, "reserved but not known to be durable"
    sequence.switch()
    assert [sequence.take() for _ in range(3)] == [2, 3, 4]
    assert sequence.peek() == 5


def test_the_next_range_is_wanted_long_before_this_one_ends() -> None:
    sequence = Sequence(0)
    reserve(sequence, 1)
    sequence.switch()
    wanted = [sequence.wants_reservation]
    sequence.next = RANGE // 2 + 1
    wanted.append(sequence.wants_reservation)
    assert reserve(sequence, 9) == 2 * RANGE
    wanted.append(sequence.wants_reservation)
    assert wanted == [False, True, False], "asked for once, when half is used up"
    assert sequence.ahead_lsn == 9
    sequence.next = RANGE
    assert sequence.exhausted
    sequence.switch()
    assert sequence.take() == RANGE


def test_after_a_crash_the_reserved_range_is_skipped() -> None:
    sequence = Sequence(7)
    end = reserve(sequence, 3)
    sequence.skip_reserved()
    assert sequence.exhausted
    reserve(sequence, 4)
    sequence.switch()
    assert sequence.take() == end


@pytest.mark.parametrize("end", [0, 5, 7])
def test_an_older_reservation_changes_nothing(end: int) -> None:
    sequence = Sequence(7)
    sequence.reserved(end, 3)
    assert (sequence.next, sequence.end, sequence.ahead) == (7, 7, 7)
