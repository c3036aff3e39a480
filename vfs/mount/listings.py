"""Directories that are being listed: rows fetched once serve several requests of the kernel.

Promises that a row is handed out only while its directory is as it was when the row was fetched, and that
rows of a bounded number of directories are kept. Never tells of an entry that contradicts its inode: that is
the error at the listing's end.
"""

from collections import OrderedDict

from vfs.backing.tree_rows import EntryRow
from vfs.errors import IndexDamaged, NoEntry
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.mount.errno_table import fuse_error
from vfs.namespace import DIRECTORY_KIND

READDIR_ROWS = 256
"""Entries fetched at a time; the kernel's buffer holds some 25, the rest waits for its next request."""

LISTINGS = 64
"""Directories being listed of which those rows are kept: with more open than that they are fetched anew."""


class Listings:
    """Rows of open directories, by inode numbers."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        # directory -> (version, cookie, rows after it); INVARIANT: of at most LISTINGS directories
        self._rest: OrderedDict[int, tuple[int, int, list[EntryRow]]] = OrderedDict()
        self._unlisted: dict[int, IndexDamaged] = {}  # directory -> why not all of it was listed

    def rows(self, ino: int, cookie: int) -> list[EntryRow]:
        """Some rows after `cookie`; none at the end."""
        # Rows fetched earlier stand only while the directory is as it was: the kernel would believe a
        # stale name.
        version = self._fs.get(ino).version
        rest = self._rest.get(ino)
        if rest is not None and rest[0] == version and rest[1] <= cookie:
            rows = [row for row in rest[2] if row[2] > cookie]
            if rows:
                return rows
        rows = self._fs.readdir(ino, cookie, READDIR_ROWS)
        version = self._fs.get(ino).version  # another one where listing it was noted as an access
        self._rest[ino] = (version, cookie, rows)
        if len(self._rest) > LISTINGS:
            self._rest.popitem(last=False)
        return rows

    def known(self, ino: int) -> Inode | None:
        """The inode of a listed entry; None, and a line in the log, where it cannot be read."""
        try:
            return self._fs.get(ino)
        except (IndexDamaged, NoEntry) as error:
            fuse_error(error)  # tells the log
        return None

    def fits(self, directory: int, inode: Inode, cookie: int, kind: int) -> bool:
        """False where an entry and its inode contradict each other: told at the listing's end only."""
        if kind == inode.mode >> 12 != DIRECTORY_KIND:
            return True  # nothing else is asked of it
        try:
            return bool(self._fs.named(self._fs.get(directory), (inode.ino, cookie, kind)))
        except IndexDamaged as error:
            self._unlisted[directory] = error
        return False

    def end(self, directory: int) -> None:
        """Raise what kept something from being listed, once."""
        if directory in self._unlisted:
            raise self._unlisted.pop(directory)

    def close(self, directory: int) -> None:
        """Nobody goes on with this listing."""
        self._rest.pop(directory, None)
        self._unlisted.pop(directory, None)

    def clear(self) -> None:
        """All directories may be others than they were: a version counts only since one was read."""
        self._rest.clear()
        self._unlisted.clear()

    def __len__(self) -> int:
        return len(self._rest)
