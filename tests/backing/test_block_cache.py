"""The cache of decoded blocks: one decoding for all who want a block, and a bound that holds."""

import random
import threading

import pytest

from vfs.backing.block_cache import BlockCache


def check_invariants(cache: BlockCache) -> None:
    assert cache.used_bytes == sum(map(len, cache._blocks.values())) <= cache.limit_bytes
    assert cache._decoding == {}


def test_a_block_is_decoded_once() -> None:
    cache = BlockCache(1000)
    calls: list[int] = []

    def decode() -> bytes:
        calls.append(1)
        return b"data"

    assert [cache.get(1, decode) for _ in range(3)] == [b"data"] * 3
    assert (len(calls), cache.hits, cache.misses, cache.used_bytes) == (1, 2, 1, 4)
    assert (cache.peek(1), cache.peek(2), 1 in cache, 2 in cache) == (b"data", None, True, False)


def test_what_was_used_longest_ago_goes() -> None:
    cache = BlockCache(30)
    for block in (1, 2, 3):
        cache.get(block, lambda: bytes(10))
    cache.get(1, lambda: bytes(10))
    cache.peek(2)
    cache.get(4, lambda: bytes(10))
    assert [block for block in range(5) if block in cache] == [1, 2, 4]
    check_invariants(cache)


def test_a_block_that_is_too_large_is_given_but_not_kept() -> None:
    cache = BlockCache(30)
    cache.get(1, lambda: bytes(10))
    assert cache.get(2, lambda: bytes(31)) == bytes(31)
    assert (1 in cache, 2 in cache) == (True, False)
    assert BlockCache(0).get(1, lambda: b"x") == b"x"


def test_the_bound_holds_whatever_comes() -> None:
    chance = random.Random(0)
    cache = BlockCache(500)
    for _ in range(3000):
        block = chance.randrange(60)
        if chance.random() < 0.1:
            cache.forget([block, block + 1])
        else:
            assert len(cache.get(block, lambda size=block * 3: bytes(size))) == block * 3  # type: ignore[misc]
        check_invariants(cache)


def test_a_failure_is_told_and_not_kept() -> None:
    cache = BlockCache(100)

    def fail() -> bytes:
        raise OSError("no")

    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            cache.get(1, fail)
    assert cache.get(1, lambda: b"yes") == b"yes"
    check_invariants(cache)


@pytest.mark.parametrize("fails", [False, True])
def test_those_who_want_the_same_block_wait_for_one_decoding(fails: bool) -> None:
    cache = BlockCache(100)
    may_end = threading.Event()
    begun = threading.Semaphore(0)
    calls: list[int] = []
    found: list[bytes | str] = []

    def decode() -> bytes:
        calls.append(1)
        begun.release()
        assert may_end.wait(60)
        if fails and len(calls) == 1:
            raise OSError("no")
        return b"data"

    def read() -> None:
        try:
            found.append(cache.get(1, decode))
        except OSError as error:
            found.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert begun.acquire(timeout=60)
    assert cache.get(2, lambda: b"other") == b"other", "another block does not wait"
    assert cache.peek(1) is None
    may_end.set()
    for thread in threads:
        thread.join(60)
    assert len(calls) == (2 if fails else 1)
    assert sorted(map(str, found)) == sorted(["b'data'"] * (5 if fails else 6) + ["no"] * fails)
    check_invariants(cache)
