"""What the index counts of the data of files, counted anew from the maps of all segments.

Promises that afterwards no check of these counts has anything to say, as far as the maps can be decoded.
Memory: 16 bytes for each blob. Runs inside of somebody's transaction; changes no map.
"""

from vfs.backing.transaction import Transaction
from vfs.checks.accounts import Accounts
from vfs.inode.extent_map import ExtentMap

SEGMENTS = "SELECT ino, segment, gen, allocated, map, chunk FROM extent"


def recount(transaction: Transaction) -> None:
    """Correct the columns of segments, and whatever is summed up over them."""
    accounts = Accounts(transaction.query)
    wrong: list[tuple[int, int, int]] = []
    for ino, number, gen, allocated, encoded, chunk in transaction.query(SEGMENTS):
        segment = ExtentMap.decode(encoded)
        accounts.count(segment)
        if (segment.allocated, segment.lowest_chunk()) != (allocated, chunk):
            wrong.append((ino, number, gen))
    for key in wrong:
        encoded = transaction.segment_map(key)
        segment = ExtentMap.decode(encoded)
        transaction.set_segment(key, encoded, segment.allocated, segment.lowest_chunk())
    transaction.recount_allocated()
    blobs = accounts.blobs
    noted = transaction.query("SELECT id, refs FROM blob ORDER BY id")
    changed = [(found, blob) for (blob, refs), found in zip(noted, blobs.found, strict=True) if refs != found]
    transaction.set_blob_references(changed)
    transaction.set_references(accounts.chunks)
    transaction.raise_numbers()
    transaction.put_meta({"referenced_bytes": accounts.blob_bytes, "lost_bytes": accounts.lost_bytes})
