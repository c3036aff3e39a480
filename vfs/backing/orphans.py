"""Files of packs that no row of the index names: what was cut off while it was written, or on its way out.

Promises that a pack which the index says is in its place is never touched. Never reads a pack.

Order of writes: what has a temporary name goes at once, since no row ever names it. For the rest a
transaction says that the packs go, the files go, the folder is synced, and only then do the rows go that say
there may be such files. Were the rows first, a cut would leave files that nobody looks for. Were the files
first, a commit that failed and shows all the same could be lost in a cut, and the rows of before name those
files.
"""

from contextlib import suppress

from vfs.backing.index import Index
from vfs.backing.pack_rows import PackRows
from vfs.backing.places import COMING, PACKS_FOLDER, THERE, SealedPack
from vfs.backing.rebuild import UNFINISHED
from vfs.backing.storage import Storage
from vfs.errors import IndexUnwritten


def remove_orphans(storage: Storage, rows: PackRows) -> int:
    """Remove what unfinished passes and collections left; returns how many files went.

    Only while nobody else reads or writes packs: when a store is opened.
    """
    unsettled = rows.unsettled_packs()
    if not unsettled:
        return 0
    removed = 0
    names = storage.list(PACKS_FOLDER)
    for name in names:
        if name.startswith(UNFINISHED):  # no row ever names these: on a full disk they make room for the rest
            storage.unlink(f"{PACKS_FOLDER}/{name}")
            removed += 1
    rows.set_going([row.id for row in unsettled])
    there = {row.name for row in rows.packs() if row.state == THERE}
    for name in names:
        if name not in there and not name.startswith(UNFINISHED):
            storage.unlink(f"{PACKS_FOLDER}/{name}")
            removed += 1
    storage.sync_folder(PACKS_FOLDER)
    rows.drop_packs([row.id for row in unsettled])
    return removed


def withdraw(storage: Storage, index: Index, sealed: SealedPack, *, doubted: bool) -> None:
    """Remove a pack that is in its place on the disk, but not in the index.

    `doubted`: the transaction that should have made it known has failed, and not for want of room. Then the
    file goes only after a transaction that came later: until then a power cut could bring the failed one
    back, and rows that point into this file. Else it goes at once, since on a full disk nothing else can.
    """
    with index.checking(writable=False) as transaction:
        states = list(transaction.query("SELECT state FROM pack WHERE id=?", (sealed.id,)))
    if states != [(COMING,)]:
        raise IndexUnwritten(f"pack {sealed.id} was to be withdrawn, and its row says {states}")
    if doubted:
        with index.transaction() as transaction:
            transaction.set_going([sealed.id])
    with suppress(FileNotFoundError):
        storage.unlink(f"{PACKS_FOLDER}/{sealed.name}")
    storage.sync_folder(PACKS_FOLDER)
    with index.transaction() as transaction:
        transaction.drop_packs([sealed.id])
