"""How much of the store each snapshot alone keeps.

Promises, for each, about what would come back if it alone were deleted and the store then collected: bytes of
file data as they are stored (compressed in packs, as they were written in the log) that nothing but this
snapshot refers to. What two snapshots share, and nothing else has, counts for neither. Never counts names and
attributes, nor the room that dead data takes until a collection. For any thread.
"""

from collections.abc import Iterable, Iterator

from vfs.backing.doomed_extents import BlobTally, Counted, Doomed, doomed_extents
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.hidden_rows import hidden_extents
from vfs.backing.index import Index
from vfs.backing.inflight import disk_call
from vfs.backing.readers import Readers
from vfs.backing.transaction import Transaction
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import ChunkRange

Interval = tuple[int, int]


def exclusive_bytes(index: Index) -> dict[str, int]:
    """By the name of each snapshot the stored bytes that only it holds, as of the last checkpoint.

    In any thread. The time grows with what changed around each snapshot, memory with nothing. IndexDamaged.
    """
    with disk_call("read of", INDEX_NAME), index.checking(writable=False) as transaction:
        names = dict(transaction.query("SELECT id, name FROM snapshot"))
        readers = Readers.load(transaction.query)
        return {
            name: stored_bytes(transaction, _doomed(transaction, readers, snapshot))
            for snapshot, name in names.items()
        }


def _doomed(transaction: Transaction, readers: Readers, snapshot: int) -> Iterator[Doomed]:
    """The segments that would go with a snapshot."""
    for gap in readers.gaps_without(snapshot):
        yield from doomed_extents(transaction.query, gap)
    forks = readers.forks_of(snapshot)
    if not forks:
        return
    others = readers.without(snapshot)
    counted = Counted(transaction)
    for fork in forks:  # what all of these have changed is seen by the snapshot alone
        for *key, encoded in hidden_extents(transaction.query, others, fork):
            ino, segment, gen = key
            if counted.add((ino, segment, gen)):
                yield encoded, []


def stored_bytes(transaction: Transaction, doomed: Iterable[Doomed]) -> int:
    """What the data takes that only these segments name."""
    blobs = BlobTally(transaction)
    in_log = 0
    for encoded, kept in doomed:
        segment = ExtentMap.decode(encoded)
        blobs.add({blob: extents for blob, (extents, _) in segment.blob_references().items()})
        in_log += log_bytes(segment, kept)
    return in_log + blobs.take_stored_bytes()


def log_bytes(segment: ExtentMap, kept: Iterable[bytes]) -> int:
    """Bytes of the log that the map names, but what its neighbours in time name as well."""
    own = _in_log(segment)
    if not own:
        return 0
    others: dict[tuple[int, int], list[Interval]] = {}
    for encoded in kept:
        for place, ranges in _in_log(ExtentMap.decode(encoded)).items():
            others.setdefault(place, []).extend(ranges)
    return sum(_length(ranges) - _length(ranges, others.get(place, ())) for place, ranges in own.items())


def _in_log(segment: ExtentMap) -> dict[tuple[int, int], list[Interval]]:
    found: dict[tuple[int, int], list[Interval]] = {}
    for _, extent in segment.placed():
        if type(extent) is ChunkRange:
            place = extent.chunk, extent.frame
            found.setdefault(place, []).append((extent.start, extent.start + extent.length))
    return found


def _length(ranges: Iterable[Interval], within: Iterable[Interval] | None = None) -> int:
    """How much the ranges cover; with `within`, of that what those cover as well."""
    merged = _merged(ranges)
    if within is None:
        return sum(end - start for start, end in merged)
    other = _merged(within)
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for start, end in merged
        for other_start, other_end in other
    )


def _merged(ranges: Iterable[Interval]) -> list[Interval]:
    found: list[Interval] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
