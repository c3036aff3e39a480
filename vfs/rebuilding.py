"""Tables of packed data that were lost come back: from the packs, and the references from the extent maps.

Promises that everything which the packs and the maps say is in the index afterwards, in one transaction, and
nothing else is changed. Never looks at the log: what it names is brought in by the replay that follows.
"""

import logging

from vfs.backing.index import Index
from vfs.backing.rebuild import finish_rebuild, rebuild_rows, remove_unfinished, rows_are_lost
from vfs.backing.storage import Storage
from vfs.errors import IndexDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.references import References

log = logging.getLogger("vfs")

BLOBS_AT_ONCE = 100_000
"""Blobs whose references are counted in memory before they are written."""


def mend_packed_tables(index: Index, storage: Storage, uuid: bytes) -> bool:
    """Rebuild the tables if they are missing or empty although there are packs; True when that was done.

    For a store that is being opened writable, before its log is replayed.
    """
    with index.checking(writable=False) as transaction:
        if not rows_are_lost(transaction, storage):
            return False
    log.warning("the index has lost what it knew of the packs: it is made anew from the packs themselves")
    rebuild_packed_tables(index, storage, uuid)
    remove_unfinished(storage)
    return True


def rebuild_packed_tables(index: Index, storage: Storage, uuid: bytes) -> None:
    """Make the rows of blobs, blocks and packs anew."""
    with index.transaction() as transaction:
        packs = rebuild_rows(transaction, storage, uuid)
        references = References()
        highest = 0
        for ino, encoded in transaction.query("SELECT ino, map FROM extent"):
            try:
                segment = ExtentMap.decode(encoded)
            except IndexDamaged as error:
                log.error("inode %d: %s", ino, error)
                continue
            references.put_in(encoded)
            if len(references.blobs) > BLOBS_AT_ONCE:
                transaction.add_blob_references(references.blobs, references.blob_bytes)
                references = References()
            highest = max(highest, *segment.blob_references(), 0)
        transaction.add_blob_references(references.blobs, references.blob_bytes)
        finish_rebuild(transaction, highest)
    log.warning("made anew from %d packs", packs)
