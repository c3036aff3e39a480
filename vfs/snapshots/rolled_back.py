"""Memory follows a rollback: what is now another state leaves it, what is the same stays, and who holds it.

Promises that afterwards nothing in memory contradicts the rows of the trees as they are now, and that whoever
speaks to the kernel learns what it may have cached that no longer holds. Never reads content, never logs.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from vfs.backing.transaction import InodeRow
from vfs.backing.trees import Chain, Tree
from vfs.inode.inode import Inode
from vfs.inode.table import InodeTable
from vfs.inode.totals import Totals
from vfs.numbers import local_of, number_of, tree_of


class Held(NamedTuple):
    """An inode that somebody knew, and whose state is another one now, or none."""

    number: int
    lookups: int
    """How often the kernel was told of it, less what it has forgotten."""
    opens: int
    exists: bool
    """Whether there is an inode of that number in the tree as it is now."""
    nameless: bool
    """It had been removed while it was held: the kernel never takes such a folder for alive again."""


class RolledBack(NamedTuple):
    """What a rollback means to those who have seen the trees before."""

    kept_as: str
    """The snapshot of what was before."""
    stale: list[Held]
    """Files that changed or are gone, folders that are gone or had been removed. Nobody holds them any more,
    as far as the table knows: what is found of them from now on is found anew."""
    kept: list[int]
    """Folders that changed and are still there, and files of which only the access time is another: they keep
    their number, and who holds them."""
    names: Iterable[tuple[int, bytes]]
    """(folder, name) that may lead elsewhere, nowhere, or somewhere again, in any folder: to be gone through
    at once, before anything else happens."""


def roll_back(table: InodeTable, live: list[Tree], totals: Totals, kept_as: str) -> RolledBack:
    """Make these the live trees, whose branches are known, and forget what is no longer so."""
    before = {tree.id: tree.chain for tree in table.trees.live()}
    stale = [held for tree in before.keys() - {tree.id for tree in live} for held in _drop(table, tree)]
    kept: list[int] = []
    names: list[Iterable[tuple[int, bytes]]] = []
    table.put_live(live, totals)
    for tree in live:
        found = table.trees.get(tree.id)
        assert found is not None, "it was put there"
        changed = _changed(table, tree.id, before.get(tree.id), found.chain)
        rows = table.look_at(changed)
        for number in changed:
            inode, row = table.in_memory(number), rows.get(number)
            nameless = inode is not None and not inode.nlink
            if row is not None and row.is_directory and not nameless:
                table.refresh(number, row)
                kept.append(number)
            elif row is not None and _only_read(table, number, row, before.get(tree.id), found.chain):
                table.read_at(number, row.atime_ns)
                kept.append(number)
            else:
                lookups, opens = table.let_go(number)
                stale.append(Held(number, lookups, opens, row is not None, nameless))
        if tree.id in before:
            names.append(_names(table, tree.id, before[tree.id], found.chain))
    return RolledBack(kept_as, stale, kept, chain.from_iterable(names))


def _drop(table: InodeTable, tree: int) -> list[Held]:
    """A clone goes that was not there then."""
    held = [
        Held(number, *table.let_go(number), exists=False, nameless=False) for number in _known(table, tree)
    ]
    table.drop_tree(tree)
    return held


def _changed(table: InodeTable, tree: int, before: Chain | None, now: Chain) -> list[int]:
    """The inodes of a tree that somebody knows and that are not what they were."""
    if before is None:  # the clone was gone: its numbers stand for nothing that anybody may still hold
        return _known(table, tree)
    changed = (number_of(tree, local) for local in table.index.changed_inodes(before, now))
    return [number for number in changed if table.knows(number)]


def _known(table: InodeTable, tree: int) -> list[int]:
    return [number for number in table.known_numbers() if tree_of(number) == tree]


def _only_read(table: InodeTable, number: int, row: Inode, before: Chain | None, now: Chain) -> bool:
    """Whether nothing of a file but its access time is another."""
    if before is None:
        return False
    inode, local = table.in_memory(number), local_of(number)
    was = table.index.inode_in(local, before) if inode is None else inode.row()
    return (
        was is not None
        and _but_read(was) == _but_read(row.row())
        and table.index.same_content(local, before, now)
    )


def _but_read(row: InodeRow) -> tuple[object, ...]:
    """What of a row does not depend on who reads it, and in which tree."""
    _, mode, uid, gid, nlink, size, allocated, rdev, _, mtime, ctime, *_ = row
    return mode, uid, gid, nlink, size, allocated, rdev, mtime, ctime


def _names(table: InodeTable, tree: int, before: Chain, now: Chain) -> Iterator[tuple[int, bytes]]:
    for parent, name in table.index.changed_entries(before, now):
        yield number_of(tree, parent), name
