"""The rows of blobs, blocks and packs, made anew from the packs themselves.

Promises that a blob which any readable pack holds gets its row back, in the newest block that holds it, and
that packs which cannot be read are named and left alone. Counts of references are the caller's: they are in
maps.

A pack that was on its way out, and is still there when its row is lost, is taken for one in its place: what
was live of it lies in a newer pack as well, so the next collection removes it.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress

from vfs.backing.packed import PackedTransaction
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER, BlobEntry, BlockEntry, SealedPack, is_pack_name
from vfs.backing.storage import Storage
from vfs.errors import PackDamaged

log = logging.getLogger("vfs")

UNFINISHED = "new-"
"""How the name of a pack begins that is being written."""

_NUMBERS = (("next_blob", "blob"), ("next_block", "block"), ("next_pack", "pack"))


def pack_names(storage: Storage) -> list[str]:
    """Names of files that are, or were, packs in their place."""
    with suppress(FileNotFoundError):
        return [name for name in storage.list(PACKS_FOLDER) if is_pack_name(name)]
    return []


def read_packs(storage: Storage, uuid: bytes) -> Iterator[SealedPack]:
    """What every readable pack holds, one after the other; the others are logged."""
    for name in pack_names(storage):
        try:
            pack = PackFile.open(storage, name, uuid)
            found = SealedPack(pack.id, name, pack.size, pack.blocks(), list(pack.blobs()), moved=False)
        except PackDamaged as error:
            log.error("nothing is known of a pack: %s", error)
            continue
        pack.close()
        yield found


def remove_unfinished(storage: Storage) -> None:
    """Remove packs that were being written: with the old rows went what told of them."""
    for name in storage.list(PACKS_FOLDER):
        if name.startswith(UNFINISHED):
            storage.unlink(f"{PACKS_FOLDER}/{name}")
    storage.sync_folder(PACKS_FOLDER)


def read_blobs(storage: Storage, uuid: bytes) -> Iterator[tuple[BlobEntry, BlockEntry]]:
    """Every blob that is in a readable pack, from the packs alone, with the block that holds it."""
    for sealed in read_packs(storage, uuid):
        blocks = {block.id: block for block in sealed.blocks}
        for blob in sealed.blobs:
            yield blob, blocks[blob.block]


def rows_are_lost(transaction: PackedTransaction, storage: Storage) -> bool:
    """Whether there are packs that the tables cannot be about: one of the tables is missing or empty."""
    if not pack_names(storage):
        return False
    if transaction.packed_tables_missing():
        return True
    packs = list(transaction.query("SELECT state FROM pack"))
    if not packs:
        return True
    if not any(state == 1 for (state,) in packs):
        return False  # all of them come or go, so no blob needs to be there
    return any(not list(transaction.query(f"SELECT 1 FROM {table} LIMIT 1")) for table in ("block", "blob"))


def rebuild_rows(transaction: PackedTransaction, storage: Storage, uuid: bytes) -> int:
    """Forget all rows of blobs, blocks and packs and write them anew, all without references.

    Returns how many packs there are. The caller counts the references, and then calls `finish_rebuild`.
    """
    transaction.reset_packed_tables()
    packs = 0
    for sealed in read_packs(storage, uuid):
        transaction.put_found_pack(sealed)
        packs += 1
    transaction.put_meta({"referenced_bytes": 0})
    return packs


def finish_rebuild(transaction: PackedTransaction, highest_blob: int) -> None:
    """The references are counted: bring the rest in order. `highest_blob` is the highest that a map names."""
    for key, table in _NUMBERS:
        _reserve(transaction, key, _one(transaction, f"SELECT max(id) FROM {table}"))
    _reserve(transaction, "next_blob", highest_blob)
    transaction.drop_emptied_blocks()
    transaction.put_meta({"blob_bytes": _one(transaction, "SELECT sum(length) FROM blob")})


def _reserve(transaction: PackedTransaction, key: str, used: int) -> None:
    """Make sure that the number `used` is never handed out again."""
    noted = dict(transaction.query("SELECT key, value FROM meta")).get(key, 1)
    transaction.put_meta({key: max(noted, used + 1)})


def _one(transaction: PackedTransaction, sql: str) -> int:
    return int(next(transaction.query(sql))[0] or 0)
