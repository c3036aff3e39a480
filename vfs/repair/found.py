"""/lost+found: the directory that takes in what has lost its name.

Promises to be made only when something goes there, to overwrite nothing, and to be open to its owner alone.
"""

import stat

from vfs.backing.mending import DIRECTORY, Mending
from vfs.backing.transaction import InodeRow
from vfs.clock import now_ns
from vfs.inode.directory import FIRST_COOKIE
from vfs.limits import ROOT_INO
from vfs.repair.plan import Plan
from vfs.repair.rows import free_name

NAME = b"lost+found"
MODE = stat.S_IFDIR | 0o700


class LostAndFound:
    """The directory, and the numbers of new inodes."""

    def __init__(self, mending: Mending, plan: Plan, next_ino: int) -> None:
        self._mending = mending
        self._plan = plan
        self.next_ino = next_ino
        """INVARIANT: no inode with this number or a higher one was ever handed out."""
        self._ino = 0
        self._cookie = FIRST_COOKIE
        self.path = ""

    def take_ino(self) -> int:
        """A number that was never used."""
        self.next_ino += 1
        return self.next_ino - 1

    def take_in(self, ino: int, kind: int, name: bytes) -> str:
        """Give an inode without a name one here; returns its path."""
        if not self._ino:
            self._open()
        name = free_name(name, lambda other: self._mending.has_name(self._ino, other))
        self._mending.put_entries(iter([(self._ino, name, ino, self._cookie, kind)]))
        self._cookie += 1
        return f"{self.path}/{name.decode()}"

    def finish(self) -> None:
        """All is taken in: the directory knows what it holds."""
        if self._ino:
            self._mending.change("UPDATE inode SET cookie=? WHERE ino=?", (self._cookie, self._ino))
            for ino in (self._ino, ROOT_INO):
                self._mending.count_entries(ino)

    def _open(self) -> None:
        """Find the directory that an earlier repair has made, or make it under a name that is free."""
        root = self._mending.inode_row(ROOT_INO)
        assert root is not None, "the root was made before anything is taken in"
        name, number = NAME, 0
        while (found := self._mending.entry_at(ROOT_INO, name)) is not None:
            row = self._mending.inode_row(found)
            if row is not None and row[1] >> 12 == DIRECTORY:
                self._ino, self._cookie = found, row[13]
                break
            number += 1
            name = NAME + b".%d" % number
        self.path = f"/{name.decode()}"
        if not self._ino:
            self._ino = self.take_ino()
            self._mending.put_inodes(iter([new_row(self._ino, MODE, root[2], root[3], ROOT_INO)]))
            self._mending.put_entries(iter([(ROOT_INO, name, self._ino, root[13], DIRECTORY)]))
            self._mending.change("UPDATE inode SET cookie=cookie+1 WHERE ino=?", (ROOT_INO,))
            self._plan.add("names", f"{self.path} is made, for what has lost its name")


def new_row(
    ino: int, mode: int, uid: int, gid: int, parent: int, size: int = 0, allocated: int = 0
) -> InodeRow:
    """An inode of which nothing else is known."""
    now = now_ns()
    return (ino, mode, uid, gid, 1, size, allocated, 0, now, now, now, now, parent, FIRST_COOKIE, None)
