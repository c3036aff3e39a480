"""Entries over an index: look-ups, and listings that go on while the directory changes."""

import random
from bisect import bisect_right

import pytest

from vfs.backing.tree_rows import EntryRow
from vfs.inode.directory import COMPLETE_ENTRIES, ENTRY_BYTES, FIRST_COOKIE, Directory, Entry
from vfs.inode.limiter import MemoryLimiter


class Rows:
    """An index of one directory, which counts how often it is asked."""

    def __init__(self, count: int = 0) -> None:
        self.rows: dict[bytes, Entry] = {b"row%d" % n: (100 + n, FIRST_COOKIE + n, 8) for n in range(count)}
        self.asked = 0
        self.listed = 0

    def entry(self, parent: int, name: bytes) -> Entry | None:
        self.asked += 1
        return self.rows.get(name)

    def names_of(self, parent: int, ino: int) -> list[bytes]:
        return [name for name, entry in self.rows.items() if entry[0] == ino]

    def entries_after(self, parent: int, cookie: int, limit: int) -> list[EntryRow]:
        rows = sorted(((name, *entry) for name, entry in self.rows.items()), key=lambda row: row[2])
        start = bisect_right(rows, cookie, key=lambda row: row[2])
        found = rows[start : start + limit]
        self.listed += len(found)
        return found


def opened(rows: Rows, *, complete: bool = False) -> Directory:
    return Directory(5, rows, MemoryLimiter(1 << 30), complete=complete, entries=len(rows.rows))


def listing(directory: Directory, limit: int = 7) -> list[bytes]:
    names: list[bytes] = []
    cookie = 2
    while part := directory.list_after(cookie, limit):
        names += [row[0] for row in part]
        cookie = part[-1][2]
    return names


def test_a_new_directory_never_asks_the_index() -> None:
    rows = Rows()
    directory = opened(rows, complete=True)
    assert directory.get(b"a") is None
    directory.put(b"a", (9, 3, 8))
    assert directory.get(b"a") == (9, 3, 8)
    assert listing(directory) == [b"a"]
    assert rows.asked == rows.listed == 0


def test_looking_up_in_a_huge_directory_never_loads_it() -> None:
    rows = Rows(COMPLETE_ENTRIES + 1)
    directory = opened(rows)
    for n in range(0, COMPLETE_ENTRIES, 3):
        assert directory.get(b"row%d" % n) is not None
    assert directory.get(b"missing") is None
    assert not directory.names
    assert rows.listed == 0


def test_a_small_directory_is_loaded_once_it_is_looked_into_often() -> None:
    rows = Rows(160)
    directory = opened(rows)
    for _ in range(12):
        assert directory.get(b"missing") is None
    assert directory.complete
    assert rows.asked == 10


def test_overlay_hides_the_index() -> None:
    directory = opened(Rows(COMPLETE_ENTRIES + 10))
    directory.drop(b"row3")
    assert directory.get(b"row3") is None
    directory.put(b"row3", (1, 100_000, 8))
    directory.drop(b"row4")
    names = listing(directory, 1000)
    assert names[-1] == b"row3"
    assert b"row4" not in names
    assert len(names) == len(set(names)) == COMPLETE_ENTRIES + 9


def test_forgetting_a_committed_change_shows_the_index_again() -> None:
    rows = Rows(COMPLETE_ENTRIES + 1)
    directory = opened(rows)
    directory.put(b"new", (1, 100_000, 8))
    directory.drop(b"row1")
    rows.rows[b"new"] = (1, 100_000, 8)
    del rows.rows[b"row1"]
    for name in (b"new", b"row1"):
        directory.forget(name)
    assert not directory.names
    assert not directory.removed
    assert directory.get(b"new") == (1, 100_000, 8)
    assert listing(directory, 500)[-1] == b"new"


@pytest.mark.parametrize("count", [0, 50, COMPLETE_ENTRIES + 50])
@pytest.mark.parametrize("seed", range(4))
def test_what_stays_is_listed_exactly_once_while_others_come_and_go(count: int, seed: int) -> None:
    rng = random.Random(seed)
    rows = Rows(count)
    directory = opened(rows, complete=not count)
    cookie = FIRST_COOKIE + count
    for n in range(60):
        directory.put(b"early%d" % n, (n, cookie, 8))
        cookie += 1
    staying = {name for name in [*rows.rows, *directory.names] if rng.random() < 0.5}
    going = [name for name in [*rows.rows, *directory.names] if name not in staying]
    seen: list[bytes] = []
    at = 2
    while part := directory.list_after(at, rng.choice((1, 5, 40))):
        seen += [row[0] for row in part]
        at = part[-1][2]
        for _ in range(rng.randrange(6)):
            if going and rng.random() < 0.6:
                directory.drop(going.pop())
            else:
                directory.put(b"late%d" % cookie, (1, cookie, 8))
                cookie += 1
            if len(seen) > count + 500:
                break
        if cookie > FIRST_COOKIE + count + 400:
            break
    seen += [row[0] for row in _rest(directory, at)]
    assert {name: seen.count(name) for name in staying} == dict.fromkeys(staying, 1)


def _rest(directory: Directory, at: int) -> list[EntryRow]:
    found: list[EntryRow] = []
    while part := directory.list_after(at, 100):
        found += part
        at = part[-1][2]
    return found


def test_the_limiter_knows_what_is_kept() -> None:
    limiter = MemoryLimiter(1 << 20)
    directory = Directory(5, Rows(), limiter, complete=True)
    for n in range(10):
        directory.put(b"%d" % n, (n, 3 + n, 8))
    directory.drop(b"3")
    assert limiter.used_bytes == 9 * ENTRY_BYTES
    directory.forget_clean({b"4", b"3"})
    assert set(directory.names) == {b"4"}
    assert directory.removed == {b"3"}
    assert limiter.used_bytes == ENTRY_BYTES
    directory.release()
    assert limiter.used_bytes == 0
