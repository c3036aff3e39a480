"""Rows of packs, blocks and blobs for a new index: from the packs themselves, else from the old rows.

Promises that a pack which says the truth of itself is believed before any row, that one whose tables are
damaged keeps what the old index knew of it, and that two packs never claim the same number. A file that is no
pack, or of which nothing is known, is set aside.
"""

from collections.abc import Callable, Iterator

from vfs.backing.mending import Mending
from vfs.backing.packs import PackFile
from vfs.backing.places import (
    GOING,
    PACKS_FOLDER,
    BlobEntry,
    BlockEntry,
    PackRow,
    SealedPack,
    is_pack_name,
    unsigned,
)
from vfs.backing.rebuild import UNFINISHED
from vfs.backing.salvage import OldRows
from vfs.backing.storage import Storage
from vfs.errors import PackDamaged
from vfs.repair.plan import Plan
from vfs.repair.rows import MOST_NUMBER

PACKS = "packs"
_MOST = (1 << 32) - 1


class PackedRows:
    """One making of these rows."""

    def __init__(
        self, storage: Storage, uuid: bytes, mending: Mending, plan: Plan, set_aside: Callable[[str], None]
    ) -> None:
        self._storage = storage
        self._uuid = uuid
        self._mending = mending
        self._plan = plan
        self._set_aside = set_aside
        self._unverified: dict[str, PackFile] = {}

    def load(self, old: OldRows | None) -> None:
        """Put in rows for all packs; none has references yet."""
        known = {} if old is None else {row.name: row for row in _pack_rows(old)}
        for name in self._storage.list(PACKS_FOLDER):
            path = f"{PACKS_FOLDER}/{name}"
            if name.startswith(UNFINISHED):
                self._set_aside(path)
                self._plan.add(PACKS, f"{path} was never finished: it is set aside")
            elif not is_pack_name(name):
                self._set_aside(path)
                self._plan.add(PACKS, f"{path} is no pack: it is set aside")
            else:
                self._pack(name, known.get(name))
        if old is not None and self._unverified:
            self._from_rows(old, known)

    def _pack(self, name: str, row: PackRow | None) -> None:
        path = f"{PACKS_FOLDER}/{name}"
        try:
            pack = PackFile.open(self._storage, name, self._uuid)
            sealed = SealedPack(pack.id, name, pack.size, pack.blocks(), list(pack.blobs()), moved=False)
        except PackDamaged as error:
            if row is not None and row.state != GOING and self._attach(name):
                return
            self._set_aside(path)
            self._plan.add(PACKS, f"nothing is known of {path} ({error.reason}): it is set aside")
            return
        pack.close()
        if not self._put(sealed):
            self._set_aside(path)
            self._plan.add(PACKS, f"{path} claims numbers that another pack has: it is set aside")
        elif row is None:
            self._plan.add(PACKS, f"{path} is taken into the index")

    def _put(self, sealed: SealedPack) -> bool:
        numbers = [sealed.id, *(block.id for block in sealed.blocks), *(blob.id for blob in sealed.blobs)]
        if max(numbers) > MOST_NUMBER or len({block.id for block in sealed.blocks}) != len(sealed.blocks):
            return False
        if self._mending.one("SELECT count(*) FROM pack WHERE id=?", (sealed.id,)):
            return False
        for block in sealed.blocks:
            if self._mending.one("SELECT count(*) FROM block WHERE id=?", (block.id,)):
                return False
        self._mending.put_found_pack(sealed)
        return True

    def _attach(self, name: str) -> bool:
        try:
            self._unverified[name] = PackFile.attach(self._storage, name, self._uuid)
        except PackDamaged:
            return False
        return True

    # --- from the old rows ----------------------------------------------------------------------

    def _from_rows(self, old: OldRows, known: dict[str, PackRow]) -> None:
        """The packs that do not say the truth of themselves, as the old index knew them."""
        packs = {known[name].id: name for name in self._unverified}
        blocks: dict[int, dict[int, BlockEntry]] = {number: {} for number in packs}
        pack_of: dict[int, int] = {}
        for block in _blocks(old):
            if (
                block.pack in packs
                and block.offset + block.stored <= self._unverified[packs[block.pack]].size
            ):
                blocks[block.pack][block.id] = block
                pack_of[block.id] = block.pack
        blobs: dict[int, list[BlobEntry]] = {number: [] for number in packs}
        for prefix, blob in _blobs(old):
            pack = pack_of.get(blob.block)
            if pack is not None and blob.offset + blob.length <= blocks[pack][blob.block].size:
                blobs[pack].append(blob._replace(hash=prefix.to_bytes(8, "little", signed=True)))
        for number, name in packs.items():
            opened = self._unverified[name]
            size = opened.size
            opened.close()
            sealed = SealedPack(number, name, size, list(blocks[number].values()), blobs[number], moved=False)
            if not sealed.blocks or not self._put(sealed):
                self._set_aside(f"{PACKS_FOLDER}/{name}")
                self._plan.add(PACKS, f"nothing is known of {PACKS_FOLDER}/{name}: it is set aside")


def _ints(row: tuple[object, ...], places: slice, lowest: int, highest: int) -> bool:
    return all(type(value) is int and lowest <= value <= highest for value in row[places])


def _pack_rows(old: OldRows) -> Iterator[PackRow]:
    for row in old.rows("pack"):
        if (
            len(row) == 4
            and isinstance(row[2], str)
            and _ints((row[0], row[1], row[3]), slice(3), 0, MOST_NUMBER)
        ):
            yield PackRow(*row)  # type: ignore[arg-type]


def _blocks(old: OldRows) -> Iterator[BlockEntry]:
    for row in old.rows("block"):
        if (
            len(row) == 7
            and _ints(row, slice(0, 3), 0, MOST_NUMBER)
            and _ints(row, slice(3, 5), 1, _MOST)
            and row[5] in (0, 1)
            and isinstance(row[6], int)
        ):
            yield BlockEntry(*row[:6], unsigned(row[6]))  # type: ignore[arg-type]


def _blobs(old: OldRows) -> Iterator[tuple[int, BlobEntry]]:
    """(the hash's prefix, the blob without its hash) of each row that can be."""
    for row in old.rows("blob"):
        if (
            len(row) == 6
            and _ints(row, slice(1, 2), -(1 << 63), (1 << 63) - 1)
            and _ints(row, slice(2, 4), 0, MOST_NUMBER)
            and _ints(row, slice(4, 5), 1, _MOST)
            and _ints(row, slice(0, 1), 0, MOST_NUMBER)
        ):
            number, prefix, block, offset, length, _ = row
            yield prefix, BlobEntry(b"", number, block, offset, length)  # type: ignore[misc, arg-type]
