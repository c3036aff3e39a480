"""What a record of the log may do, given what is there: the look that replay takes before it applies one.

Promises that a record which passed leaves tables that every operation can work with, whoever wrote it: names
are names, entries lie in directories, content belongs to files, and nothing grows beyond what a frame can
honestly ask for. Live operations check more, and before they log. Never applies anything.

Checksums tell of damage, not of intent. Bounds of single fields are checked where a record is decoded.
"""

import stat
from collections.abc import Callable, Iterable
from typing import Any

from vfs.backing.shapes import is_name
from vfs.changes import (
    AnyChange,
    Change,
    Create,
    CreateUnnamed,
    DataPlace,
    Exchange,
    Link,
    Place,
    Rename,
    SetAttributes,
    Settle,
    SetXattr,
    Together,
    Truncate,
    Unlink,
    Write,
)
from vfs.errors import NoEntry, SnapshotError
from vfs.inode.extents import is_hole
from vfs.inode.inode import Inode
from vfs.inode.table import InodeTable
from vfs.limits import FILE_BYTES, FRAME_DATA_BYTES, ROOT_INO, SEGMENT_BYTES, XATTR_NAME_BYTES
from vfs.numbers import LOCAL_MASK, MAIN_TREE, number_of, tree_of
from vfs.tree_changes import Clone, DropTree

KINDS = {
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFIFO,
    stat.S_IFSOCK,
}


def steps(change: AnyChange) -> tuple[AnyChange, ...]:
    """The single changes of a record, to be looked at and applied in turn."""
    return change.changes if isinstance(change, Together) else (change,)


def vet(change: AnyChange, table: InodeTable, place: DataPlace) -> None:
    """ValueError, or NoEntry, when the change cannot be one that vfs recorded."""
    kind = change.__class__
    if kind is Write or kind is Place:
        check_amounts(change, len(place.data))
    look = _LOOKS.get(kind)
    if look is not None:
        look(change, table)


def _live(table: InodeTable, number: int) -> None:
    """What changes lies in a tree that can. The main tree does: replay is for nothing else."""
    if number > LOCAL_MASK:
        tree = table.trees.get(tree_of(number))
        if tree is None or not tree.live:
            raise ValueError(f"inode {number} is of no tree that can change")


def _same_tree(ino: int, other: int) -> None:
    if (ino ^ other) > LOCAL_MASK:
        raise ValueError(f"inodes {ino} and {other} lie in two trees")


def _clone(change: Clone, table: InodeTable) -> None:
    trees = table.trees
    if change.tree in {tree.id for tree in trees} or change.branch in trees.branches:
        raise ValueError("a clone would take the place of another tree")
    source = next(
        (
            tree.id
            for tree in trees
            if not tree.live and (tree.branch, tree.gen) == (change.source_branch, change.source_gen)
        ),
        None,
    )
    if source is None or not table.get(number_of(source, change.root)).is_directory:
        raise ValueError("a clone of what is no folder of a snapshot")
    try:
        trees.need_room(1, trees.chain(number_of(source, change.root)))
    except SnapshotError as error:
        raise ValueError(str(error)) from None
    if change.replaces:
        _gone(table, change.parent, change.name, change.cookie)
        entry = table.directory(table.get(change.parent)).get(change.name)
        if entry is None or entry[0] <= LOCAL_MASK:
            raise ValueError("a clone would take the place of what is no clone")
    else:
        _entry(table, change.parent, change.name, change.cookie)


def _drop_tree(change: DropTree, table: InodeTable) -> None:
    _gone(table, change.parent, change.name)
    entry = table.directory(table.get(change.parent)).get(change.name)
    if entry is None or entry[0] != change.root:
        raise ValueError("a tree goes under a name that is not its own")
    live = {tree.id for tree in table.trees.live()} - {MAIN_TREE}
    if not {tree_of(change.root), *change.inside} <= live:
        raise ValueError("a tree goes that is no clone")


def check_amounts(change: AnyChange, data_bytes: int) -> None:
    """ValueError when a change has more content than the data of its frame, or its extents, honestly give."""
    if isinstance(change, Write):
        _write(change, data_bytes)
    elif isinstance(change, Place):
        _place(change)


def _new(table: InodeTable, ino: int, parent: int) -> None:
    _same_tree(ino, parent)
    if not ino & LOCAL_MASK:
        raise ValueError("no inode has the number 0")
    if ino == ROOT_INO or table.in_memory(ino) is not None:
        raise ValueError(f"inode {ino} is there already")


def _create(change: Create, table: InodeTable) -> None:
    _entry(table, change.parent, change.name, change.cookie)
    _new(table, change.ino, change.parent)
    if stat.S_IFMT(change.mode) not in KINDS:
        raise ValueError(f"no such kind of file: {change.mode:#o}")
    if stat.S_ISLNK(change.mode) != (change.target is not None):
        raise ValueError("a symbolic link has a target, and nothing else has one")
    if change.target is not None and b"\0" in change.target:
        raise ValueError("no target has such a byte")


def _entry(table: InodeTable, parent: int, name: bytes, cookie: int | None = None) -> Inode:
    if parent > LOCAL_MASK:
        _live(table, parent)
    directory = table.get(parent)
    if not directory.is_directory:
        raise ValueError(f"inode {parent} is no directory")
    if is_name(name) is None:
        raise ValueError(f"not a name: {name[:40]!r}")
    if cookie is not None and cookie < directory.cookie:
        raise ValueError("an entry would come before those that are there")  # listings would not end
    return directory


def _gone(table: InodeTable, parent: int, name: bytes, cookie: int | None = None) -> None:
    """An entry is about to go: a directory has as many as it says."""
    if not _entry(table, parent, name, cookie).size:
        raise ValueError(f"directory {parent} has no entry that could go")


def _rename(change: Rename, table: InodeTable) -> None:
    _live(table, change.ino)
    _live(table, change.replaced)
    _gone(table, change.parent, change.name)
    _same_tree(change.parent, change.new_parent)
    directory = _entry(table, change.new_parent, change.new_name, change.cookie)
    if change.replaced and directory.size < (2 if change.parent == change.new_parent else 1):
        raise ValueError(f"directory {change.new_parent} has no entry that could be replaced")


def _link(change: Link, table: InodeTable) -> None:
    _entry(table, change.parent, change.name, change.cookie)
    _same_tree(change.ino, change.parent)
    if table.get(change.ino).is_directory:
        raise ValueError("a second name for a directory")


def _unlink(change: Unlink, table: InodeTable) -> None:
    _live(table, change.ino)
    _gone(table, change.parent, change.name)


def _exchange(change: Exchange, table: InodeTable) -> None:
    _live(table, change.ino)
    _live(table, change.other_ino)
    _same_tree(change.parent, change.other_parent)
    _gone(table, change.parent, change.name, change.cookie)
    _gone(table, change.other_parent, change.other_name, change.other_cookie)
    if change.parent == change.other_parent and change.other_cookie <= change.cookie:
        raise ValueError("an entry would come before one that is put there first")


def _set_attributes(change: SetAttributes, table: InodeTable) -> None:
    _live(table, change.ino)
    _same_kind(table.get(change.ino), change.mode)


def _same_kind(inode: Inode, mode: int) -> None:
    if stat.S_IFMT(mode) != stat.S_IFMT(inode.mode):
        raise ValueError(f"inode {inode.ino} would become another kind of file")


def _content(change: Write | Truncate | Place, table: InodeTable) -> None:
    _live(table, change.ino)
    inode = table.get(change.ino)
    if not inode.is_file:
        raise ValueError(f"inode {change.ino} is no regular file")
    _same_kind(inode, change.mode)


def _write(change: Write, data_bytes: int) -> None:
    length = data_bytes
    if change.runs is not None:
        length = sum(run for run, _ in change.runs)
        if sum(run for run, byte in change.runs if byte < 0) != data_bytes:
            raise ValueError("its runs take other data than it has")
    if length > FRAME_DATA_BYTES:
        raise ValueError(f"a write of {length} bytes")
    _end(change.offset, length)


def _place(change: Place) -> None:
    # A hole costs nothing, however long; of all else each segment that is touched takes memory.
    _parts(extent.length for extent in change.extents if not is_hole(extent))
    _end(change.offset, sum(extent.length for extent in change.extents))


def _parts(lengths: Iterable[int]) -> None:
    for length in lengths:
        if length > SEGMENT_BYTES:
            raise ValueError(f"an extent of {length} bytes")


def _settle(change: Settle, table: InodeTable) -> None:
    _live(table, change.ino)
    try:
        inode = table.get(change.ino)
    except NoEntry:
        return  # see the record
    if not inode.is_file:
        raise ValueError(f"inode {change.ino} is no regular file")


def _end(offset: int, length: int) -> None:
    if offset + length > FILE_BYTES:
        raise ValueError("it reaches past the largest file")


def _set_xattr(change: SetXattr, table: InodeTable) -> None:
    _live(table, change.ino)
    if not 1 <= len(change.name) <= XATTR_NAME_BYTES or b"\0" in change.name:
        raise ValueError("no extended attribute has such a name")


def _create_unnamed(change: CreateUnnamed, table: InodeTable) -> None:
    _live(table, change.ino)
    _new(table, change.ino, change.parent)
    if not stat.S_ISREG(change.mode):
        raise ValueError("only a regular file can be without a name")


_LOOKS: dict[type[Change], Callable[[Any, InodeTable], None]] = {
    Create: _create,
    Link: _link,
    Unlink: _unlink,
    Rename: _rename,
    Exchange: _exchange,
    SetAttributes: _set_attributes,
    Truncate: _content,
    Write: _content,
    Place: _content,
    Settle: _settle,
    SetXattr: _set_xattr,
    CreateUnnamed: _create_unnamed,
    Clone: _clone,
    DropTree: _drop_tree,
}
"""By kind of change. A `Reserve` may say anything: what is bounded is its number."""
