"""What has changed since the last checkpoint, and the exact capture of it while changes go on.

Promises that a capture holds the state at the moment `begin` was called, to the last attribute, although
it is gathered in slices with live operations in between: whoever is about to change something calls
`touch` or `touch_entry` first, and what is still to be captured is captured before it changes.
Never writes the index: the checkpoint carries a `Capture` there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vfs.backing.transaction import InodeRow
from vfs.backing.trees import Branch, Chain, Tree
from vfs.inode.captured import Captured
from vfs.inode.inode import Inode
from vfs.numbers import tree_of

EntryKey = tuple[int, bytes]
"""(directory, name)."""


@dataclass(slots=True)
class Capture:
    """Rows of one moment. `taken_*` remember what they came from, for the time after the commit."""

    lsn: int
    meta: dict[str, int]
    sequences: dict[str, int]
    generation: int
    """What its rows are written with."""
    chains: dict[int, Chain]
    """The live trees of that moment, and where their rows go."""
    trees: list[tuple[Tree, Branch]]
    """Clones, with the branches that they made; INVARIANT: none that is about to go."""
    inodes: list[InodeRow] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    entries: list[tuple[int, bytes, int, int, int]] = field(default_factory=list)
    dropped_entries: list[EntryKey] = field(default_factory=list)
    segments: dict[int, Captured] = field(default_factory=dict)
    new_files: set[int] = field(default_factory=set)  # files without earlier segments to account for
    xattrs: list[tuple[int, dict[bytes, bytes]]] = field(default_factory=list)
    taken_inodes: dict[int, Inode] = field(default_factory=dict)
    taken_entries: dict[EntryKey, Inode] = field(default_factory=dict)
    taken_xattrs: set[int] = field(default_factory=set)


class Tracker:
    """The changed inodes and entries, and the capture that is being gathered or committed.

    INVARIANT: an inode or entry is in `inodes`/`entries` when it differs from what the index, or the
    capture on its way there, has of it.
    """

    def __init__(self, settle: Callable[[Inode], None]) -> None:
        self.settle = settle  # moves merged memory of a file into the log, so that a map can be written
        self.inodes: dict[int, Inode] = {}
        self.entries: dict[EntryKey, Inode] = {}
        self.capture: Capture | None = None
        self._pending_inodes: dict[int, Inode] = {}
        self._pending_entries: dict[EntryKey, Inode] = {}

    def __len__(self) -> int:
        return len(self.inodes) + len(self.entries)

    @property
    def uncommitted(self) -> int:
        """How much the index does not have yet: changes, and what a capture takes there. Both count if both
        are of the same inode or entry."""
        found, capture = len(self), self.capture
        if capture is not None:
            found += len(self._pending_inodes) + len(self._pending_entries)
            found += len(capture.taken_inodes) + len(capture.taken_entries)
            found += len(capture.dropped) + len(capture.dropped_entries)
        return found

    # --- called before every change ---------------------------------------------------------

    def touch(self, inode: Inode) -> None:
        """The inode is about to change."""
        ino = inode.ino
        if ino not in self.inodes:
            if self._pending_inodes:
                self.before_logging(inode)
            self.inodes[ino] = inode

    def touch_entry(self, directory: Inode, name: bytes) -> None:
        """The entry `name` of the directory is about to change."""
        key = (directory.ino, name)
        if key in self._pending_entries:
            del self._pending_entries[key]
            self._take_entry(key, directory)
        self.entries[key] = directory

    def before_logging(self, inode: Inode) -> None:
        """The inode is about to change, and nothing of that is in the log yet.

        Capturing may have to log what the file holds in memory. That record must stand before the
        record of the change, or replay would put the old bytes over the new ones; and where there is no room
        for it, the change must not be in the log yet either.
        """
        pending = self._pending_inodes.get(inode.ino)
        if pending is not None:
            self._take_inode(pending)
            del self._pending_inodes[inode.ino]  # not before: without room it still has to be captured

    def capture_tree(self, tree: int) -> None:
        """A tree is about to go: capture what was to be captured of it."""
        for ino, inode in list(self._pending_inodes.items()):
            if tree_of(ino) == tree:
                self.before_logging(inode)
        for key, directory in list(self._pending_entries.items()):
            if tree_of(key[0]) == tree:
                del self._pending_entries[key]
                self._take_entry(key, directory)

    def drop_tree(self, tree: int) -> None:
        """A tree goes: forget what changed in it since a capture."""
        self.capture_tree(tree)
        self.keep_trees(lambda found: found != tree)

    def keep_trees(self, keeps: Callable[[int], bool]) -> None:
        """Forget changes in trees that are gone."""
        self.inodes = {ino: inode for ino, inode in self.inodes.items() if keeps(tree_of(ino))}
        self.entries = {key: inode for key, inode in self.entries.items() if keeps(tree_of(key[0]))}

    # --- capturing --------------------------------------------------------------------------

    def begin(self, capture: Capture) -> None:
        """This moment is the one to capture. One capture at a time."""
        assert self.capture is None, "one capture at a time"
        self.capture = capture
        self._pending_inodes, self.inodes = self.inodes, {}
        self._pending_entries, self.entries = self.entries, {}

    def gather(self, most: int) -> bool:
        """Capture at most so many more things; True when all is captured."""
        while most > 0 and self._pending_inodes:
            self._take_last()
            most -= 1
        while most > 0 and self._pending_entries:
            key, directory = self._pending_entries.popitem()
            self._take_entry(key, directory)
            most -= 1
        return not self._pending_inodes and not self._pending_entries

    def _take_last(self) -> None:
        # Taken off the end: what was taken there before would be looked at again by any other way to find
        # it, so that the whole took time with the square of the changes.
        ino, inode = self._pending_inodes.popitem()
        try:
            self._take_inode(inode)
        except BaseException:
            self._pending_inodes[ino] = inode  # without room it still has to be captured
            raise

    def _take_inode(self, inode: Inode) -> None:
        capture = self.capture
        assert capture is not None, "pending implies a capture"
        ino = inode.ino
        capture.taken_inodes[ino] = inode
        if inode.dropped:
            if inode.persisted:
                capture.dropped.append(ino)
            return
        if inode.file is not None:
            self._take_segments(capture, inode)
        capture.inodes.append(inode.row())
        if inode.xattrs_changed:
            assert inode.xattrs is not None, "changed attributes are loaded"
            capture.xattrs.append((ino, dict(inode.xattrs)))
            capture.taken_xattrs.add(ino)
            inode.xattrs_changed = False
        inode.persisted = True

    def _take_segments(self, capture: Capture, inode: Inode) -> None:
        file = inode.file
        assert file is not None, "the caller looked"
        if not file.dirty and file.voided_from is None:
            return
        self.settle(inode)
        if not file.persisted:
            capture.new_files.add(inode.ino)
        capture.segments[inode.ino] = file.begin_capture()

    def _take_entry(self, key: EntryKey, directory: Inode) -> None:
        capture = self.capture
        assert capture is not None, "pending implies a capture"
        capture.taken_entries[key] = directory
        entry = None
        if directory.directory is not None and not directory.dropped:
            entry = directory.directory.names.get(key[1])
        if entry is None:
            capture.dropped_entries.append(key)
        else:
            capture.entries.append((key[0], key[1], *entry))

    # --- after the commit -------------------------------------------------------------------

    def committed(self) -> Capture:
        """The index has the capture now: forget it, and give it to the caller to tidy up behind."""
        capture = self.capture
        assert capture is not None, "only a capture can be committed"
        self.capture = None
        return capture

    def abandon(self) -> None:
        """The commit failed and changed nothing: all that was captured, or was to be, counts as changed
        again. Logs nothing: there may be no room for it."""
        capture = self.committed()
        for ino, inode in self._pending_inodes.items():
            self.inodes.setdefault(ino, inode)
        for key, directory in self._pending_entries.items():
            self.entries.setdefault(key, directory)
        self._pending_inodes, self._pending_entries = {}, {}
        for ino, inode in capture.taken_inodes.items():
            self.inodes.setdefault(ino, inode)
            if ino in capture.taken_xattrs:
                inode.xattrs_changed = True
        for ino, captured in capture.segments.items():
            inode = capture.taken_inodes[ino]
            if inode.file is not None and not inode.dropped:  # a clone may have gone with it meanwhile
                inode.file.abandon_capture(captured)
        for key, directory in capture.taken_entries.items():
            self.entries.setdefault(key, directory)

    def held_names(self, directories: Iterable[int]) -> dict[int, set[bytes]]:
        """For each of these directories the names that may not be dropped from memory, removed ones too: the
        index does not have them as they are."""
        held: dict[int, set[bytes]] = {ino: set() for ino in directories}
        taken = {} if self.capture is None else self.capture.taken_entries
        for entries in (self.entries, self._pending_entries, taken):
            for ino, name in entries:
                if ino in held:
                    held[ino].add(name)
        return held

    def changed_inodes(self) -> set[int]:
        """The inodes that the index does not have as they are."""
        taken = {} if self.capture is None else self.capture.taken_inodes
        return {*self.inodes, *self._pending_inodes, *taken}

    def holds_xattrs(self, inode: Inode) -> bool:
        """True while the index does not have the inode's extended attributes as they are."""
        return inode.xattrs_changed or (self.capture is not None and inode.ino in self.capture.taken_xattrs)

    def is_held(self, ino: int) -> bool:
        """True while the inode may not be dropped from memory: the index does not have it as it is."""
        if ino in self.inodes or ino in self._pending_inodes:
            return True
        return self.capture is not None and ino in self.capture.taken_inodes
