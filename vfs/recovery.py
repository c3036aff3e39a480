"""Recovery: from an index and a log to the state that the last acknowledged operation left.

Promises that replay goes through the very same `apply` as live operations, that its cost follows the log
since the last checkpoint (G3), and that a record which cannot be applied refuses the mount (no guessing).
"""

import gc
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from vfs.backing.log import Log
from vfs.backing.store import FirstRows
from vfs.changes import Together, decode
from vfs.clock import now_ns
from vfs.errors import IndexDamaged, LogDamaged, OperationError
from vfs.inode.directory import FIRST_COOKIE
from vfs.inode.table import InodeTable
from vfs.inode.totals import Totals
from vfs.journal import INO_SEQUENCE
from vfs.limits import ROOT_INO
from vfs.vetting import vet

SHED_RECORDS = 64
"""Memory is looked at once for so many records: with the largest extended attributes that is 4 MiB."""


def replay(log: Log, table: InodeTable) -> int:
    """Apply every record after the index's LSN; returns how many there were.

    Raises LogDamaged where a record is damaged, unknown, or contradicts what is there (`vetting.py`).
    """
    with _without_collections():
        count = _apply_all(log, table)
    for sequence in table.sequences.values():
        sequence.skip_reserved()
    return count


@contextmanager
def _without_collections() -> Iterator[None]:
    """No search for cycles: there are none, and each search would walk through all that was replayed."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _apply_all(log: Log, table: InodeTable) -> int:
    count = 0
    for command, place in log.replay():
        try:
            change = decode(command)
            for step in change.changes if change.__class__ is Together else (change,):
                vet(step, table, place)
                step.apply(table, place)
        except (msgspec.MsgspecError, OperationError, KeyError, ValueError) as error:
            reason = f"record {place.lsn} cannot be applied ({error!r})"
            raise LogDamaged(place.chunk, place.frame, reason) from error
        count += 1
        if not count % SHED_RECORDS:
            table.shed_if_over()
    return count


def check_root(table: InodeTable) -> None:
    """A store without a root directory, or one that could use numbers again, must not be served."""
    try:
        root = table.get(ROOT_INO)
    except OperationError as error:
        raise IndexDamaged("the root directory is missing") from error
    if not root.is_directory:
        raise IndexDamaged("the root is not a directory")
    if INO_SEQUENCE not in table.sequences:
        raise IndexDamaged("it does not say which numbers of inodes were used")


def first_rows(uid: int, gid: int, mode: int = 0o755) -> FirstRows:
    """What the index of a new store holds: the root directory, which is its own parent and has no name."""
    now = now_ns()
    root = (
        *(ROOT_INO, stat.S_IFDIR | mode, uid, gid, 2, 0, 0, 0),
        *(now, now, now, now, ROOT_INO, FIRST_COOKIE, None),
    )
    totals = Totals(directories=1)
    return FirstRows(root, {INO_SEQUENCE: ROOT_INO + 1}, totals.to_meta())
