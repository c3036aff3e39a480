"""Damage to packs and to the rows about them: the files that need what is damaged answer EIO, all others and
the rest of the store work, and fsck says what is damaged and whom it hits.

Every byte of a pack belongs to one class: header, block, table of blocks, index of blobs, trailer. Blocks
hold all the data; the others are needed to find equal data and to collect, not to read.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.crash.afterwards import check_clean
from tests.crash.disks import ScratchDisk, WatchedDisk, new_disk
from tests.crash.extent import LONG
from tests.crash.lives import Life
from tests.crash.operations import opened
from tests.crash.steps import Data, Step
from vfs.backing.codecs import Codec
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.pack_format import BLOB, BLOCK, HEADER_BYTES, TRAILER_BYTES
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER, BlockEntry
from vfs.checker import Report, check_storage
from vfs.errors import PackDamaged
from vfs.filesystem import FileSystem
from vfs.inode.extents import BlobRange

TRIES = 40 if LONG else 4


class Piece(NamedTuple):
    """A range of a file, and the blob and the block that hold it."""

    path: str
    offset: int
    length: int
    blob: int
    block: BlockEntry


class Packed:
    """A store in two packs, all of it in blocks of both kinds, and what its files hold."""

    def __init__(self) -> None:
        self.disk = new_disk()
        self.contents: dict[str, bytes] = {}
        for first in (0, 6):
            steps = []
            for number in range(first, first + 6):
                path = f"/file{number}"
                data = Data("text" if number % 3 == 2 else "random", (15_000, 9000, 2000)[number % 3], number)
                steps += [Step("create", (path,)), Step("write", (path, 0, data))]
                self.contents[path] = data.make()
            if first:  # in both packs
                more = Data("random", 5000, 99)
                steps.append(Step("write", ("/file0", 30_000, more)))
                self.contents["/file0"] = self.contents["/file0"].ljust(30_000, b"\0") + more.make()
            life = Life(self.disk, [*steps, Step("flush")]).run()
            life.fs.close()
        fs = opened(self.disk)
        self.pieces = list(pieces(fs, self.contents))
        self.names = {row.id: f"{PACKS_FOLDER}/{row.name}" for row in fs.store.rows.packs()}
        fs.store.close()
        assert len(self.names) == 2
        assert {piece.block.codec for piece in self.pieces} == set(Codec)
        self.before = self.disk.kill()

    def fresh(self) -> WatchedDisk:
        """The store without damage."""
        return WatchedDisk(1, root=self.before.kill().root)

    def tables(self, pack: int) -> tuple[list[BlockEntry], int, int, int]:
        """Blocks of a pack, and where its tables begin, its index of blobs, and its trailer."""
        name = self.names[pack]
        file = PackFile.open(self.before, name.rpartition("/")[2], b"vfs\0".rjust(16, b"\0"))
        blocks, blobs, size = file.blocks(), len(list(file.blobs())), file.size
        index_at = size - TRAILER_BYTES - blobs * BLOB.size
        return blocks, index_at - len(blocks) * BLOCK.size, index_at, size - TRAILER_BYTES


def pieces(fs: FileSystem, paths: dict[str, bytes]) -> Iterator[Piece]:
    """Every packed range of every file."""
    for path in paths:
        inode = fs.resolve(path)
        offset = 0
        for extent in fs.table.file(inode).plan(0, inode.size):
            if isinstance(extent, BlobRange):
                (place,) = fs.store.rows.places(extent.blob, 1)
                assert place.blob == extent.blob
                yield Piece(path, offset, extent.length, extent.blob, place.block)
            offset += extent.length


@pytest.fixture
def packed() -> Packed:
    return Packed()


def report(disk: WatchedDisk, *, data: bool) -> Report:
    scratch = ScratchDisk(root=disk.kill().root)
    found = check_storage(scratch, data=data)
    scratch.close()
    return found


def check_damage(
    packed: Packed, disk: WatchedDisk, hit: set[Piece], where: str, *, heals: bool = False
) -> None:
    """Exactly these pieces cannot be read, in a life that goes on and packs and collects.

    A collection `heals` what only the index has wrong: it goes by the pack.
    """
    life = Life(disk, [])
    check_reads(packed, life.fs, hit, where)
    again = dict.fromkeys(piece.path for piece in hit)
    for path in again:
        life.fs.write_bytes(f"{path} again", packed.contents[path])
    life.fs.write_bytes("/more", b"more" * 3000)
    life.fs.flush()
    life.fs.remove("/file1")
    life.fs.collect()
    rest = {piece for piece in hit if piece.path != "/file1"}
    check_reads(packed, life.fs, rest, f"{where}, packed and collected", heals=heals)
    life.fs.close()
    fs = opened(disk)
    check_reads(packed, fs, rest, f"{where}, in the next life", heals=heals)
    for path in again:
        assert fs.read_bytes(f"{path} again") == packed.contents[path], f"{where}: what was written anew"
    assert fs.read_bytes("/more") == b"more" * 3000
    fs.close()


def check_reads(packed: Packed, fs: FileSystem, hit: set[Piece], where: str, *, heals: bool = False) -> None:
    """Damage where it is, right bytes everywhere else."""
    for piece in packed.pieces:
        if not fs.exists(piece.path):
            continue
        ino, end = fs.resolve(piece.path).ino, piece.offset + piece.length
        try:
            found = bytes(fs.read(ino, piece.offset, piece.length))
        except PackDamaged:
            assert piece in hit, f"{where}: {piece} should be readable"
        else:
            assert found == packed.contents[piece.path][piece.offset : end], (
                f"{where}: wrong bytes of {piece}"
            )
            assert heals or piece not in hit, f"{where}: {piece} should not be readable"
    assert fs.failed is None


def check_told(packed: Packed, disk: WatchedDisk, pack: int, hit: set[Piece], where: str) -> None:
    """fsck names the pack and the files."""
    found = report(disk, data=True)
    assert not found.clean, where
    told = [problem.message for problem in found.problems]
    name = packed.names[pack].rpartition("/")[2]
    assert any(name in text or f"pack {pack}" in text for text in told), f"{where}: {told}"
    assert set(found.files_damaged) >= {piece.path for piece in hit}, where


def test_without_damage_all_is_well(packed: Packed) -> None:
    disk = packed.fresh()
    check_clean(disk, "no damage")
    check_damage(packed, disk, set(), "no damage")
    check_clean(disk, "no damage")


@pytest.mark.parametrize("what", ["compressed", "sums", "as it is"])
def test_a_flipped_bit_in_a_block(packed: Packed, what: str) -> None:
    rng = random.Random(what)
    for _ in range(TRIES):
        piece = rng.choice(
            [p for p in packed.pieces if (p.block.codec == Codec.ZSTD) == (what == "compressed")]
        )
        block = piece.block
        first, length = {
            "compressed": (0, block.stored),
            "sums": (0, block.stored - block.size),
            "as it is": (block.stored - block.size, block.size),
        }[what]
        disk = packed.fresh()
        at = block.offset + first + rng.randrange(length)
        disk.flip(packed.names[block.pack], at, rng.randrange(8))
        hit = {other for other in packed.pieces if other.block.id == block.id}
        where = f"byte {at} of {block}"
        assert report(disk, data=False).clean, "a quick fsck reads no blocks"
        found = report(disk, data=True)
        assert set(found.files_damaged) == {other.path for other in hit}, where
        check_told(packed, disk, block.pack, hit, where)
        check_damage(packed, disk, hit, where)


@pytest.mark.parametrize("what", ["header", "blocks", "blobs", "trailer"])
def test_a_flipped_bit_outside_of_blocks_hits_no_reader(packed: Packed, what: str) -> None:
    rng = random.Random(what)
    for _ in range(TRIES):
        pack = rng.choice(list(packed.names))
        _, blocks_at, blobs_at, trailer_at = packed.tables(pack)
        first, end = {
            "header": (0, HEADER_BYTES),
            "blocks": (blocks_at, blobs_at),
            "blobs": (blobs_at, trailer_at),
            "trailer": (trailer_at, trailer_at + TRAILER_BYTES),
        }[what]
        disk = packed.fresh()
        at = rng.randrange(first, end)
        disk.flip(packed.names[pack], at, rng.randrange(8))
        assert not report(disk, data=False).clean, f"byte {at} of the {what}"
        check_told(packed, disk, pack, set(), f"byte {at} of the {what}")
        check_damage(packed, disk, set(), f"byte {at} of the {what}")


def test_a_truncated_pack(packed: Packed) -> None:
    rng = random.Random(1)
    for _ in range(TRIES):
        pack = rng.choice(list(packed.names))
        disk = packed.fresh()
        content = disk.content(packed.names[pack])
        size = rng.choice((0, 1, 63, 64, len(content) - 1, rng.randrange(len(content))))
        disk.overwrite(packed.names[pack], content[:size])
        hit = {p for p in packed.pieces if p.block.pack == pack and p.block.offset + p.block.stored > size}
        where = f"{size} of {len(content)} bytes are left"
        check_told(packed, disk, pack, hit, where)
        check_damage(packed, disk, hit, where)


def test_a_missing_pack(packed: Packed) -> None:
    for pack, name in packed.names.items():
        disk = packed.fresh()
        disk.unlink(name)
        disk.sync_folder(PACKS_FOLDER)
        hit = {piece for piece in packed.pieces if piece.block.pack == pack}
        check_told(packed, disk, pack, hit, "a missing pack")
        check_damage(packed, disk, hit, "a missing pack")


def test_two_packs_with_each_other_s_names(packed: Packed) -> None:
    disk = packed.fresh()
    one, other = packed.names.values()
    first, second = disk.content(one), disk.content(other)
    disk.overwrite(one, second)
    disk.overwrite(other, first)
    hit = set(packed.pieces)
    check_told(packed, disk, 1, hit, "exchanged packs")
    check_damage(packed, disk, hit, "exchanged packs")


ROWS = {
    "offset": "UPDATE block SET offset=offset+1 WHERE id={block}",
    "stored": "UPDATE block SET stored=stored-1 WHERE id={block}",
    "size": "UPDATE block SET size=size-1 WHERE id={block}",
    "codec": "UPDATE block SET codec=1-codec WHERE id={block}",
    "unknown codec": "UPDATE block SET codec=77 WHERE id={block}",
    "checksum": "UPDATE block SET checksum=checksum+1 WHERE id={block}",
    "pack": "UPDATE block SET pack=3-pack WHERE id={block}",
    "no pack": "UPDATE block SET pack=99 WHERE id={block}",
    "no block": "DELETE FROM block WHERE id={block}",
}


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("what", ROWS)
def test_a_wrong_row_of_a_block(packed: Packed, what: str, codec: Codec) -> None:
    piece = next(piece for piece in packed.pieces if piece.block.codec == codec)
    disk = packed.fresh()
    change_index(disk, ROWS[what].format(block=piece.block.id))
    hit = {other for other in packed.pieces if other.block.id == piece.block.id}
    found = report(disk, data=False)
    assert not found.clean, what
    assert set(found.files_damaged) >= {other.path for other in hit}, what
    check_damage(packed, disk, hit, f"a wrong {what}", heals=True)


@pytest.mark.parametrize("what", ["block=99", "length=length-1", "offset=offset+9999999"])
def test_a_wrong_row_of_a_blob(packed: Packed, what: str) -> None:
    piece = packed.pieces[0]
    disk = packed.fresh()
    change_index(disk, f"UPDATE blob SET {what} WHERE id={piece.blob}")
    hit = {other for other in packed.pieces if other.blob == piece.blob}
    found = report(disk, data=False)
    assert not found.clean, what
    assert set(found.files_damaged) >= {other.path for other in hit}, what
    check_damage(packed, disk, hit, what, heals=True)


def test_fsck_sees_a_blob_whose_row_names_other_bytes_of_its_block(packed: Packed) -> None:
    """A reader cannot: blobs have no checksum of their own, and SQLite's checksums guard the row."""
    disk = packed.fresh()
    piece = packed.pieces[0]
    change_index(disk, f"UPDATE blob SET offset=offset+1 WHERE id={piece.blob}")
    found = report(disk, data=False)
    assert any(f"blob {piece.blob}:" in problem.message for problem in found.problems)
    assert piece.path in found.files_damaged


def change_index(disk: WatchedDisk, statement: str) -> None:
    """As if SQLite's own checksums had not seen it."""
    connection = disk.index_connection(INDEX_NAME, read_only=False)
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "TRUNCATE")
    connection.execute(statement)
    assert connection.changes() == 1
    connection.close()
