"""Where the blobs that files need, and that are not where they should be, can still be had from.

Promises that what it finds has been read and verified: a whole blob by its hash, a part of one by its sums. A
pack that tells the truth of itself is believed before the index, and also under a wrong name. Never writes.

Memory: what is known of each blob that is looked for, and the tables of one pack.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from vfs.backing.packs import PackFile
from vfs.backing.places import BlobEntry, BlockEntry
from vfs.checks.data import blobs_of_rows, blocks_of_rows
from vfs.checks.sound import Part, read_whole, sound_parts_of_blob
from vfs.checks.view import View
from vfs.errors import PackDamaged


class Find(NamedTuple):
    """What can be had of a blob."""

    file: str
    """The pack's name."""
    block: BlockEntry
    blob: BlobEntry
    parts: list[Part]
    """Offsets in the blob."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the blob can be had."""
        return self.parts == [(0, self.blob.length)]

    @property
    def size(self) -> int:
        """How many bytes can be had."""
        return sum(length for _, length in self.parts)


class _Source(NamedTuple):
    """A pack file, and what is believed to be in it."""

    pack: PackFile
    blocks: list[BlockEntry]
    blobs: dict[int, list[BlobEntry]]


def find_blobs(view: View, wanted: set[int]) -> dict[int, Find]:
    """The best of what there is of each blob; of those that are left out there is nothing."""
    best: dict[int, Find] = {}
    missing = set(wanted)
    for source in _sources(view):
        for block in source.blocks:
            entries = [each for each in source.blobs.get(block.id, ()) if each.id in missing]
            if not entries:
                continue
            state = read_whole(source.pack, block)
            for blob in entries:
                parts = sound_parts_of_blob(source.pack, block, blob, state)
                found = Find(source.pack.name, block, blob, parts)
                known = best.get(blob.id)
                if parts and (known is None or known.size < found.size):
                    best[blob.id] = found
                    if found.is_whole:
                        missing.discard(blob.id)
        source.pack.close()
        if not missing:
            break
    return best


def _sources(view: View) -> Iterator[_Source]:
    """Every pack file, those first that something is wrong with: by its own tables, else by the rows."""
    rows = {name: number for number, name in view.query("SELECT id, name FROM pack WHERE name<>''")}
    names = sorted(view.pack_files, key=lambda name: rows.get(name) not in view.sick_packs)
    for name in names:
        with suppress(PackDamaged):
            pack = PackFile.attach(view.storage, name, view.uuid)
            try:
                blocks, entries = pack.tables(any_name=True).blocks, list(pack.blobs())
            except PackDamaged:
                if name not in rows:
                    pack.close()
                else:
                    yield _Source(pack, blocks_of_rows(view, rows[name]), blobs_of_rows(view, rows[name]))
                continue
            yield _Source(pack, blocks, _by_block(entries))


def _by_block(entries: Iterable[BlobEntry]) -> dict[int, list[BlobEntry]]:
    found: dict[int, list[BlobEntry]] = {}
    for entry in entries:
        found.setdefault(entry.block, []).append(entry)
    return found
