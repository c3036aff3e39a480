"""Damage in every class of a pack's bytes: PackDamaged for what it concerns, right bytes for the rest."""

import errno

import pytest
from blake3 import blake3

from tests.backing.made_packs import UUID, PackedStore, file_of, media, text
from tests.simulated.faults import Fault
from vfs.backing.codecs import Codec
from vfs.backing.frames import PIECE_BYTES, sums_bytes
from vfs.backing.pack_format import BLOB, BLOCK, HEADER_BYTES, TRAILER_BYTES
from vfs.backing.packs import PackFile
from vfs.backing.places import BlockEntry, SealedPack
from vfs.errors import PackDamaged

CONTENTS = [*(text(9000, seed) for seed in range(4)), *(media(70_000, seed) for seed in range(2))]


class Damaged:
    """A store with one pack: compressed blocks, and two of the other kind with three pieces each."""

    def __init__(self) -> None:
        self.store = PackedStore()
        self.sealed, self.numbers = self.store.put(CONTENTS)
        self.size = self.sealed.size
        self.blocks: list[BlockEntry] = self.sealed.blocks
        self.compressed = [block for block in self.blocks if block.codec == Codec.ZSTD]
        self.plain = [block for block in self.blocks if block.codec == Codec.NONE]
        self.tables_at = self.size - TRAILER_BYTES - len(CONTENTS) * BLOB.size - len(self.blocks) * BLOCK.size
        assert len(self.compressed) > 1
        assert len(self.plain) == 2

    def flip(self, offset: int) -> None:
        self.store.storage.flip(file_of(self.sealed), offset, offset % 8)

    def lost(self) -> set[int]:
        """The blobs that cannot be read, through a reader that has seen nothing; all others must be right."""
        blobs = self.store.again()
        lost = set()
        for number, content in zip(self.numbers, CONTENTS, strict=True):
            try:
                assert bytes(blobs.read(number, 0, len(content))) == content
            except PackDamaged:
                lost.add(number)
        return lost

    def of(self, *blocks: BlockEntry) -> set[int]:
        """The blobs in some blocks."""
        wanted = {block.id for block in blocks}
        return {entry.id for entry in self.sealed.blobs if entry.block in wanted}


@pytest.fixture
def damaged() -> Damaged:
    return Damaged()


def refuses(damaged: Damaged) -> None:
    """The pack says nothing of itself any more."""
    with pytest.raises(PackDamaged) as error:
        PackFile.open(damaged.store.storage, damaged.sealed.name, UUID)
    assert error.value.pack == damaged.sealed.name
    pack = PackFile.attach(damaged.store.storage, damaged.sealed.name, UUID)
    for ask in (pack.blocks, pack.tables, lambda: list(pack.blobs()), lambda: pack.find(bytes(32))):
        with pytest.raises(PackDamaged):
            ask()


def test_nothing_is_lost_without_damage(damaged: Damaged) -> None:
    assert damaged.lost() == set()
    PackFile.open(damaged.store.storage, damaged.sealed.name, UUID)


def test_every_byte_of_header_tables_and_trailer_counts(damaged: Damaged) -> None:
    """And none of them is needed to read what the index knows the place of."""
    for offset in (*range(HEADER_BYTES), *range(damaged.tables_at, damaged.size)):
        damaged.flip(offset)
        refuses(damaged)
        if offset % 16 == 0:
            assert damaged.lost() == set()
        damaged.flip(offset)
    PackFile.open(damaged.store.storage, damaged.sealed.name, UUID)


def test_a_byte_of_a_compressed_block_costs_that_block(damaged: Damaged) -> None:
    for block in damaged.compressed:
        for offset in (0, block.stored // 2, block.stored - 1):
            damaged.flip(block.offset + offset)
            assert damaged.lost() == damaged.of(block)
            damaged.flip(block.offset + offset)


def test_a_byte_of_plain_data_costs_its_piece(damaged: Damaged) -> None:
    block = damaged.plain[1]
    (blob,) = damaged.of(block)
    content = CONTENTS[damaged.numbers.index(blob)]
    data_at = block.offset + sums_bytes(block.size)
    damaged.flip(data_at + PIECE_BYTES + 5)
    assert damaged.lost() == {blob}
    for blobs in (damaged.store.again(), damaged.store.blobs):
        assert blobs.read(blob, 0, PIECE_BYTES) == content[:PIECE_BYTES]
        assert blobs.read(blob, 2 * PIECE_BYTES, 4000) == content[2 * PIECE_BYTES :][:4000]
        for start, length in ((PIECE_BYTES, 1), (2 * PIECE_BYTES - 1, 1), (PIECE_BYTES - 1, 2), (0, 70_000)):
            with pytest.raises(PackDamaged):
                blobs.read(blob, start, length)
        assert blobs.damaged == {block.id}


def test_a_byte_of_the_sums_costs_the_block(damaged: Damaged) -> None:
    block = damaged.plain[0]
    for offset in range(sums_bytes(block.size)):
        damaged.flip(block.offset + offset)
        assert damaged.lost() == damaged.of(block)
        damaged.flip(block.offset + offset)


def test_a_pack_that_is_cut_off_keeps_the_blocks_that_are_there(damaged: Damaged) -> None:
    whole = damaged.store.storage.content(file_of(damaged.sealed))
    for length in (0, 1, 63, 64, damaged.blocks[1].offset, damaged.tables_at - 1, damaged.size - 1):
        damaged.store.storage.overwrite(file_of(damaged.sealed), whole[:length])
        gone = [block for block in damaged.blocks if block.offset + block.stored > length]
        assert damaged.lost() == damaged.of(*gone)
        refuses(damaged)


def test_a_missing_pack_is_told(damaged: Damaged) -> None:
    damaged.store.storage.unlink(file_of(damaged.sealed))
    assert damaged.lost() == set(damaged.numbers)
    with pytest.raises(PackDamaged, match="missing"):
        PackFile.open(damaged.store.storage, damaged.sealed.name, UUID)


def test_a_disk_that_cannot_be_read_is_damage(damaged: Damaged) -> None:
    damaged.store.storage.faults.append(Fault(errno.EIO, "read", file_of(damaged.sealed), times=1000))
    assert damaged.lost() == set(damaged.numbers)
    damaged.store.storage.faults.clear()
    assert damaged.lost() == set()


def test_a_pack_of_another_store_or_name_is_refused(damaged: Damaged) -> None:
    with pytest.raises(PackDamaged, match="another store"):
        PackFile.open(damaged.store.storage, damaged.sealed.name, bytes(16))
    other = "0" * 64
    damaged.store.storage.rename(file_of(damaged.sealed), f"packs/{other}")
    with pytest.raises(PackDamaged, match="name"):
        PackFile.open(damaged.store.storage, other, UUID)


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 64])
def test_a_name_that_is_none_is_damage(damaged: Damaged, name: str) -> None:
    with pytest.raises(PackDamaged):
        PackFile.open(damaged.store.storage, name, UUID)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE block SET offset=offset+1",
        "UPDATE block SET offset=1000000",
        "UPDATE block SET stored=stored-1",
        "UPDATE block SET size=size+1",
        "UPDATE block SET size=size-1",
        "UPDATE block SET codec=1-codec",
        "UPDATE block SET checksum=checksum+1",
        "UPDATE pack SET name='" + "0" * 64 + "'",
        "UPDATE blob SET length=length+100000",
        "UPDATE blob SET offset=offset+100000",
        "DELETE FROM blob",
        "DELETE FROM block",
        "DELETE FROM pack",
    ],
)
def test_a_wrong_row_is_damage(damaged: Damaged, change: str) -> None:
    with damaged.store.index.transaction() as transaction:
        for _ in transaction.query(change):
            pass
    assert damaged.lost() == set(damaged.numbers)


def test_nothing_new_relies_on_damage(damaged: Damaged) -> None:
    """Content that is stored in a damaged block, or in a pack that cannot be searched, is stored again."""
    block = damaged.compressed[0]
    damaged.flip(block.offset + 3)
    store = damaged.store
    for number, content in zip(damaged.numbers, CONTENTS, strict=True):
        if number in damaged.of(block):
            with pytest.raises(PackDamaged):
                store.blobs.read(number, 0, len(content))
    again, numbers = store.put(CONTENTS)
    assert {entry.hash for entry in again.blobs} == {
        blake3(content).digest()
        for number, content in zip(damaged.numbers, CONTENTS, strict=True)
        if number in damaged.of(block)
    }
    for number, content in zip(numbers, CONTENTS, strict=True):
        assert bytes(store.blobs.read(number, 0, len(content))) == content


def test_a_pack_whose_tables_are_damaged_is_not_built_upon(damaged: Damaged) -> None:
    damaged.flip(damaged.tables_at + 1)
    damaged.store.blobs = damaged.store.again()
    again: SealedPack
    again, _ = damaged.store.put(CONTENTS)
    assert len(again.blobs) == len(CONTENTS)
