"""One record of a damaged log, applied where it makes sense.

Promises what `changes.py` promises where nothing is missing: the same tables afterwards. Where something is,
what the record needs is made (an inode without a name, a directory without attributes), or the record does
what is left of it. Data that does not verify is placed all the same: whoever looks at extents finds it.
Never keeps data in memory: each piece of a file is where the log has it.
"""

import stat
from collections.abc import Sequence

from vfs.backing.trees import LIVE, Branch, Tree
from vfs.changes import (
    AnyChange,
    Create,
    CreateUnnamed,
    DataPlace,
    Exchange,
    Link,
    Place,
    Rename,
    Reserve,
    SetAttributes,
    Settle,
    SetXattr,
    Together,
    Truncate,
    Unlink,
    Write,
)
from vfs.errors import NoEntry
from vfs.inode.extents import ChunkRange, Extent, Fill, Lost
from vfs.inode.inode import Inode
from vfs.inode.table import InodeTable
from vfs.limits import FILE_BYTES, SEGMENT_BYTES
from vfs.numbers import LOCAL_MASK, number_of
from vfs.repair.lenient_trees import LenientTrees
from vfs.tree_changes import Clone, DropTree

PLACEHOLDER_DIRECTORY = stat.S_IFDIR | 0o700
PLACEHOLDER_FILE = stat.S_IFREG | 0o600


class LenientTable:
    """The changes of records, on an inode table where anything may be missing."""

    def __init__(
        self, table: InodeTable, owner: tuple[int, int], highest_ino: int, trees: LenientTrees
    ) -> None:
        self._table = table
        self._trees = trees
        self._owner = owner
        self._highest = highest_ino
        self.gap_ino = 0
        """Up to here inodes are older than the last gap: something that happened to them may be missing."""
        self.gaps = 0
        self.made: set[int] = set()
        """Inodes that were made because a record needed them: what they had before is not known."""

    def gap(self) -> None:
        """Records are missing here: what they did is not known."""
        self.gaps += 1
        self.gap_ino = self._highest

    def apply(self, change: AnyChange, place: DataPlace, *, verified: bool) -> None:
        """Make as much of the change as makes sense."""
        if self._trees.is_about_nothing(change, self._table.trees):
            return
        match change:
            case Create():
                self._create(change)
            case CreateUnnamed():
                if self._inode(change.ino) is None:
                    self._highest = max(self._highest, change.ino)
                    change.apply(self._table, place)
            case Link():
                inode = self._needed(change.ino)
                self._put(change.parent, change.name, inode, change.cookie, change.time_ns)
                self._table.set_links(inode, change.nlink, change.time_ns)
            case Unlink():
                self._drop(change.parent, change.name, change.ino, change.time_ns, change.parent_nlink)
                self._links(change.ino, change.nlink, change.time_ns)
            case Rename():
                self._rename(change)
            case Exchange():
                self._exchange(change)
            case SetAttributes():
                known = self._inode(change.ino)
                if known is not None and stat.S_IFMT(known.mode) == stat.S_IFMT(change.mode):
                    change.apply(self._table, place)
            case SetXattr():
                if self._inode(change.ino) is not None:
                    change.apply(self._table, place)
            case Reserve():
                if change.sequence in self._table.sequences:
                    change.apply(self._table, place)
            case Together():
                for one in change.changes:
                    self.apply(one, place, verified=verified)
            case Clone():
                self._clone(change)
            case DropTree():
                self._drop(change.parent, change.name, change.root, change.time_ns, change.parent_nlink)
                for tree in self._trees.dropped(change, self._table.trees):
                    self._table.drop_tree(tree)
            case Truncate() | Write() | Place() | Settle():
                self._content(change, place, verified=verified)

    def _clone(self, change: Clone) -> None:
        trees = self._table.trees
        possible = self._trees.clone(change, trees)
        if possible is not None:
            trees.branches[change.branch] = Branch(change.branch, possible.source_branch, change.source_gen)
            self._table.add_tree(Tree(change.tree, change.tree, 0, change.branch, LIVE, change.root))
        if trees.get(change.tree) is None:
            return
        root = self._table.get(number_of(change.tree, change.root))
        self._put(change.parent, change.name, root, change.cookie, change.time_ns, change.parent_nlink)
        if possible is not None:
            self._table.move(root, change.parent, change.time_ns)

    # --- inodes -------------------------------------------------------------------------------

    def _inode(self, ino: int) -> Inode | None:
        try:
            return self._table.get(ino)
        except NoEntry:
            return None

    def _needed(self, ino: int, mode: int = PLACEHOLDER_FILE, time_ns: int = 0) -> Inode:
        """The inode, made when it is missing; 1 link keeps it from going as an unlinked file."""
        inode = self._inode(ino)
        if inode is None and ino > LOCAL_MASK:
            raise NoEntry(f"inode {ino}")  # a clone of which something is missing is none
        if inode is None:
            self.made.add(ino)
            inode = self._table.add(ino, mode, *self._owner, 1, 0, time_ns, 0, None)
        return inode

    def _directory(self, ino: int, time_ns: int) -> Inode | None:
        """A directory, made when it is missing; None when the inode is something else."""
        inode = self._needed(ino, PLACEHOLDER_DIRECTORY, time_ns)
        return inode if inode.is_directory else None

    def _links(self, ino: int, nlink: int, time_ns: int) -> None:
        inode = self._inode(ino)
        if inode is not None:
            self._table.set_links(inode, nlink, time_ns)

    # --- names --------------------------------------------------------------------------------

    def _put(
        self, parent: int, name: bytes, inode: Inode, cookie: int, time_ns: int, nlink: int | None = None
    ) -> None:
        """Put an entry, in the place of what has that name; `nlink` is the directory's afterwards."""
        directory = self._directory(parent, time_ns)
        if directory is None:
            return
        known = self._table.directory(directory).get(name)
        if known is not None:
            if known[0] == inode.ino:
                return
            self._table.drop_entry(directory, name)
        cookie = max(cookie, directory.cookie)  # equal where nothing is missing
        self._table.put_entry(directory, name, inode.ino, cookie, inode.mode)
        self._table.stamp_directory(directory, time_ns, directory.nlink if nlink is None else nlink)

    def _drop(self, parent: int, name: bytes, ino: int, time_ns: int, nlink: int | None = None) -> int:
        """Drop an entry if it means that inode; returns the kind that it had, 0 where there is none."""
        directory = self._inode(parent)
        if directory is None or not directory.is_directory:
            return 0
        known = self._table.directory(directory).get(name)
        if known is None or known[0] != ino:
            return 0
        self._table.drop_entry(directory, name)
        self._table.stamp_directory(directory, time_ns, directory.nlink if nlink is None else nlink)
        return known[2]

    def _create(self, change: Create) -> None:
        inode = self._inode(change.ino)
        if inode is None:
            self._highest = max(self._highest, change.ino)
            inode = self._table.add(
                change.ino,
                change.mode,
                change.uid,
                change.gid,
                change.nlink,
                change.rdev,
                change.time_ns,
                change.parent,
                change.target,
            )
        self._put(change.parent, change.name, inode, change.cookie, change.time_ns, change.parent_nlink)

    def _rename(self, change: Rename) -> None:
        kind = self._drop(change.parent, change.name, change.ino, change.time_ns, change.parent_nlink)
        if change.replaced:
            self._drop(change.new_parent, change.new_name, change.replaced, change.time_ns)
            self._links(change.replaced, change.replaced_nlink, change.time_ns)
        mode = (kind << 12 | 0o700) if kind else PLACEHOLDER_FILE
        inode = self._needed(change.ino, mode, change.time_ns)
        time_ns = change.time_ns
        self._put(change.new_parent, change.new_name, inode, change.cookie, time_ns, change.new_parent_nlink)
        self._table.move(inode, change.new_parent, time_ns)

    def _exchange(self, change: Exchange) -> None:
        time_ns = change.time_ns
        kind = self._drop(change.parent, change.name, change.ino, time_ns)
        other_kind = self._drop(change.other_parent, change.other_name, change.other_ino, time_ns)
        mode, other_mode = ((k << 12 | 0o700) if k else PLACEHOLDER_FILE for k in (kind, other_kind))
        inode = self._needed(change.ino, mode, time_ns)
        other = self._needed(change.other_ino, other_mode, time_ns)
        self._put(change.parent, change.name, other, change.cookie, time_ns, change.parent_nlink)
        self._put(
            change.other_parent,
            change.other_name,
            inode,
            change.other_cookie,
            time_ns,
            change.other_parent_nlink,
        )
        self._table.move(inode, change.other_parent, time_ns)
        self._table.move(other, change.parent, time_ns)

    # --- content ------------------------------------------------------------------------------

    def _content(
        self, change: Truncate | Write | Place | Settle, place: DataPlace, *, verified: bool
    ) -> None:
        if isinstance(change, Settle):
            # The file had these bytes; where its own frames, or the pack that has them, are lost, this is
            # where they are.
            inode = self._inode(change.ino)
            if inode is not None and inode.is_file and verified:
                self._write(inode, change.offset, (_logged(place, 0, len(place.data)),))
                self._changed(inode, inode.mode, inode.mtime_ns)
            return
        inode = self._needed(change.ino, _file_mode(change.mode), change.time_ns)
        if not inode.is_file:
            return
        match change:
            case Truncate():
                self._resize(inode, change.size)
            case Write():
                self._write(inode, change.offset, _pieces(change, place))
            case Place():
                if change.extents:
                    self._write(inode, change.offset, change.extents)
                if self._table.file(inode).size < change.size:
                    self._resize(inode, change.size)
        self._changed(inode, change.mode, change.time_ns)

    def _write(self, inode: Inode, offset: int, pieces: Sequence[Extent]) -> None:
        length = sum(piece.length for piece in pieces)
        if offset < 0 or offset + length > FILE_BYTES:
            raise ValueError(f"{length} bytes at {offset} are in no file")
        self._table.content_changes(inode)
        file = self._table.file(inode)
        if offset > file.size:
            self._bridge(inode, offset)
        file.write(offset, list(pieces))

    def _resize(self, inode: Inode, size: int) -> None:
        if not 0 <= size <= FILE_BYTES:
            raise ValueError(f"no file has {size} bytes")
        self._table.content_changes(inode)
        file = self._table.file(inode)
        if size > file.size and inode.ino in self.made and not file.size:
            self._bridge(inode, size)
        else:
            file.truncate(size)

    def _bridge(self, inode: Inode, end: int) -> None:
        """What lies between the end of a file and `end`: a hole, or lost when records are missing that may
        have written there."""
        file = self._table.file(inode)
        certain = inode.ino > self.gap_ino and inode.ino not in self.made
        if not self.gaps or certain or end - file.size > MOST_BRIDGED:
            file.truncate(end)
            return
        while file.size < end:  # a segment at a time, as all extents are
            step = min(end, (file.size // SEGMENT_BYTES + 1) * SEGMENT_BYTES) - file.size
            file.write(file.size, [Lost(step)])

    def _changed(self, inode: Inode, mode: int, time_ns: int) -> None:
        self._table.content_changes(inode)
        self._table.file(inode)
        mode = mode if stat.S_ISREG(mode) else inode.mode
        self._table.content_changed(inode, mode, time_ns)


MOST_BRIDGED = 1 << 40
"""A file that grew by more than that in one step is a sparse one: nobody has written a terabyte unseen."""


def _file_mode(mode: int) -> int:
    return mode if stat.S_ISREG(mode) else PLACEHOLDER_FILE


def _logged(place: DataPlace, at: int, length: int) -> ChunkRange:
    return ChunkRange(length, place.chunk, place.frame, place.start + at)


def _pieces(change: Write, place: DataPlace) -> list[Extent]:
    length = len(place.data)
    if change.runs is None:
        return [_logged(place, 0, length)] if length else []
    pieces: list[Extent] = []
    at = 0
    for run_length, byte in change.runs:
        if run_length <= 0 or (byte < 0 and at + run_length > length) or byte > 255:
            raise ValueError("runs that are not of this data")
        if byte < 0:
            pieces.append(_logged(place, at, run_length))
            at += run_length
        else:
            pieces.append(Fill(run_length, byte))
    return pieces
