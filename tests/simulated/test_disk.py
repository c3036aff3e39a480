"""The simulated disk itself: it keeps what was synced, may lose the rest in every way, repeatably."""

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault, Stopped
from tests.simulated.medium import PAGE_BYTES, SECTOR_BYTES, FileNode


def outcomes(storage: SimulatedStorage, name: str, times: int = 300) -> set[bytes | None]:
    """What a file may hold after a power cut; None: there is none."""
    found: set[bytes | None] = set()
    for seed in range(times):
        after = storage.crash(random.Random(seed))
        found.add(after.content(name) if after.exists(name) else None)
    return found


def test_synced_bytes_survive_and_others_may() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    file.append((b"synced",))
    file.sync()
    assert outcomes(storage, "f") == {None, b"synced"}  # the name was not synced
    storage.sync_folder("")
    assert outcomes(storage, "f") == {b"synced"}
    file.append((b"A" * 600 + b"B" * 600,))
    found = {content for content in outcomes(storage, "f") if content is not None}
    assert all(content.startswith(b"synced") for content in found)
    first = SECTOR_BYTES - 6
    assert b"synced" in found
    assert b"synced" + b"A" * 600 + b"B" * 600 in found
    assert b"synced" + b"A" * first in found
    assert any(content[6:SECTOR_BYTES] == bytes(first) and content[600:] for content in found)
    assert any(len(content) == 1206 and content[-1] == 0 for content in found)
    assert any(len(content) % SECTOR_BYTES and len(content) < 1206 for content in found - {b"synced"})


def test_a_sector_is_as_the_cache_held_it_at_some_moment() -> None:
    """Of two writes that no sync has covered the later one may reach the medium alone only where it lies in
    another sector; and the earlier one never goes over the later one."""
    storage = SimulatedStorage()
    file = storage.create("f")
    file.append((bytes(2 * SECTOR_BYTES),))
    file.sync()
    storage.sync_folder("")
    file.write_at(0, b"first")
    file.write_at(3, b"again")
    file.write_at(SECTOR_BYTES, b"later")
    found = {
        (content[:8], content[SECTOR_BYTES : SECTOR_BYTES + 5])
        for content in outcomes(storage, "f")
        if content
    }
    earlier, later = (bytes(8), b"first\0\0\0", b"firagain"), (bytes(5), b"later")
    assert found == {(one, other) for one in earlier for other in later}


def test_a_write_in_which_the_process_is_killed_may_be_there_in_part() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    storage.stop_at, storage.stop_partial = storage.calls, 3
    with pytest.raises(Stopped):
        file.append((b"abcdef",))
    assert storage.kill().content("f") == b"abc"


def test_a_part_of_a_page_stays_in_the_cache() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    storage.sync_folder("")
    file.append((b"x" * 3 * PAGE_BYTES,))
    storage.faults.append(Fault(errno.EIO, "sync"))
    with pytest.raises(OSError):
        file.sync()
    assert storage.lost_pages == {"f"}
    held = storage.crash().content("f").ljust(3 * PAGE_BYTES, b"\0")
    file.drop_cache(1)
    assert storage.content("f") == b"x" * PAGE_BYTES + held[PAGE_BYTES:]


def test_names_survive_in_any_subset_and_renames_whole() -> None:
    storage = SimulatedStorage()
    for name in ("a", "b"):
        file = storage.create(name)
        file.append((name.encode(),))
        file.sync()
    storage.sync_folder("")
    storage.rename("a", "b")
    storage.create("c")
    storage.create("d")
    storage.unlink("d")
    found = {
        tuple((name, after.content(name)) for name in after.list(""))
        for after in (storage.crash(random.Random(seed)) for seed in range(300))
    }
    old, new = (("a", b"a"), ("b", b"b")), (("b", b"a"),)
    c, d = (("c", b""),), (("d", b""),)
    assert found == {names + extra for names in (old, new) for extra in ((), c, d, c + d)}


def test_a_folder_that_was_not_synced_may_be_gone_with_all_in_it() -> None:
    storage = SimulatedStorage()
    storage.make_folder("log")
    storage.create("log/a")
    storage.sync_folder("log")
    found = {tuple(storage.crash(random.Random(seed)).list("")) for seed in range(50)}
    assert found == {(), ("log",)}


def test_an_unsynced_truncate_may_be_lost() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    file.append((b"0123456789",))
    file.sync()
    storage.sync_folder("")
    file.truncate(4)
    assert outcomes(storage, "f") >= {b"0123", b"0123456789"}
    file.sync()
    assert outcomes(storage, "f") == {b"0123"}


def test_a_kill_keeps_everything_and_syncs_nothing() -> None:
    storage = SimulatedStorage()
    storage.create("f").append((b"bytes",))
    after = storage.kill()
    assert after.content("f") == b"bytes"
    assert None in outcomes(after, "f")
    after.open("f", writable=True).append((b"more",))
    assert storage.content("f") == b"bytes"


def test_the_same_seed_gives_the_same_disk() -> None:
    def life() -> list[bytes | None]:
        storage = SimulatedStorage(7)
        file = storage.create("f")
        storage.sync_folder("")
        for _ in range(5):
            file.append((storage.rng.randbytes(700),))
        return [storage.crash().content("f") for _ in range(20)]

    assert life() == life()


def test_calls_fail_as_told() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    storage.faults += [
        Fault(errno.EIO, "append", skip=1, partial=2),
        Fault(errno.ENOSPC, "truncate", name="f", times=2),
        Fault(errno.EACCES, "rename"),
        Fault(errno.EIO, "append", area="folder"),
    ]
    file.append((b"one",))
    with pytest.raises(OSError) as failed:
        file.append((b"two",))
    assert failed.value.errno == errno.EIO
    assert storage.content("f") == b"onetw"
    file.append((b"three",))
    for _ in range(2):
        with pytest.raises(OSError):
            file.truncate(0)
    file.truncate(0)
    with pytest.raises(PermissionError):
        storage.rename("f", "g")
    assert [kind for kind, _ in storage.history] == ["create", *["append"] * 3, *["truncate"] * 3, "rename"]
    assert storage.calls == 8
    storage.faults.append(Fault(errno.EIO))
    assert file.pread(1, 0) == b""
    with pytest.raises(OSError):
        storage.create("g")
    storage.create("g")


def test_a_full_disk_takes_what_fits() -> None:
    storage = SimulatedStorage()
    storage.space_bytes = 10
    file = storage.create("f")
    file.append((b"12345678",))
    assert storage.space().free_bytes == 2
    with pytest.raises(OSError) as failed:
        file.append((b"abcd",))
    assert failed.value.errno == errno.ENOSPC
    assert storage.content("f") == b"12345678ab"
    file.truncate(8)
    file.append((b"x",))
    storage.unlink("f")
    assert storage.space().free_bytes == 10


def test_a_failed_sync_loses_pages_that_the_cache_still_shows() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    storage.sync_folder("")
    file.append((b"x" * 2000,))
    storage.faults.append(Fault(errno.EIO, "sync"))
    with pytest.raises(OSError):
        file.sync()
    file.sync()  # says yes, and writes nothing: the pages count as clean
    assert storage.content("f") == b"x" * 2000
    assert outcomes(storage, "f") != {b"x" * 2000}
    held = storage.crash().content("f")
    file.drop_cache(0)
    assert storage.content("f") == held + bytes(2000 - len(held))


def test_a_stopped_machine_stays_so() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    file.append((b"a",))
    storage.stop_at = storage.calls
    with pytest.raises(Stopped):
        file.append((b"b",))
    assert storage.stopped
    for call in (file.sync, lambda: storage.open("f"), lambda: file.pread(1, 0), lambda: storage.unlink("f")):
        with pytest.raises(Stopped):
            call()
    assert storage.kill().content("f") == b"ab"


def test_flipped_bits_are_flipped_everywhere() -> None:
    storage = SimulatedStorage()
    file = storage.create("f")
    file.append((b"\0\0",))
    file.sync()
    file.append((b"\0\0",))
    storage.flip("f", 1, 3)
    storage.flip("f", 2, 0)
    assert storage.content("f") == b"\0\x08\x01\0"
    file.drop_cache(0)
    assert storage.content("f") == b"\0\x08\x01\0"
    file.sync()
    storage.sync_folder("")
    assert storage.crash().content("f") == b"\0\x08\x01\0"


changes = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3000), st.integers(1, 1500)),
        st.tuples(st.just("resize"), st.integers(0, 3000), st.just(0)),
        st.tuples(st.just("sync"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(changes, st.integers(0, 2**32))
def test_a_file_after_a_power_cut_is_made_of_its_sectors(
    steps: list[tuple[str, int, int]], seed: int
) -> None:
    node = FileNode()
    rng = random.Random(seed)
    versions: list[bytes] = [b""]
    for kind, offset, length in steps:
        if kind == "write":
            node.write(offset, rng.randbytes(length))
        elif kind == "resize":
            node.resize(offset)
        else:
            node.sync()
            assert node.durable == node.content
            versions = []
        versions.append(bytes(node.content))
    found = bytes(node.survivor(rng))
    longest = max(map(len, versions))
    assert len(found) <= longest
    padded = [version.ljust(longest, b"\0") for version in versions]
    if not any(kind == "resize" for kind, _, _ in steps):
        for start in range(0, len(found), SECTOR_BYTES):
            for index in range(start, min(start + SECTOR_BYTES, len(found))):
                assert found[index] in {0, *(version[index] for version in padded)}
