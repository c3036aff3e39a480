"""Packs, and rows about them, with right checksums: bombs, tables that lie, places that are elsewhere."""

import os

import zstandard

from tests.hostile.crafting import Workshop, bomb, hash_of, hostile, lying_frame

GB = 1 << 30
BIG = 2**63 - 1
PACK, BLOCK, BLOB = 900, 9000, 90_000


def _block(shop: Workshop, stored: bytes, size: int, codec: int = 1, *, blob: int | None = None) -> None:
    """A pack of one block, and a file that is read out of it."""
    length = size if blob is None else blob
    shop.put_pack([(BLOCK, stored, size, codec)], [(hash_of(b""), BLOB, 0, 0, length)])
    shop.block_row(BLOCK, PACK, 64, stored, size, codec)
    shop.file_of_blob(BLOB, length, BLOCK)


def small(shop: Workshop) -> None:
    _block(shop, bomb(1000), 1000)


@hostile("hash|refs|references|blob")
def pack_block_with_another_hash(shop: Workshop) -> None:
    small(shop)


@hostile("size|cannot")
def pack_bomb_of_a_gigabyte(shop: Workshop) -> None:
    _block(shop, bomb(GB), 1000)


@hostile("size|bounds|cannot")
def pack_bomb_as_it_says(shop: Workshop) -> None:
    _block(shop, bomb(GB), GB, blob=1000)


@hostile("references|hash|blob")
def pack_bomb_of_64_megabytes(shop: Workshop) -> None:
    _block(shop, bomb(64 << 20), 64 << 20, blob=1000)


@hostile("decoded|cannot|short|size")
def pack_frame_that_says_less(shop: Workshop) -> None:
    _block(shop, lying_frame(1000, 50_000_000), 1000)


@hostile("decoded|cannot|short|size")
def pack_frame_that_says_more(shop: Workshop) -> None:
    _block(shop, lying_frame(60_000_000, 1000), 60_000_000, blob=1000)


@hostile("size|bounds|cannot")
def pack_frame_of_a_terabyte(shop: Workshop) -> None:
    _block(shop, lying_frame(1 << 40, 1000), 1 << 30, blob=1000)


@hostile("size|decoded|cannot")
def pack_frame_without_a_size(shop: Workshop) -> None:
    writer = zstandard.ZstdCompressor(write_content_size=False)
    _block(shop, writer.compress(bytes(1000)), 1000)


@hostile("decoded|cannot|size")
def pack_frame_of_nonsense(shop: Workshop) -> None:
    _block(shop, b"nonsense" * 50, 1000)


@hostile("codec|bounds|inside|cannot")
def pack_codec_unknown(shop: Workshop) -> None:
    _block(shop, b"nonsense" * 50, 400, 77)


@hostile("cannot|stored|bounds|size")
def pack_stored_size_lies(shop: Workshop) -> None:
    _block(shop, b"nonsense" * 50, 60 << 20, 0, blob=1000)


def _tables(title: str, words: str, **changes: object) -> None:
    def craft(shop: Workshop) -> None:
        stored = bomb(1000)
        blobs = changes.pop("blobs", [(hash_of(bytes(1000)), BLOB, 0, 0, 1000)])
        shop.put_pack([(BLOCK, stored, 1000, 1)], blobs, **changes)  # type: ignore[arg-type]
        shop.block_row(BLOCK, PACK, 64, stored, 1000, 1)
        shop.file_of_blob(BLOB, 1000, BLOCK)

    craft.__name__ = f"pack_{title}"
    hostile(words)(craft)


_tables("counts_of_four_billion", "trailer|pack", counts=(2**32 - 1, 2**32 - 1))
_tables("block_outside", "inside|pack", offsets=[2**63])
_tables("block_in_the_header", "inside|pack", offsets=[0])
_tables("block_overlaps", "inside|pack|index says", offsets=[70])
_tables("blob_of_no_block", "no block|blob", blobs=[(hash_of(b""), BLOB, 500, 0, 10)])
_tables("blob_outside", "no block|blob", blobs=[(hash_of(b""), BLOB, 0, 2**32 - 1, 2**32 - 1)])
_tables(
    "blobs_out_of_order",
    "order|blob",
    blobs=[(b"\xff" * 32, BLOB, 0, 0, 1000), (b"\x00" * 32, BLOB + 1, 0, 0, 1000)],
)
_tables("named_otherwise", "name", name="ab" * 32)


@hostile("name|row|bounds|pack", opens=None)
def pack_name_leads_out(shop: Workshop) -> None:
    shop.sql("UPDATE pack SET name='../../outside/victim'")


@hostile("name|row|bounds|pack", opens=None)
def pack_on_its_way_out_is_elsewhere(shop: Workshop) -> None:
    for name in ("../../outside/victim", "../superblock.json", "..", "x/../../../outside/victim"):
        shop.sql("INSERT INTO pack VALUES((SELECT max(id)+1 FROM pack), 2, ?, 5)", name)


@hostile("row|bounds|name", opens=None)
def pack_name_of_bytes(shop: Workshop) -> None:
    shop.sql("UPDATE pack SET name=x'ff00'")


@hostile("utf|row|name", opens=None)
def pack_name_not_utf_8(shop: Workshop) -> None:
    shop.sql("UPDATE pack SET name=CAST(x'ff80' AS TEXT)")


@hostile("size|bytes")
def pack_of_a_terabyte(shop: Workshop) -> None:
    os.truncate(max((shop.store / "packs").iterdir()), 1 << 40)


@hostile("missing|opened|regular")
def pack_is_a_symlink(shop: Workshop) -> None:
    path = max((shop.store / "packs").iterdir())
    os.rename(path, shop.outside.parent / "pack elsewhere")
    path.symlink_to(shop.outside.parent / "pack elsewhere")


@hostile("missing|opened|regular")
def pack_is_a_fifo(shop: Workshop) -> None:
    path = max((shop.store / "packs").iterdir())
    path.unlink()
    os.mkfifo(path)


@hostile("missing|opened|regular")
def pack_is_a_folder(shop: Workshop) -> None:
    path = max((shop.store / "packs").iterdir())
    path.unlink()
    path.mkdir()


def _row(name: str, words: str, *statements: str) -> None:
    def craft(shop: Workshop) -> None:
        for statement in statements:
            shop.sql(statement)

    craft.__name__ = f"pack_rows_{name}"
    hostile(words)(craft)


_row("blob_outside_of_its_block", "blob", "UPDATE blob SET offset=60000000")
_row("blob_at_minus_one", "blob|bounds", "UPDATE blob SET offset=-1")
_row("blob_of_nothing", "blob|bounds", "UPDATE blob SET length=0")
_row("blob_huge", "blob|bounds", f"UPDATE blob SET length={BIG}")
_row("blob_of_text", "row", "UPDATE blob SET length='long'")
_row("blob_of_no_block", "blob", "UPDATE blob SET block=424242")
_row("blobs_overlap", "blob", "UPDATE blob SET offset=0")
_row("references_huge", "references|blob", f"UPDATE blob SET refs={BIG}")
_row("references_negative", "references|bounds", "UPDATE blob SET refs=-5")
_row("block_outside_of_its_pack", "block", "UPDATE block SET offset=1<<49")
_row("block_far_outside", "block|bounds", f"UPDATE block SET offset={BIG}")
_row("block_in_the_header", "block|bounds", "UPDATE block SET offset=0")
_row("block_size_huge", "block|bounds", f"UPDATE block SET size={BIG}")
_row("block_stored_huge", "block|bounds", f"UPDATE block SET stored={BIG}")
_row("block_stored_60_megabytes", "block", "UPDATE block SET stored=60000000")
_row("block_size_60_megabytes", "block", "UPDATE block SET size=60000000")
_row("block_of_another_codec", "block", "UPDATE block SET codec=1-codec")
_row("block_of_no_codec", "block|bounds", "UPDATE block SET codec=99")
_row("block_of_no_pack", "block", "UPDATE block SET pack=4242")
_row("block_of_text", "row", "UPDATE block SET checksum='right'")
_row("pack_of_no_state", "pack|bounds", "UPDATE pack SET state=17")
_row("pack_of_text", "row|pack", "UPDATE pack SET state='there', size='large'")
