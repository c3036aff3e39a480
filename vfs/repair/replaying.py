"""The log of a damaged store, replayed into the index of a draft.

Promises that what verifies is applied, in order, and that what is missing or makes no sense is told and does
not end the replay. Memory is bounded: changes go to the draft's index as they come.
"""

from typing import NamedTuple

import msgspec

from vfs.backing.index import Index
from vfs.backing.log_salvage import Missing, SalvagedFrame, Survey, salvage_frames
from vfs.backing.storage import Storage
from vfs.changes import AnyChange, DataPlace, Place, Together, decode
from vfs.checkpoint import write_capture
from vfs.errors import OperationError, StoreError
from vfs.inode.extent_map import ExtentMap
from vfs.inode.inode import Inode
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.table import InodeTable
from vfs.journal import INO_SEQUENCE
from vfs.limits import MIB
from vfs.repair.lenient import LenientTable
from vfs.repair.lenient_trees import LenientTrees
from vfs.repair.plan import Plan
from vfs.repair.rows import is_possible
from vfs.vetting import check_amounts, steps

LOG = "log"
CHANGES_AT_ONCE = 20_000
CACHED_INODES = 20_000
MEMORY_BYTES = 32 * MIB
MOST_VALUE = 2**63 - 2
"""The largest number that can still be counted on from in SQLite."""


class Replayed(NamedTuple):
    """How a replay went."""

    records: int
    damaged: bool
    next_ino: int
    made: set[int]
    """Inodes of which only records were there that needed them."""
    gap_ino: int
    """Up to here inodes are older than the last place where records are missing; 0 where none is."""


def replay(
    storage: Storage,
    uuid: bytes,
    index: Index,
    found: Survey,
    owner: tuple[int, int],
    highest: int,
    plan: Plan,
    trees: LenientTrees,
) -> Replayed:
    """Apply every frame after the index's LSN that verifies."""
    table = InodeTable(index, MemoryLimiter(MEMORY_BYTES), _nothing_to_settle, cached_inodes=CACHED_INODES)
    lenient = LenientTable(table, owner, highest, trees)
    records = 0
    damaged = False
    for frame in salvage_frames(storage, uuid, index.meta()["lsn"], found.synced_lsn):
        if isinstance(frame, Missing):
            damaged = True
            lenient.gap()
            count = frame.last - frame.first + 1
            where = (
                f"in chunk {frame.chunk} from offset {frame.offset} on" if frame.chunk else "at its beginning"
            )
            text = f"records {frame.first} to {frame.last} are lost, {where}: what they changed is not known"
            plan.add(LOG, text, count)
            continue
        records += 1
        damaged |= not _apply(lenient, frame, plan, trees)
        if len(table.tracker) > CHANGES_AT_ONCE:
            _commit(index, table)
        table.shed_if_over()
    _commit(index, table)
    sequence = table.sequences[INO_SEQUENCE]
    return Replayed(records, damaged, sequence.ahead, lenient.made, lenient.gap_ino)


def _nothing_to_settle(inode: Inode) -> None:
    """Nothing is kept in memory that the log has not in one piece."""


def _apply(lenient: LenientTable, frame: SalvagedFrame, plan: Plan, trees: LenientTrees) -> bool:
    """Apply one frame; False when it is damaged, or makes no sense."""
    # Of data that does not verify only the length is used, as of any that is placed and not kept.
    data = frame.data if frame.data is not None else memoryview(bytes(frame.data_length))
    change: AnyChange | None = None
    try:
        change = decode(frame.command)
        _check_numbers(change)
        for step in steps(change):
            check_amounts(step, len(data))
        lenient.apply(change, DataPlace(frame.lsn, *frame.place, data), verified=frame.data is not None)
    except (msgspec.MsgspecError, OperationError, StoreError, KeyError, ValueError) as error:
        plan.add(LOG, f"record {frame.lsn} cannot be applied and is left out ({error})")
        for step in steps(change) if change is not None else ():
            trees.doubt(step, frame.lsn)
        return False
    return frame.data is not None


def _check_numbers(change: msgspec.Struct) -> None:
    """ValueError when a number of a record is none that the index could hold."""
    for value in msgspec.structs.astuple(change):
        if type(value) is int and not -MOST_VALUE <= value <= MOST_VALUE:
            raise ValueError(f"{value} is no possible number")
    if isinstance(change, Place):
        for extent in change.extents:
            segment = ExtentMap()
            segment.replace(0, [extent])
            if not is_possible(segment):
                raise ValueError("it names places that cannot be")
    if isinstance(change, Together):
        for one in change.changes:
            _check_numbers(one)


def _commit(index: Index, table: InodeTable) -> None:
    lsn = index.meta()["lsn"]
    table.begin_capture(lsn, {}, closing=False)
    while not table.tracker.gather(CHANGES_AT_ONCE):
        pass
    capture = table.tracker.capture
    assert capture is not None, "it was begun above"
    with index.transaction() as transaction:
        write_capture(transaction, capture)
    table.after_commit().finish()
