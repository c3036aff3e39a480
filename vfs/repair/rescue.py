"""Doing what a plan of `find_data` says: sound data is copied, the index is changed, what is left over goes.

Order of writes, and why:
1. rows say that packs are coming, and reserve their numbers: a cut leaves files that some row explains.
2. what is sound and needed of sick packs is copied into new packs, which are synced and put in their place.
3. one transaction of the index: the new packs are there, maps name them, and have lost ranges where nothing
   is left; sick packs are on their way out; everything is counted anew. Were it before 2, a cut would lose
   what could be read; in parts, files could name blobs that are gone.
4. the files of sick packs, and waste, are unlinked and the folder is synced. Were it before 3, the same.
5. the rows of sick packs go. Were it before the sync, a file could come back that no row explains.
A cut after 1 or 2 leaves the damage as it was, and files that the next opening removes; the same repair does
it all again. A cut after 3 or 4 leaves a store that is mended, and files or rows too many, which the next
opening removes, or the next repair.
An error in 1 to 3 changes nothing: room for the copies must be there, or it is NoSpace.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby

from vfs.backing.blobs import Blobs
from vfs.backing.chunks import ChunkReader
from vfs.backing.codecs import Compression
from vfs.backing.creation import CreationOptions
from vfs.backing.index import Index
from vfs.backing.orphans import withdraw
from vfs.backing.pack_rows import PackRows
from vfs.backing.pack_session import PackSession
from vfs.backing.packs import PackFile
from vfs.backing.places import GOING, PACKS_FOLDER, THERE, BlockEntry, SealedPack
from vfs.backing.storage import Buffer, Storage
from vfs.backing.transaction import Transaction
from vfs.checks.accounts import Accounts
from vfs.checks.sound import read_whole
from vfs.errors import NoSpace, VfsError
from vfs.limits import MIB
from vfs.repair.data import SEGMENTS_OF_FILES, DataPlan, map_mender
from vfs.repair.losing import SavedPart
from vfs.repair.recount import recount
from vfs.repair.saving import Find
from vfs.unwritten import unwritten

log = logging.getLogger("vfs")

PACK_BYTES = 128 * MIB
"""So much, before compression, goes into one new pack."""

CACHE_BYTES = MIB


def apply_data(
    plan: DataPlan,
    index: Index,
    storage: Storage,
    uuid: bytes,
    creation: CreationOptions,
    *,
    workers: int = 2,
) -> None:
    """Do what the plan says, which was made of this very store; an empty one does nothing.

    The superblock must be of a format that knows lost ranges. PackDamaged when data cannot be read that could
    be a moment ago, NoSpace, PackUnwritten and IndexUnwritten: nothing was changed, find anew.
    """
    if plan.empty:
        return
    rows = PackRows(index)
    try:
        with unwritten():
            _begin(plan, index, storage)
            copies = _Copies(index, storage, uuid, rows, creation, workers)
            try:
                copies.copy(plan)
                with index.transaction() as transaction:
                    _change(transaction, plan, copies, ChunkReader(storage, uuid))
            except BaseException as error:
                copies.abandon(error)
                raise
            _remove(plan, storage, rows)
    finally:
        rows.close()


class _Copies:
    """New packs with what is sound and needed of sick ones."""

    def __init__(
        self,
        index: Index,
        storage: Storage,
        uuid: bytes,
        rows: PackRows,
        creation: CreationOptions,
        workers: int,
    ) -> None:
        # dependencies
        self._index = index
        self._storage = storage
        self._uuid = uuid
        self._rows = rows
        self._blobs = Blobs(storage, uuid, rows, CACHE_BYTES)
        # constant
        self._creation = creation
        self._workers = workers
        # mutable
        self._session: PackSession | None = None
        self.sealed: list[SealedPack] = []
        """Durable, in their place, and not in the index yet."""
        self.saved: dict[int, list[SavedPart]] = {}
        """Of blobs that could not be copied as a whole: the parts that were."""

    def copy(self, plan: DataPlan) -> None:
        """Copy all that the plan has found: whole blobs first, then parts of others."""
        finds = sorted(plan.finds.values(), key=lambda find: (find.file, find.block.offset, find.blob.offset))
        self._each_block([find for find in finds if find.is_whole], self._whole)
        self._blobs.damaged.update(self._blocks_of(plan))  # no blob there is taken for a known one
        self._each_block([find for find in finds if not find.is_whole], self._parts)
        self._blobs.close()

    def _blocks_of(self, plan: DataPlan) -> list[int]:
        with self._index.checking(writable=False) as view:
            sql = "SELECT id FROM block WHERE pack=?"
            return [block for pack in plan.packs for (block,) in view.query(sql, (pack.id,))]

    def _each_block(
        self, finds: list[Find], save: Callable[[PackFile, BlockEntry, list[Find]], None]
    ) -> None:
        for file, in_file in groupby(finds, lambda find: find.file):
            pack = PackFile.attach(self._storage, file, self._uuid)
            try:
                for block, in_block in groupby(in_file, lambda find: find.block):
                    save(pack, block, list(in_block))
                    if self._session is not None and self._session.raw_bytes >= PACK_BYTES:
                        self._seal()
            finally:
                pack.close()
        self._seal()

    def _whole(self, pack: PackFile, block: BlockEntry, finds: list[Find]) -> None:
        state = read_whole(pack, block)
        for find in finds:
            blob = find.blob
            if state.data is not None:
                data: Buffer = state.data[blob.offset : blob.offset + blob.length]
            else:
                data = pack.read_piece(block, blob.offset, blob.length)
            self._open().add_known(blob.id, data)

    def _parts(self, pack: PackFile, block: BlockEntry, finds: list[Find]) -> None:
        for find in finds:
            saved = self.saved[find.blob.id] = []
            for start, length in find.parts:
                number = self._open().add(pack.read_piece(block, find.blob.offset + start, length))
                saved.append(SavedPart(start, length, number, 0))

    def _open(self) -> PackSession:
        if self._session is None:
            self._session = PackSession(
                self._storage,
                self._uuid,
                self._rows,
                self._blobs,
                compression=Compression.parse(self._creation.compression),
                block_bytes=self._creation.block_bytes,
                workers=self._workers,
            )
        return self._session

    def _seal(self) -> None:
        if self._session is not None:
            sealed = self._session.seal()
            self._session = None
            if sealed is not None:
                self.sealed.append(sealed)

    def abandon(self, error: BaseException) -> None:
        """Take back what the index does not know, after an error."""
        try:
            if self._session is not None:
                self._session.abandon()
            for sealed in self.sealed:
                withdraw(self._storage, self._index, sealed, doubted=not isinstance(error, NoSpace))
        except (OSError, VfsError) as failure:
            log.warning("what a repair left is removed when the store is opened: %s", failure)


def _begin(plan: DataPlan, index: Index, storage: Storage) -> None:
    """Bring in order what new packs need: their folder, and numbers that nothing has."""
    if not storage.exists(PACKS_FOLDER):
        storage.make_folder(PACKS_FOLDER)
        storage.sync_folder("")
    with index.transaction() as transaction:
        transaction.raise_numbers(highest_blob=max((*plan.finds, *plan.missing), default=0))


def _change(transaction: Transaction, plan: DataPlan, copies: _Copies, reader: ChunkReader) -> None:
    """The one transaction."""
    for sealed in copies.sealed:
        transaction.put_pack(sealed)
    mender = map_mender(plan, copies.saved, Accounts(transaction.query), reader)
    changed = [
        (key, size)
        for *key, encoded, size in transaction.query(SEGMENTS_OF_FILES)
        if mender.look(key[0], key[1], encoded, size) is not None
    ]
    for (ino, number, gen), size in changed:
        key = (ino, number, gen)
        mended = mender.look(ino, number, transaction.segment_map(key), size)
        if mended is None or mended.segment is None:
            transaction.drop_segment_row(key)
        else:
            found = mended.segment
            transaction.set_segment(key, found.encode(), found.allocated, found.lowest_chunk())
    transaction.set_going([pack.id for pack in plan.packs])
    transaction.drop_unplaced()
    recount(transaction)


def _remove(plan: DataPlan, storage: Storage, rows: PackRows) -> None:
    """Unlink what is not needed any more, and then forget it."""
    packs = rows.packs()
    needed = {row.name for row in packs if row.state == THERE}
    going = [row for row in packs if row.state == GOING]
    for name in (*(row.name for row in going), *(path.rpartition("/")[2] for path in plan.waste)):
        if name and name not in needed:
            with suppress(FileNotFoundError):
                storage.unlink(f"{PACKS_FOLDER}/{name}")
    storage.sync_folder(PACKS_FOLDER)
    rows.drop_packs([row.id for row in going])
