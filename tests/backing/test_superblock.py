"""The superblock: whole or not there after any stop, and never a crash of ours over what a file may hold."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault, Stopped
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import FORMAT, NAME, Superblock
from vfs.errors import NewerFormat, NotAStore, StoreUnreadable

UUID = bytes(range(16))
BLOCK = Superblock(UUID, 1_700_000_000_123_456_789, {"codec": "zstd", "level": 3})
PATH = Path("/store")


def test_it_is_read_as_it_was_created(tmp_path: Path) -> None:
    for storage in (DirectoryStorage(tmp_path), SimulatedStorage()):
        made = Superblock.create(storage, {"a": [1, "ü"]})
        assert Superblock.read(storage) == made
        assert len(made.uuid) == 16
        assert storage.list("") == [NAME]
        given = Superblock.create(storage, BLOCK.options, store_uuid=UUID, created_ns=BLOCK.created_ns)
        assert Superblock.read(storage) == given == BLOCK
        storage.close()


def test_the_file_is_json_for_people(tmp_path: Path) -> None:
    fields = json.loads(BLOCK.encode())
    assert list(fields) == ["magic", "format", "uuid", "created", "options", "checksum"]
    assert (fields["magic"], fields["format"], fields["uuid"]) == ("vfs store", FORMAT, UUID.hex())
    assert fields["checksum"] == "8319354be8e679fa"


def test_any_stop_leaves_none_or_a_whole_one() -> None:
    calls = 0
    while True:
        storage = SimulatedStorage(calls)
        storage.stop_at = calls
        try:
            Superblock.create(storage, BLOCK.options, store_uuid=UUID, created_ns=BLOCK.created_ns)
        except Stopped:
            calls += 1
            for seed in range(20):
                after = storage.crash(random.Random(seed))
                if after.exists(NAME):
                    assert Superblock.read(after) == BLOCK
                Superblock.create(after)
                Superblock.read(after)
            continue
        break
    assert calls == 6
    for _ in range(20):
        assert Superblock.read(storage.crash()) == BLOCK


def test_a_missing_or_unreadable_one(tmp_path: Path) -> None:
    storage = SimulatedStorage()
    with pytest.raises(NotAStore, match="has no superblock"):
        Superblock.read(storage)
    Superblock.create(storage)
    storage.faults += [Fault(13, "open", NAME), Fault(5, "read", NAME)]
    for reason in ("Permission denied", "Input/output error"):
        with pytest.raises(StoreUnreadable, match=reason):
            Superblock.read(storage)
    storage.overwrite(NAME, b" " * (1 << 20))
    with pytest.raises(NotAStore, match="too long"):
        Superblock.read(storage)


def encoded(**changes: Any) -> bytes:
    return json.dumps({**json.loads(BLOCK.encode()), **changes}).encode()


def test_a_newer_format_is_told_from_damage() -> None:
    for newer in (encoded(format=FORMAT + 1), encoded(format=10**6, checksum=None, options=7)):
        with pytest.raises(NewerFormat, match="install a newer"):
            Superblock.decode(newer, PATH)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"magic":' * 50_000,
        b"9" * 10_000,
        b'{"magic": "vfs store", "format": ' + b"9" * 5_000 + b"}",
        BLOCK.encode()[:-5],
        encoded(magic="other"),
        encoded(magic=None),
        encoded(format="1"),
        encoded(format=True),
        encoded(format=1.0),
        encoded(format=0),
        encoded(format=-1),
        encoded(format=None),
        encoded(uuid="00"),
        encoded(created=1),
        encoded(options={"codec": "zstd"}),
        encoded(checksum=None),
        encoded(checksum=["x"]),
        encoded(extra=1),
    ],
)
def test_what_is_no_superblock_is_told(data: bytes) -> None:
    with pytest.raises(NotAStore, match=r"superblock\.json"):
        Superblock.decode(data, PATH)


class Lying(Superblock):
    """Encodes whatever it is given, with a right checksum."""


@pytest.mark.parametrize(
    "bad",
    [
        Lying(b"short", 1, {}),
        Lying(UUID, "1", {}),  # type: ignore[arg-type]
        Lying(UUID, True, {}),
        Lying(UUID, 1, []),  # type: ignore[arg-type]
        Lying(UUID, 1, None),  # type: ignore[arg-type]
    ],
)
def test_a_right_checksum_does_not_make_it_right(bad: Superblock) -> None:
    with pytest.raises(NotAStore, match=r"superblock\.json"):
        Superblock.decode(bad.encode(), PATH)


@given(st.binary(max_size=200))
def test_any_bytes_give_one_of_our_errors(data: bytes) -> None:
    with pytest.raises((NotAStore, NewerFormat)):
        Superblock.decode(data, PATH)


@given(st.integers(0, len(BLOCK.encode()) * 8 - 1))
def test_any_wrong_bit_is_noticed(bit: int) -> None:
    data = bytearray(BLOCK.encode())
    data[bit // 8] ^= 1 << bit % 8
    with suppress(NotAStore, NewerFormat):
        assert Superblock.decode(bytes(data), PATH) == BLOCK  # a bit in the blanks between
