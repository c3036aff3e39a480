"""A session: equal blobs get one number wherever they are; it ends with a durable pack or with nothing."""

import errno
import gc
import random
import weakref
from collections import Counter

import pytest
from blake3 import blake3

from tests.backing.made_packs import UUID, PackedStore, media, text
from tests.simulated.faults import Fault
from vfs.backing import pack_session
from vfs.backing.pack_session import PackSession
from vfs.backing.packs import PackFile
from vfs.backing.places import COMING, PACKS_FOLDER, THERE, SealedPack, hash_prefix


@pytest.fixture
def store() -> PackedStore:
    return PackedStore()


def test_equal_blobs_get_one_number(store: PackedStore) -> None:
    contents = [text(3000), media(20_000), text(10), b"x"]
    session = store.session()
    first = [session.add(content) for content in contents]
    assert [session.add(bytearray(content)) for content in contents] == first
    assert len(set(first)) == 4
    assert session.new_bytes * 2 == session.raw_bytes == 2 * sum(map(len, contents))
    sealed = session.seal()
    assert sealed is not None
    assert [entry.id for entry in sealed.blobs] == first
    assert {entry.hash for entry in sealed.blobs} == {blake3(content).digest() for content in contents}
    store.commit(sealed)
    later = store.session()
    assert [later.add(content) for content in contents] == first
    assert later.new_bytes == 0
    assert later.seal() is None, "nothing new, no pack"
    assert [row.state for row in store.rows.packs()] == [THERE]
    assert store.storage.list(PACKS_FOLDER) == [sealed.name]


def test_numbers_of_a_stream_follow_each_other(store: PackedStore) -> None:
    _, numbers = store.put(text(100, seed) for seed in range(50))
    assert numbers == list(range(numbers[0], numbers[0] + 50))
    _, more = store.put(text(100, seed) for seed in range(50, 60))
    assert not set(more) & set(numbers)


def test_as_many_numbers_as_it_takes(store: PackedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_session, "BLOBS_AT_ONCE", 7)
    monkeypatch.setattr(pack_session, "BLOCKS_AT_ONCE", 2)
    contents = [text(5000, seed) for seed in range(40)]
    sealed, numbers = store.put(contents)
    assert len(set(numbers)) == 40
    assert len({block.id for block in sealed.blocks}) == len(sealed.blocks) > 10
    other, more = store.put(text(5000, seed) for seed in range(40, 60))
    assert not set(more) & set(numbers)
    assert not {block.id for block in other.blocks} & {block.id for block in sealed.blocks}
    for number, content in zip(numbers, contents, strict=True):
        assert bytes(store.blobs.read(number, 0, len(content))) == content


def test_a_hash_is_compared_whole(store: PackedStore) -> None:
    """Blobs whose hashes begin alike are not equal."""
    sealed, numbers = store.put([b"one", b"two"])
    digest = blake3(b"other").digest()
    with store.index.transaction() as transaction:
        for _ in transaction.query("UPDATE blob SET prefix=?, length=5", (hash_prefix(digest),)):
            pass
    session = store.session()
    assert session.add(b"other") not in numbers
    session.abandon()
    assert sealed.name in store.storage.list(PACKS_FOLDER)


def test_blobs_that_move_keep_their_numbers(store: PackedStore) -> None:
    contents = [text(3000, 1), media(30_000), text(5000, 2)]
    old, numbers = store.put(contents)
    session = store.session()
    for number, content in zip(numbers, contents, strict=True):
        session.add_known(number, content)
    sealed = session.seal()
    assert sealed is not None
    assert sealed.moved
    assert [entry.id for entry in sealed.blobs] == numbers
    with store.index.transaction() as transaction:
        transaction.put_pack(sealed)
        transaction.set_going([old.id])
    store.blobs.forget_places()
    store.storage.unlink(f"{PACKS_FOLDER}/{old.name}")
    store.blobs.packs.forget(old.id)
    for number, content in zip(numbers, contents, strict=True):
        assert bytes(store.blobs.read(number, 0, len(content))) == content
    again = store.session()
    assert [again.add(content) for content in contents] == numbers


def test_a_pack_is_announced_before_its_file_is_there(store: PackedStore) -> None:
    session = store.session()
    assert store.rows.packs() == []
    session.add(b"data")
    assert [row.state for row in store.rows.packs()] == [COMING]
    (name,) = store.storage.list(PACKS_FOLDER)
    assert name == f"new-{store.rows.packs()[0].id}"
    sealed = session.seal()
    assert sealed is not None
    assert store.storage.list(PACKS_FOLDER) == [sealed.name]
    assert [row.state for row in store.rows.packs()] == [COMING], "the caller makes it known"
    PackFile.open(store.storage, sealed.name, UUID)


@pytest.mark.parametrize("begun", [False, True])
def test_an_abandoned_session_leaves_nothing(store: PackedStore, begun: bool) -> None:
    session = store.session()
    if begun:
        for seed in range(30):
            session.add(media(3000, seed))
    session.abandon()
    assert store.storage.list(PACKS_FOLDER) == []
    assert store.rows.packs() == []
    sealed, _ = store.put([b"next"])
    assert sealed.id > begun


def filled_session(fault: Fault | None) -> tuple[PackedStore, PackSession, int]:
    """A store with one pack, a session that will fill another, and the number of calls to the disk so far."""
    store = PackedStore()
    store.put([b"there before"])
    calls = store.storage.calls
    if fault is not None:
        store.storage.faults.append(fault)
    return store, store.session(), calls


def fill(session: PackSession) -> SealedPack | None:
    for seed in range(10):
        session.add(media(8000, seed))
    return session.seal()


def test_whatever_call_fails_nothing_is_left() -> None:
    """Every call for the pack's own file or folder fails once: that is told, and what is left is clean."""
    store, session, calls = filled_session(None)
    fill(session)
    seen: Counter[tuple[str, str]] = Counter()
    for kind, name in store.storage.history[calls:]:
        if not name.startswith(PACKS_FOLDER):
            continue
        failing, session, _ = filled_session(Fault(errno.EIO, kind, name, skip=seen[kind, name]))
        seen[kind, name] += 1
        with pytest.raises(OSError) as caught:
            fill(session)
        assert caught.value.errno == errno.EIO
        session.abandon()
        assert [row.state for row in failing.rows.packs()] == [THERE]
        assert failing.storage.list(PACKS_FOLDER) == [failing.rows.packs()[0].name]
        failing.storage.faults = []
        assert fill(failing.session()) is not None
    assert {kind for kind, _ in seen} == {"create", "append", "sync", "rename", "sync_folder"}


def test_the_same_calls_whatever_the_threads_do() -> None:
    """With no workers, what a session asks of the disk depends on nothing but what it is given."""
    histories = []
    for _ in range(2):
        store = PackedStore()
        store.put(text(3000, seed) for seed in range(30))
        calls = store.storage.history
        histories.append([call for call in calls if call[1].startswith(PACKS_FOLDER)])
    assert histories[0] == histories[1]


def test_workers_give_the_same_pack() -> None:
    chance = random.Random(5)
    contents = [(text if chance.random() < 0.7 else media)(chance.randrange(1, 9000), n) for n in range(120)]
    packs: list[SealedPack] = []
    for workers in (0, 2):
        store = PackedStore()
        session = store.session(workers=workers)
        for content in contents:
            session.add(content)
        sealed = session.seal()
        assert sealed is not None
        packs.append(sealed)
    assert packs[0] == packs[1]


def test_what_is_new_can_be_fetched(store: PackedStore) -> None:
    session = store.session()
    contents = [text(7000, seed) for seed in range(20)]
    numbers = [session.add(content) for content in contents]
    for number, content in zip(numbers, contents, strict=True):
        assert session.fetch(number) == content
    with pytest.raises(KeyError):
        session.fetch(10**6)
    session.abandon()


@pytest.mark.parametrize("sealed", [True, False])
def test_what_a_session_knew_goes_with_it(store: PackedStore, sealed: bool) -> None:
    """And not when Python looks for cycles, which may be hours later."""
    session = store.session()
    gone = weakref.ref(session)
    gc.disable()
    try:
        for seed in range(10):
            session.add(media(3000, seed))
        if sealed:
            assert session.seal() is not None
        else:
            session.abandon()
        del session
        assert gone() is None
    finally:
        gc.enable()
