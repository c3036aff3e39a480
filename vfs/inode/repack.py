"""Which ranges of a segment go from the log into blobs, and what its map is afterwards.

Promises that a map keeps its content, its holes and its fills: only where bytes lie changes. Pure arithmetic:
nothing here reads a byte, cuts one or knows a file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange, ChunkRange, Extent, Fill, Memory, part

Replacement = tuple[int, list[BlobRange]]
"""Where in the segment, and what stands there from now on."""


def choose(extents: Sequence[Extent], is_splinter: Callable[[BlobRange], bool]) -> list[int]:
    """Indexes of the extents to be packed: what lies in the log, and the splinters beside it.

    Beside means that nothing but fills is between, and what stands beside a chosen splinter counts too: a
    range that small overwrites have splintered is cut anew as a whole.
    """
    solid = [index for index, extent in enumerate(extents) if type(extent) is not Fill]
    chosen = {index for index in solid if type(extents[index]) is ChunkRange}
    for order in (solid, solid[::-1]):
        beside = False
        for index in order:
            extent = extents[index]
            if index not in chosen and beside and type(extent) is BlobRange and is_splinter(extent):
                chosen.add(index)
            beside = index in chosen
    return sorted(chosen)


def spread(lengths: Iterable[int], blobs: Iterable[tuple[int, int]]) -> list[list[BlobRange]]:
    """For pieces of a stream, by their lengths, the parts of the blobs (number, length) it was cut into.

    Both cover the stream exactly; ValueError when they do not.
    """
    found: list[list[BlobRange]] = []
    rest = iter(blobs)
    blob, size, start = 0, 0, 0
    for length in lengths:
        ranges: list[BlobRange] = []
        while length:
            if start == size:
                blob, size = next(rest, (0, 0))
                start = 0
                if not size:
                    raise ValueError("the blobs end before the stream does")
            taken = min(length, size - start)
            ranges.append(BlobRange(taken, blob, start))
            start += taken
            length -= taken
        found.append(ranges)
    if start != size or next(rest, None) is not None:
        raise ValueError("the blobs go on behind the stream")
    return found


def rebuilt(extents: Sequence[Extent], replaced: Mapping[int, Sequence[BlobRange]]) -> ExtentMap:
    """The map of the extents, with those of the given indexes replaced by others of the same length."""
    pieces: list[Extent] = []
    for index, extent in enumerate(extents):
        ranges = replaced.get(index)
        if ranges is None:
            pieces.append(extent)
        else:
            if sum(each.length for each in ranges) != extent.length:
                raise ValueError("a range is replaced by one of another length")
            pieces += ranges
    segment = ExtentMap()
    segment.replace(0, pieces)
    return segment


def following(current: Sequence[tuple[int, Extent]], old: ExtentMap, new: ExtentMap) -> list[Replacement]:
    """What has to be replaced in a map that has changed since it was `old`, now that `old` became `new`.

    `current` are the offsets and extents of the changed map. A piece of them follows where it still is the
    very place that `old` names at that offset, also when it is the origin of a Memory; the rest is younger.
    """
    found: list[Replacement] = []
    for offset, extent in current:
        place = extent.origin if type(extent) is Memory else extent
        if type(place) is not ChunkRange and type(place) is not BlobRange:
            continue
        length = min(place.length, old.length - offset)
        at = offset
        for piece in old.cut(offset, length):
            if type(piece) is not Fill and piece == part(place, at - offset, piece.length):
                ranges = [each for each in new.cut(at, piece.length) if type(each) is BlobRange]
                if ranges != [piece] and sum(each.length for each in ranges) == piece.length:
                    found.append((at, ranges))
            at += piece.length
    return found
