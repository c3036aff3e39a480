"""The namespace made whole: every inode that is worth it has a name, every name means something allowed.

Promises that entries and inodes without fault stay as they are, that a directory keeps its entries wherever
it goes, and that what loses its name goes to /lost+found, but files that were unlinked while they were open.
Works on rows of the draft, in one transaction of it; tells the plan of each change.
"""

import stat
from functools import partial

from vfs.backing.mending import DIRECTORY, FILE, Mending
from vfs.inode.extent_map import ExtentMap
from vfs.limits import ROOT_INO, SEGMENT_BYTES
from vfs.repair.found import LostAndFound, new_row
from vfs.repair.plan import Plan
from vfs.repair.rows import free_name

NAMES, ATTRIBUTES, COUNTS = "names", "attributes", "counts"


class NameMender:
    """One mending of a draft's namespace: `before_replay`, then `after_replay`."""

    def __init__(self, mending: Mending, found: LostAndFound, plan: Plan, owner: tuple[int, int]) -> None:
        self._mending = mending
        self._found = found
        self._plan = plan
        self._owner = owner

    def before_replay(self) -> None:
        """What records of the log rely on: a root, types, next cookies."""
        self._root()
        self._types()
        self._mending.raise_cookies()

    def after_replay(self) -> None:
        """Everything else."""
        self._types()
        self._lost_inodes()
        self._symlinks()
        self._entries()
        for what, count in self._mending.drop_strays().items():
            if count:
                self._plan.add(ATTRIBUTES, f"{count} {what} are dropped", count)
        self._directories()
        self._nameless()

    def count(self) -> None:
        """Last of all: bring numbers of links and the like in line."""
        for what, count in self._mending.recount().items():
            if count:
                self._plan.add(COUNTS, f"{count} {what} are corrected", count)

    # --- inodes -------------------------------------------------------------------------------

    def _root(self) -> None:
        row = self._mending.inode_row(ROOT_INO)
        if row is not None and row[1] >> 12 == DIRECTORY:
            if row[12] != ROOT_INO:
                self._mending.change("UPDATE inode SET parent=1 WHERE ino=1")
                self._plan.add(ATTRIBUTES, "the root directory becomes its own parent again")
            return
        mode = stat.S_IFDIR | (0o755 if row is None else row[1] & 0o7777)
        uid, gid = self._owner if row is None else (row[2], row[3])
        self._mending.change("DELETE FROM inode WHERE ino=1")
        self._mending.put_inodes(iter([new_row(ROOT_INO, mode, uid, gid, ROOT_INO)]))
        self._plan.add(
            NAMES, f"the root directory is {'missing' if row is None else 'none'}: it is made anew"
        )

    def _types(self) -> None:
        for ino, mode, kind in self._mending.without_type():
            self._mending.set_mode(ino, (kind << 12) | (mode & 0o7777))
            what = "directory" if kind == DIRECTORY else "file" if kind == FILE else f"thing of kind {kind}"
            self._plan.add(ATTRIBUTES, f"inode {ino} has a type that does not exist: it becomes a {what}")

    def _lost_inodes(self) -> None:
        """Make inodes anew of which other rows say that they were there."""
        root = self._mending.inode_row(ROOT_INO)
        assert root is not None, "it was made before"
        for ino in self._mending.lost_directories():
            row = new_row(ino, stat.S_IFDIR | 0o700, root[2], root[3], 0)
            self._mending.put_inodes(iter([row]))
            self._plan.add(ATTRIBUTES, f"the attributes of directory {ino} are lost: owner and mode are new")
        for ino, last in self._mending.lost_files():
            size = last * SEGMENT_BYTES + ExtentMap.decode(self._mending.map_of(ino, last)).length
            row = new_row(ino, stat.S_IFREG | 0o600, root[2], root[3], 0, size)
            self._mending.put_inodes(iter([row]))
            self._plan.add(ATTRIBUTES, f"the attributes of file {ino} are lost: size, owner and mode are new")

    def _symlinks(self) -> None:
        for ino in self._mending.broken_symlinks():
            self._mending.drop_inode(ino)
            self._plan.add(NAMES, f"symbolic link {ino} has lost its target and goes")

    # --- entries ------------------------------------------------------------------------------

    def _entries(self) -> None:
        for parent, name, ino in self._mending.dangling_entries():
            self._mending.drop_entry(parent, name)
            self._plan.add(NAMES, f"entry {name!r} of {parent} names inode {ino}: it cannot be, and goes")
        for parent, name in self._mending.bad_names():
            new = free_name(name, partial(self._mending.has_name, parent))
            self._mending.rename_entry(parent, name, new)
            self._plan.add(NAMES, f"entry {name!r} of directory {parent} is not allowed: it becomes {new!r}")
        changed = self._mending.set_kinds()
        if changed:
            self._plan.add(COUNTS, f"{changed} kinds of entries are corrected", changed)
        for parent, name, ino in self._mending.extra_names():
            self._mending.drop_entry(parent, name)
            self._plan.add(NAMES, f"directory {ino} has two names: entry {name!r} of {parent} goes")

    def _directories(self) -> None:
        """Bring every directory back under the root."""
        unreached = self._mending.unreached()
        loops = _one_of_each_loop(unreached)
        for ino, parent in sorted(unreached.items()):
            if parent and ino not in loops:
                continue  # comes with the one that it lies in
            if parent:
                self._mending.change("DELETE FROM entry WHERE ino=?", (ino,))
            path = self._found.take_in(ino, DIRECTORY, b"inode-%d" % ino)
            why = "lies in itself" if parent else "has no name"
            self._plan.add(NAMES, f"directory {ino} {why}: it goes to {path} with all that is in it")

    def _nameless(self) -> None:
        for ino in self._mending.nameless():
            row = self._mending.inode_row(ino)
            assert row is not None, "it was just found"
            path = self._found.take_in(ino, row[1] >> 12, b"inode-%d" % ino)
            self._plan.add(NAMES, f"inode {ino} has no name: it goes to {path}")


def _one_of_each_loop(parents: dict[int, int]) -> set[int]:
    """The lowest member of each loop among directories that name their parents."""
    loops: set[int] = set()
    done: set[int] = set()
    for start in parents:
        path: list[int] = []
        on_path: set[int] = set()
        ino = start
        while ino in parents and ino not in done and ino not in on_path:
            path.append(ino)
            on_path.add(ino)
            ino = parents[ino]
        if ino in on_path:
            loops.add(min(path[path.index(ino) :]))
        done |= on_path
    return loops
