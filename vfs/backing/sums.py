"""Sums over the rows of the index, as of one commit: how much data there is, and where it lies.

Promises figures that belong together, all of the same commit, in time that grows with chunks, packs and dead
blobs but not with files. Never changes a row.
"""

from typing import Any, NamedTuple

from vfs.backing.file_names import INDEX_NAME
from vfs.backing.index import Index
from vfs.backing.inflight import disk_call
from vfs.backing.places import COMING, THERE

_CHUNKS = "SELECT count(*), ifnull(sum(referenced), 0) FROM chunk"
_PACKS = f"SELECT count(*) FILTER (WHERE state={THERE}), ifnull(sum(size), 0) FROM pack WHERE state<>{COMING}"
_BLOCKS = "SELECT count(*), ifnull(sum(size), 0), ifnull(sum(stored), 0) FROM block"
_DEAD = (
    "SELECT ifnull(sum(b.length), 0), total(b.length * 1.0 * k.stored / k.size)"
    " FROM blob b JOIN block k ON k.id=b.block WHERE b.refs=0"
)


class Sums(NamedTuple):
    """What the index of one commit adds up to; bytes, unless it says otherwise."""

    lsn: int
    raw_bytes: int
    """In chunks of the log, as often as a file refers to it."""
    raw_chunks: int
    """Number of chunks that any file refers to."""
    referenced_bytes: int
    """In blobs, as often as a file refers to it."""
    blob_bytes: int
    """In blobs that any file refers to, each once."""
    dead_blob_bytes: int
    """In blobs that no file refers to."""
    dead_bytes: int
    """What those take in packs, compressed as they are."""
    blocks: int
    """Number of them."""
    block_bytes: int
    """All blocks before they were compressed."""
    compressed_bytes: int
    """All blocks as they are stored."""
    packs: int
    """Number of them."""
    pack_bytes: int
    """Pack files, those on their way out included."""
    lost_bytes: int
    """In lost ranges of files."""


def read_sums(index: Index) -> Sums:
    """Add up; in any thread."""
    with disk_call("read of", INDEX_NAME), index.checking(writable=False) as transaction:

        def row(sql: str) -> tuple[Any, ...]:
            found: tuple[Any, ...] = next(transaction.query(sql))
            return found

        meta = dict(transaction.query("SELECT key, value FROM meta"))
        raw_chunks, raw_bytes = row(_CHUNKS)
        packs, pack_bytes = row(_PACKS)
        blocks, block_bytes, compressed_bytes = row(_BLOCKS)
        dead_blob_bytes, dead_bytes = row(_DEAD)
    return Sums(
        lsn=meta.get("lsn", 0),
        raw_bytes=raw_bytes,
        raw_chunks=raw_chunks,
        referenced_bytes=meta.get("referenced_bytes", 0),
        blob_bytes=meta.get("blob_bytes", 0) - dead_blob_bytes,
        dead_blob_bytes=dead_blob_bytes,
        dead_bytes=round(dead_bytes),
        blocks=blocks,
        block_bytes=block_bytes,
        compressed_bytes=compressed_bytes,
        packs=packs,
        pack_bytes=pack_bytes,
        lost_bytes=meta.get("lost_bytes", 0),
    )
