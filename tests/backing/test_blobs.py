"""Reading blobs: the right range from any block, without waiting where it says so, also while blobs move."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backing.made_packs import BLOCK_BYTES, PackedStore, file_of, media, text
from tests.simulated.disk import SimulatedFile
from vfs.backing import blobs as blobs_module
from vfs.backing.blobs import Blobs, Packs
from vfs.backing.codecs import Codec
from vfs.errors import PackDamaged
from vfs.limits import KIB

CONTENTS = [*(text(3000, seed) for seed in range(12)), *(media(40_000, seed) for seed in range(3))]
STORE = PackedStore()
_, NUMBERS = STORE.put(CONTENTS)


@given(which=st.integers(0, len(CONTENTS) - 1), start=st.integers(0, 41_000), length=st.integers(0, 41_000))
def test_any_range_of_any_blob(which: int, start: int, length: int) -> None:
    content = CONTENTS[which]
    if start + length <= len(content):
        assert bytes(STORE.blobs.read(NUMBERS[which], start, length)) == content[start : start + length]
        found = STORE.blobs.read_resident(NUMBERS[which], start, length)
        assert found is not None
        assert bytes(found) == content[start : start + length]
    else:
        with pytest.raises(PackDamaged):
            STORE.blobs.read(NUMBERS[which], start, length)
        assert STORE.blobs.read_resident(NUMBERS[which], start, length) is None


@given(data=st.data())
def test_many_ranges_at_once(data: st.DataObject) -> None:
    """Neighbours in a block, blocks that lie back to back, and others, in any mixture."""
    first = data.draw(st.integers(0, len(CONTENTS) - 1))
    whole = [(number, 0, len(CONTENTS[number])) for number in range(first, len(CONTENTS))]
    wanted = data.draw(st.sampled_from([whole, *(whole[:end] for end in range(1, len(whole)))]))
    begin = data.draw(st.integers(0, wanted[0][2]))
    wanted[0] = (first, begin, wanted[0][2] - begin)
    wanted[-1] = (*wanted[-1][:2], data.draw(st.integers(0, wanted[-1][2])))
    ranges = [(NUMBERS[which], start, length) for which, start, length in wanted]
    content = b"".join(CONTENTS[which][start : start + length] for which, start, length in wanted)
    blobs = STORE.again() if data.draw(st.booleans()) else STORE.blobs
    assert b"".join(blobs.read_all(ranges)) == content
    assert b"".join(blobs.read_all_resident(ranges) or ()) == content


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long each read of the disk was."""
    lengths: list[int] = []
    pread = SimulatedFile.pread

    def counted(file: SimulatedFile, length: int, offset: int) -> bytes:
        lengths.append(length)
        return pread(file, length, offset)

    monkeypatch.setattr(SimulatedFile, "pread", counted)
    return lengths


def test_what_lies_back_to_back_is_one_request(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = STORE.again()
    ranges = [(number, 0, 40_000) for number in NUMBERS[-3:]]
    assert b"".join(blobs.read_all(ranges)) == b"".join(CONTENTS[-3:])
    assert len(asked) == 1
    assert blobs.read_all_resident(ranges) is not None
    monkeypatch.setattr(STORE.storage, "cold", True)
    assert blobs.read_all_resident(ranges) is None


def test_a_run_does_not_begin_far_before_what_is_wanted(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums of its first block, which lie there, are read apart then."""
    blobs = STORE.again()
    monkeypatch.setattr(blobs_module, "RUN_BYTES", 42_000)
    first, second = (NUMBERS[-3], 39_000, 1000), NUMBERS[-2]
    assert b"".join(blobs.read_all([first, (second, 0, 1500)])) == CONTENTS[-3][39_000:] + CONTENTS[-2][:1500]
    assert max(asked) > 40_000, "so much is one request"
    for read in (STORE.again().read_all, blobs.read_all_resident):
        asked.clear()
        parts = read([first, (second, 0, 2500)])
        assert b"".join(parts or ()) == CONTENTS[-3][39_000:] + CONTENTS[-2][:2500]
        assert max(asked) <= 32 * KIB


def test_of_many_blocks_the_damaged_one_is_known() -> None:
    store = PackedStore()
    sealed, numbers = store.put([media(40_000, seed) for seed in range(3)])
    store.storage.flip(file_of(sealed), sealed.blocks[1].offset + 5000)
    with pytest.raises(PackDamaged, match=f"block {sealed.blocks[1].id}"):
        list(store.blobs.read_all([(number, 0, 40_000) for number in numbers]))
    assert store.blobs.damaged == {sealed.blocks[1].id}
    assert store.blobs.read_all_resident([(number, 0, 40_000) for number in numbers]) is None


def test_one_small_block_is_decoded_at_once() -> None:
    blobs = STORE.again()
    blobs.read(NUMBERS[-1], 0, 1)  # opens the pack
    ranges = [(NUMBERS[0], 0, 10), (NUMBERS[11], 0, 10)]
    for blob, _, _ in ranges:
        blobs._place(blob, 0, 0)  # finds the places
    assert blobs.read_all_resident(ranges) is None, "two would take long"
    assert not blobs.are_open_to_read(ranges)
    assert blobs.cache.misses == 0
    assert blobs.are_open_to_read(ranges[:1])
    assert blobs.read_all_resident(ranges[:1]) == [CONTENTS[0][:10]]
    assert blobs.cache.misses == 1
    assert not blobs.are_open_to_read(ranges), "still one to be decoded, and another"
    blobs.read(*ranges[1])
    assert blobs.are_open_to_read(ranges)
    assert blobs.read_all_resident(ranges) == [CONTENTS[0][:10], CONTENTS[11][:10]]


def test_what_is_open_to_read_is_read_without_waiting_and_nothing_else_is() -> None:
    """But for the disk: else it would be looked for in vain, again and again."""
    ranges = [(number, 0, 10) for number in NUMBERS]
    for first in range(len(ranges)):
        for end in range(first + 1, len(ranges) + 1):
            blobs = STORE.again()
            assert not blobs.are_open_to_read(ranges[first:end]), "it would have to be looked up"
            blobs.read(NUMBERS[-1], 0, 1)
            for blob in NUMBERS:
                blobs._place(blob, 0, 0)
            is_open = blobs.are_open_to_read(ranges[first:end])
            assert is_open == (blobs.read_all_resident(ranges[first:end]) is not None)


@pytest.mark.parametrize(("blob", "start", "length"), [(10**9, 0, 1), (0, 0, 0), (NUMBERS[0], -1, 1)])
def test_what_is_not_there_is_damage(blob: int, start: int, length: int) -> None:
    with pytest.raises(PackDamaged):
        STORE.blobs.read(blob, start, length)
    assert STORE.blobs.read_resident(blob, start, length) is None


def test_each_block_is_decoded_once_from_end_to_end() -> None:
    blobs = STORE.again()
    for number, content in zip(NUMBERS[:12], CONTENTS, strict=False):
        for start in range(0, len(content), 500):
            blobs.read(number, start, 500)
    compressed = {place.block.id for place in STORE.rows.places(0, 1000) if place.block.codec == Codec.ZSTD}
    assert blobs.cache.misses == len(compressed) > 1
    assert blobs.cache.used_bytes <= blobs.cache.limit_bytes


def test_nothing_waits_that_says_it_does_not() -> None:
    """Not for the index, not for a pack to be opened, not for a block to be decoded."""
    blobs = STORE.again()
    packed, plain = NUMBERS[0], NUMBERS[-1]
    assert blobs.read_resident(packed, 0, 10) is None
    assert blobs.read_resident(plain, 0, 10) is None
    blobs.read(plain, 0, 10)  # finds the places, opens the pack
    assert blobs.read_resident(packed, 0, 10) is None, "it would have to be decoded"
    assert blobs.read_resident(plain, 0, 10) == CONTENTS[-1][:10]
    blobs.read_ahead([(packed, 0, 1)])
    assert blobs.read_resident(packed, 5, 10) == CONTENTS[0][5:15]
    STORE.storage.cold = True
    try:
        assert blobs.read_resident(plain, 0, 10) is None
        assert blobs.read_resident(packed, 5, 10) == CONTENTS[0][5:15], "that is in our own memory"
    finally:
        STORE.storage.cold = False


@pytest.mark.parametrize("content", [text(3000), media(40_000)])
def test_a_block_in_memory_is_verified_and_read_at_once_also_for_the_first_time(content: bytes) -> None:
    store = PackedStore()
    sealed, (number,) = store.put([content])

    def opened() -> Blobs:
        blobs = store.again()
        blobs.packs.open(sealed.id, sealed.name)
        blobs._place(number, 0, 0)
        return blobs

    sound, (block,) = opened(), sealed.blocks
    assert bytes(sound.read_resident(number, 10, 100) or b"") == content[10:110]
    store.storage.flip(file_of(sealed), block.offset + block.stored - 200)
    sound.cache.forget([block.id])
    for blobs in (sound, opened()):
        with pytest.raises(PackDamaged, match=f"block {block.id}"):
            blobs.read_resident(number, len(content) - 300, 300)
        assert blobs.damaged == {block.id}


def test_a_reader_that_jumps_about_looks_few_places_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PackedStore()
    _, numbers = store.put([text(100, seed) for seed in range(300)])
    blobs, asked = store.again(), []
    places = store.rows.places

    def counted(first: int, limit: int):
        asked.append(limit)
        return places(first, limit)

    monkeypatch.setattr(store.rows, "places", counted)
    for which in (200, 150, 250):
        blobs.read(numbers[which], 0, 100)
    assert asked == [blobs_module.FEW_PLACES] * 3
    asked.clear()
    for number in numbers[:140]:
        blobs.read(number, 0, 100)
    assert asked == [blobs_module.FEW_PLACES, *[blobs_module.PLACES_AT_ONCE] * 2]


def test_reading_ahead_makes_no_fuss() -> None:
    blobs = STORE.again()
    blobs.read_ahead([(10**9, 0, 0)])
    blobs.read_ahead([(NUMBERS[-1], 0, 10)])
    blobs.read_ahead([(NUMBERS[0], 0, 10)])
    blobs.read_ahead([(NUMBERS[0], 0, 10)])
    assert blobs.cache.misses == 1
    assert blobs.damaged == set()


def test_a_cache_that_is_too_small_is_only_slow() -> None:
    blobs = STORE.again(cache_bytes=BLOCK_BYTES + 100)
    for _ in range(2):
        for number, content in zip(NUMBERS, CONTENTS, strict=True):
            assert bytes(blobs.read(number, 0, len(content))) == content
            assert blobs.cache.used_bytes <= BLOCK_BYTES + 100


def test_few_places_are_asked_for_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_module, "KNOWN_PLACES", 100)
    store = PackedStore()
    _, numbers = store.put(text(50, seed) for seed in range(500))
    asked: list[int] = []
    places = store.rows.places

    def counted(first: int, limit: int):
        asked.append(first)
        return places(first, limit)

    monkeypatch.setattr(store.rows, "places", counted)
    for number in numbers:
        store.blobs.read(number, 0, 50)
        assert len(store.blobs._places) <= 100
    rest = 500 - blobs_module.FEW_PLACES
    assert len(asked) == 1 + -(-rest // blobs_module.PLACES_AT_ONCE)
    monkeypatch.setattr(blobs_module, "KNOWN_PLACES", 1000)
    small = store.again(cache_bytes=400 * blobs_module.PLACE_BYTES)
    for number in numbers:
        small.read(number, 0, 50)
    assert len(small._places) == 400, "with a small cache they are fewer"


def test_a_bounded_number_of_packs_is_open() -> None:
    store = PackedStore()
    stored = [store.put([text(100, seed)]) for seed in range(5)]
    packs = Packs(store.storage, bytes(range(16)), limit=2)
    kept = [packs.open(sealed.id, sealed.name) for sealed, _ in stored]
    assert [packs.opened(sealed.id) is not None for sealed, _ in stored] == [False] * 3 + [True] * 2
    for (sealed, _), pack in zip(stored, kept, strict=True):  # who still holds one can read on
        assert len(pack.read_block(sealed.blocks[0])) == 100
    assert packs.open(stored[4][0].id, stored[4][0].name) is kept[4]
    packs.forget(stored[4][0].id)
    assert packs.opened(stored[4][0].id) is None
    packs.close()
    assert packs.opened(stored[3][0].id) is None


def test_blobs_that_moved_are_found_again() -> None:
    store = PackedStore()
    content = text(5000)
    old, (number,) = store.put([content])
    store.blobs.read(number, 0, 10)
    session = store.session()
    session.add_known(number, content)
    sealed = session.seal()
    assert sealed is not None
    with store.index.transaction() as transaction:
        transaction.put_pack(sealed)
        transaction.set_going([old.id])
    store.blobs.forget_places()
    store.blobs.cache.forget([old.blocks[0].id])
    store.storage.unlink(file_of(old))
    store.blobs.packs.forget(old.id)
    assert bytes(store.blobs.read(number, 0, 5000)) == content


def test_a_place_that_was_looked_up_before_is_not_kept_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of a reader is overtaken by a collection that moves the blob."""
    store = PackedStore()
    _, (number,) = store.put([text(100)])
    places = store.rows.places

    def overtaken(first: int, limit: int):
        found = places(first, limit)
        store.blobs.forget_places()
        return found

    monkeypatch.setattr(store.rows, "places", overtaken)
    assert bytes(store.blobs.read(number, 0, 100)) == text(100)
    assert store.blobs.read_resident(number, 0, 100) is None, "it might be void by now"


def test_any_thread_may_read() -> None:
    blobs = STORE.again(cache_bytes=2 * BLOCK_BYTES)
    wrong: list[int] = []

    def read(first: int) -> None:
        for turn in range(60):
            which = (first + turn * 7) % len(CONTENTS)
            if bytes(blobs.read(NUMBERS[which], 100, 2000)) != CONTENTS[which][100:2100]:
                wrong.append(which)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert blobs.cache.used_bytes <= blobs.cache.limit_bytes


def test_a_row_that_leads_out_of_its_block_gives_nothing_short() -> None:
    store = PackedStore()
    _, (first, last) = store.put([text(3000, 1), text(3000, 2)])
    with store.index.transaction() as transaction:
        list(transaction.query("UPDATE blob SET offset=offset+100 WHERE id=?", (last,)))
    store.blobs.read(first, 0, 10)  # decodes the block, and finds both places
    assert store.blobs.read_resident(last, 0, 3000) is None
    with pytest.raises(PackDamaged, match="not inside of block"):
        store.blobs.read(last, 0, 3000)
