"""Reading ahead of look-ups: only when they come in order, within bounds, and nothing outdated."""

import random

from tests.inode.test_directory import Rows, opened
from vfs.inode.ahead import FIRST_WIDTH, MOST_WIDTH, NEAR, InOrder
from vfs.inode.directory import COMPLETE_ENTRIES, ENTRY_BYTES, FIRST_COOKIE


def test_the_second_look_up_in_order_reads_ahead_and_each_further_one_twice_as_much() -> None:
    looks = InOrder()
    assert looks.width(500) == 0
    cookie, widths = 501, []
    for _ in range(6):
        widths.append(looks.width(cookie))
        cookie += widths[-1]
        looks.reached(cookie - 1)
    assert widths == [FIRST_WIDTH, 2 * FIRST_WIDTH, 4 * FIRST_WIDTH, MOST_WIDTH, MOST_WIDTH, MOST_WIDTH]


def test_look_ups_that_leave_out_few_are_in_order_and_those_that_go_back_or_far_are_not() -> None:
    looks = InOrder()
    looks.width(500)
    assert looks.width(501 + NEAR) == FIRST_WIDTH
    assert looks.width(501 + NEAR) == 0
    assert looks.width(503 + 2 * NEAR) == 0
    assert looks.width(400) == 0


def test_the_first_look_up_of_all_reads_nothing_ahead() -> None:
    assert InOrder().width(FIRST_COOKIE) == 0


def test_look_ups_in_order_in_a_huge_directory_ask_once_for_many() -> None:
    rows = Rows(COMPLETE_ENTRIES + 1)
    directory = opened(rows)
    in_memory: set[int] = set()
    for number in range(2000):
        entry = directory.get(b"row%d" % number)
        assert entry == rows.rows[b"row%d" % number]
        if entry[0] not in in_memory:
            in_memory.update(row[1] for row in directory.read_ahead(entry[1]))
        assert len(directory.ahead) <= MOST_WIDTH
        assert directory._limiter.used_bytes == ENTRY_BYTES * len(directory.ahead)
    assert rows.asked < 2000 / MOST_WIDTH + 6
    assert rows.listed <= 2000 + MOST_WIDTH


def test_random_look_ups_in_a_huge_directory_read_no_more_than_they_ask_for() -> None:
    rows = Rows(100 * COMPLETE_ENTRIES)
    directory = opened(rows)
    rng = random.Random(3)
    for _ in range(1000):
        entry = directory.get(b"row%d" % rng.randrange(len(rows.rows)))
        assert entry is not None
        directory.read_ahead(entry[1])
    assert rows.asked == 1000
    assert rows.listed <= 2 * FIRST_WIDTH


def test_what_was_read_ahead_and_is_removed_or_made_anew_is_not_found_as_it_was() -> None:
    rows = Rows(COMPLETE_ENTRIES + 1)
    directory = opened(rows)
    directory.put(b"row5", (9, 99_999, 8))  # before
    directory.drop(b"row6")
    directory.read_ahead(FIRST_COOKIE)
    directory.read_ahead(FIRST_COOKIE + 1)
    assert b"row4" in directory.ahead
    assert directory.get(b"row5") == (9, 99_999, 8)
    assert directory.get(b"row6") is None
    directory.drop(b"row7")  # after
    directory.drop(b"row8")
    directory.put(b"row8", (10, 100_000, 8))
    assert directory.get(b"row7") is None
    assert directory.get(b"row8") == (10, 100_000, 8)
    del rows.rows[b"row7"]  # a checkpoint brings it into the index
    rows.rows[b"row8"] = (10, 100_000, 8)
    for name in (b"row7", b"row8"):
        directory.forget(name)
    assert directory.get(b"row7") is None
    assert directory.get(b"row8") == (10, 100_000, 8)
    directory.release()
    assert directory._limiter.used_bytes == 0
