"""The directory in which snapshots are found, `.snapshots` in the root: in no store, made up in memory.

Promises to be found by its name in the root of a tree that can change, and to be listed there only on demand.
Never changes: whoever tries is told that it is read-only.
"""

import stat
from typing import Any

from vfs.backing.store import Store
from vfs.backing.tree_rows import EntryRow
from vfs.backing.trees import Snapshot, Trees
from vfs.inode.directory import Directory, Entry
from vfs.inode.inode import Inode
from vfs.limits import LAST_NUMBER, ROOT_INO
from vfs.namespace import DIRECTORY_KIND, Namespace
from vfs.numbers import SNAPSHOTS_INO

SNAPSHOTS_NAME = b".snapshots"

_FIRST_COOKIE = 3
_COOKIE_IN_ROOT = LAST_NUMBER
"""Behind all others: a listing of the root ends with it."""


class SnapshotEntries:
    """Where the entries come from: memory may be short at any time, and no row of the index has them."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees

    def entry(self, parent: int, name: bytes) -> Entry | None:
        """The entry of one snapshot."""
        snapshot = self._trees.snapshots.get(name.decode(errors="surrogateescape"))
        return None if snapshot is None else self._row(snapshot)[1:]

    def entries_after(self, parent: int, cookie: int, limit: int) -> list[EntryRow]:
        """Entries with larger cookies, the oldest snapshot first."""
        found: list[EntryRow] = []
        for snapshot in sorted(self._trees.snapshots.values()):
            if len(found) == limit:
                break
            if _FIRST_COOKIE + snapshot.id > cookie:
                found.append(self._row(snapshot))
        return found

    def _row(self, snapshot: Snapshot) -> EntryRow:
        tree = self._trees.frozen(snapshot.name)
        assert tree is not None, "each snapshot has its main tree"
        return snapshot.name.encode(), tree.root_ino, _FIRST_COOKIE + snapshot.id, DIRECTORY_KIND

    def names_of(self, parent: int, ino: int) -> list[bytes]:
        """The name of the snapshot with that root."""
        return [name for name, root, _, _ in self.entries_after(parent, 0, LAST_NUMBER) if root == ino]


class SnapshotDirectory(Namespace):
    """Names, with the one more that the root has."""

    def __init__(self, store: Store, *, snapdir_visible: bool = False, **options: Any) -> None:
        super().__init__(store, **options)
        self._snapdir_visible = snapdir_visible
        self._made_up: Inode | None = None

    def show_snapshots(self) -> None:
        """Make the directory what the snapshots are now; none where the main tree is one itself."""
        trees, table = self.table.trees, self.table
        main = trees.get(ROOT_INO >> 40)
        if main is None or not main.live:
            return
        root = table.get(ROOT_INO)
        snapshots = sorted(trees.snapshots.values())
        newest = max((snapshot.created for snapshot in snapshots), default=root.birth_ns)
        times = (newest, newest, newest, root.birth_ns)
        links = 2 + len(snapshots)
        next_cookie = _FIRST_COOKIE + max((snapshot.id for snapshot in snapshots), default=-1) + 1
        row = (
            *(SNAPSHOTS_INO, stat.S_IFDIR | 0o555, root.uid, root.gid, links, len(snapshots), 0, 0),
            *(*times, ROOT_INO, next_cookie, None),
        )
        inode = Inode(row, persisted=True)
        entries = SnapshotEntries(trees)
        inode.directory = Directory(
            SNAPSHOTS_INO, entries, self.limiter, complete=False, entries=len(snapshots)
        )
        if self._made_up is not None:
            inode.version = self._made_up.version + 1
        table.make_up(inode)
        self._made_up = inode

    # --- in the root ------------------------------------------------------------------------

    def _made_up_under(self, parent: int, name: bytes) -> Inode | None:
        return self._made_up if parent == ROOT_INO and name == SNAPSHOTS_NAME else None

    def readdir(self, ino: int, cookie: int, limit: int = 256) -> list[EntryRow]:
        """(name, ino, cookie, kind) of entries after `cookie`; see `Namespace.readdir`."""
        rows = super().readdir(ino, cookie, limit)
        at_end = not rows and self._snapdir_visible and cookie < _COOKIE_IN_ROOT
        if at_end and self._is_made_up(ino, SNAPSHOTS_NAME):
            return [(SNAPSHOTS_NAME, SNAPSHOTS_INO, _COOKIE_IN_ROOT, DIRECTORY_KIND)]
        return rows

    def _is_made_up(self, parent: int, name: bytes) -> bool:
        """Whether that is the name, and nothing in the store has it."""
        if parent != ROOT_INO or name != SNAPSHOTS_NAME or self._made_up is None:
            return False
        return self._entry(self._directory(parent), name) is None
