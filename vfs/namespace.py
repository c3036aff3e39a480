"""The POSIX rules of names: look up, create, link, unlink, rename, list.

Each operation validates, records one change, and is done; none awaits anything in between.
Never knows an errno, a handle or who may do it: the kernel checks permissions before it asks.
"""

import stat
from typing import NamedTuple

from vfs.backing.shapes import is_name
from vfs.backing.tree_rows import EntryRow
from vfs.changes import Create, Exchange, Link, Rename, Unlink
from vfs.clock import now_ns
from vfs.errors import (
    CrossTree,
    Exists,
    IndexDamaged,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoEntry,
    NotADirectory,
    NotEmpty,
    NotPermitted,
    ReadOnly,
    TooManyLinks,
)
from vfs.inode.directory import Entry
from vfs.inode.inode import Inode
from vfs.journal import Journal
from vfs.limits import LINKS, NAME_BYTES, ROOT_INO, TARGET_BYTES
from vfs.numbers import LOCAL_MASK, tree_of

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

RECORD_BYTES = 512
"""What a change without data is counted for when room is asked: its frame and its rows."""

DIRECTORY_KIND = stat.S_IFDIR >> 12
NODE_KINDS = (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)


class Caller(NamedTuple):
    """Who asks: decides the owner of what is created. Any pair of uid and gid will do."""

    uid: int = 0
    gid: int = 0


ROOT = Caller()


class Namespace(Journal):
    """Names and links."""

    def get(self, ino: int) -> Inode:
        """The inode of that number; NoEntry when there is none."""
        return self.table.get(ino)

    def _directory(self, ino: int) -> Inode:
        inode = self.table.get(ino)
        if inode.mode & 0o170000 != 0o040000:
            raise NotADirectory(f"inode {ino}")
        return inode

    def _entry(self, directory: Inode, name: bytes) -> Entry | None:
        return (directory.directory or self.table.directory(directory)).get(name)

    def _existing(self, directory: Inode, name: bytes) -> tuple[Inode, Entry]:
        entry = self._entry(directory, name)
        if entry is None:
            if self._made_up_under(directory.ino, name) is not None:
                raise ReadOnly("snapshots do not change")
            if len(name) > NAME_BYTES:
                raise NameTooLong(_shown(name))
            raise NoEntry(_shown(name))
        return self.named(directory, entry), entry

    def named(self, directory: Inode, entry: Entry) -> Inode:
        """The inode that an entry of the directory names; IndexDamaged where they contradict each other.

        INVARIANT: a directory is found in its parent only, and there under one name, so whoever walks down
        comes to an end, and soon, whatever the index says.
        """
        ino, cookie, kind = entry
        try:
            inode = self.table.get(ino)
        except NoEntry:
            raise IndexDamaged(f"directory {directory.ino} names inode {ino}, which does not exist") from None
        if inode.mode >> 12 != kind:
            raise IndexDamaged(f"directory {directory.ino} names inode {ino} as of another kind than it is")
        if kind == DIRECTORY_KIND and (inode.parent != directory.ino or ino == ROOT_INO):
            raise IndexDamaged(f"directory {directory.ino} names directory {ino}, which lies elsewhere")
        if kind == DIRECTORY_KIND and inode.entered != cookie:
            # Changes of ours keep `entered` right: it was not looked for yet, or has two names, and then the
            # entry that it was found by is still there.
            if inode.entered:
                before = self.table.directory(directory).list_after(inode.entered - 1, 1)[:1]
                if [row[1:3] for row in before] == [(ino, inode.entered)]:
                    raise IndexDamaged(f"directory {directory.ino} names directory {ino} twice")
            inode.entered = cookie
        return inode

    def _place_for(self, parent: int, name: bytes) -> Inode:
        """The directory that is to get a new entry; raises what keeps it from it."""
        if self.read_only or parent > LOCAL_MASK or self.log.failed is not None:
            self.writable(parent)
        directory = self._directory(parent)
        if len(name) > NAME_BYTES:
            raise NameTooLong(_shown(name))
        if is_name(name) is None:
            raise InvalidArgument(f"not a name: {_shown(name)}")
        if not directory.nlink:
            raise NoEntry("the directory was removed")
        made_up = parent == ROOT_INO and self._made_up_under(parent, name) is not None
        if made_up and self._entry(directory, name) is None:
            raise Exists("snapshots are found there")
        return directory

    # --- looking ----------------------------------------------------------------------------

    def find(self, parent: int, name: bytes) -> Inode | None:
        """The inode under a name, None when there is none."""
        directory = self._directory(parent)
        entry = self._entry(directory, name)
        if entry is not None:
            if self.table.in_memory(entry[0]) is None:
                self.table.read_ahead(directory, entry)
                if self.limiter.over:
                    self.relieve()
            return self.named(directory, entry)
        if name == b".":
            return directory
        if name == b"..":
            return self._above(directory)
        if len(name) > NAME_BYTES:
            raise NameTooLong(_shown(name))
        return self._made_up_under(parent, name)

    def _made_up_under(self, parent: int, name: bytes) -> Inode | None:
        """What is found under a name that no entry has."""
        return None

    def lookup(self, parent: int, name: bytes) -> Inode:
        """The inode under a name; NoEntry when there is none."""
        inode = self.find(parent, name)
        if inode is None:
            raise NoEntry(_shown(name))
        return inode

    def readdir(self, ino: int, cookie: int, limit: int = 256) -> list[EntryRow]:
        """(name, ino, cookie, kind) of entries after `cookie` (0: from the start), `.` and `..` first.

        At most about `limit` rows; none at the end. Continue with the last row's cookie.
        """
        inode = self._directory(ino)
        rows: list[EntryRow] = []
        if cookie < 1:
            self.accessed(inode)
            rows.append((b".", ino, 1, DIRECTORY_KIND))
        if cookie < 2:
            rows.append((b"..", inode.parent, 2, DIRECTORY_KIND))
        found = self.table.directory(inode).list_after(max(cookie, 2), limit)
        for _, _, at, _ in found:
            if at <= cookie:
                raise IndexDamaged(f"entries of directory {ino} are out of order")  # a listing would not end
            cookie = at
        self.table.preload(ino, found)
        if self.limiter.over:
            self.relieve()
        return rows + found

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link."""
        target = self.table.get(ino).target
        if target is None:
            raise InvalidArgument(f"inode {ino} is no symbolic link")
        return target

    # --- creating ---------------------------------------------------------------------------

    def mknod(
        self, parent: int, name: bytes, mode: int, rdev: int = 0, caller: tuple[int, int] = ROOT
    ) -> Inode:
        """A file, fifo, socket or device. A mode without a type makes a regular file."""
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        if kind in (stat.S_IFDIR, stat.S_IFLNK):
            raise InvalidArgument("directories and links have operations of their own")
        if kind not in NODE_KINDS:
            raise InvalidArgument(f"no such kind of file: {kind:#o}")
        rdev = rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
        return self._create(parent, name, kind | stat.S_IMODE(mode), rdev, caller, None)

    def mkdir(self, parent: int, name: bytes, mode: int, caller: tuple[int, int] = ROOT) -> Inode:
        """A directory."""
        return self._create(parent, name, stat.S_IFDIR | stat.S_IMODE(mode), 0, caller, None)

    def symlink(self, parent: int, name: bytes, target: bytes, caller: tuple[int, int] = ROOT) -> Inode:
        """A symbolic link."""
        if not target:
            raise NoEntry("an empty target")
        if len(target) > TARGET_BYTES:
            raise NameTooLong(_shown(target))
        return self._create(parent, name, stat.S_IFLNK | 0o777, 0, caller, target)

    def _create(
        self, parent: int, name: bytes, mode: int, rdev: int, caller: tuple[int, int], target: bytes | None
    ) -> Inode:
        directory = self._place_for(parent, name)
        if self._entry(directory, name) is not None:
            raise Exists(_shown(name))
        self.need_room(RECORD_BYTES)
        uid, gid = caller
        is_directory = mode & 0o170000 == 0o040000
        if directory.mode & stat.S_ISGID:
            gid = directory.gid
            if is_directory:
                mode |= stat.S_ISGID
        ino = self.new_ino(parent)
        nlink = directory.nlink
        up, links = (nlink + 1, 2) if is_directory else (nlink, 1)
        cookie, now = directory.cookie, now_ns()
        self.record(Create(parent, name, cookie, ino, mode, uid, gid, rdev, now, up, links, target))
        return self.table.get(ino)

    def link(self, ino: int, parent: int, name: bytes) -> Inode:
        """One more name for anything but a directory."""
        directory = self._place_for(parent, name)
        inode = self.table.get(ino)
        _same_tree(ino, parent)
        if inode.is_directory:
            raise NotPermitted("hard links to directories are not allowed")
        if not inode.nlink:
            raise NoEntry("the file was unlinked")
        if inode.nlink >= LINKS:
            raise TooManyLinks(f"inode {ino}")
        if self._entry(directory, name) is not None:
            raise Exists(_shown(name))
        self.need_room(RECORD_BYTES)
        self.table.tracker.before_logging(inode)
        self.record(Link(ino, parent, name, directory.cookie, inode.nlink + 1, now_ns()))
        return inode

    # --- removing ---------------------------------------------------------------------------

    def unlink(self, parent: int, name: bytes) -> None:
        """Remove a name of anything but a directory."""
        if self.read_only or parent > LOCAL_MASK or self.log.failed is not None:
            self.writable(parent)
        directory = self._directory(parent)
        inode, _ = self._existing(directory, name)
        if inode.mode & 0o170000 == 0o040000:
            raise IsADirectory(_shown(name))
        self.table.tracker.before_logging(inode)
        self.record(Unlink(parent, name, inode.ino, inode.nlink - 1, directory.nlink, now_ns()))

    def rmdir(self, parent: int, name: bytes) -> None:
        """Remove an empty directory."""
        self.writable(parent)
        directory = self._directory(parent)
        if name == b".":
            raise InvalidArgument("a directory cannot be removed through itself")
        if name == b"..":
            raise NotEmpty("a directory cannot be removed from below")
        inode, _ = self._existing(directory, name)
        if not inode.is_directory:
            raise NotADirectory(_shown(name))
        if inode.size:
            raise NotEmpty(_shown(name))
        self.record(Unlink(parent, name, inode.ino, 0, directory.nlink - 1, now_ns()))

    # --- renaming ---------------------------------------------------------------------------

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int = 0) -> None:
        """rename(2) and renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE; other flags are refused."""
        if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
            raise InvalidArgument(f"rename flags {flags:#x}")
        target_directory = self._place_for(new_parent, new_name)
        if parent == new_parent:
            directory = target_directory
        else:
            self.writable(parent)
            _same_tree(parent, new_parent)
            directory = self._directory(parent)
        inode, _ = self._existing(directory, name)
        replaced = self._entry(target_directory, new_name)
        if flags == RENAME_NOREPLACE and replaced is not None:
            raise Exists(_shown(new_name))
        if flags == RENAME_EXCHANGE:
            self._exchange(directory, name, inode, target_directory, new_name)
        elif replaced is None:
            if parent != new_parent:
                self._refuse_loop(inode, target_directory)
            self._rename(directory, name, inode, target_directory, new_name, None)
        elif replaced[0] != inode.ino:  # two names of one inode: POSIX wants nothing to be done
            other = self.named(target_directory, replaced)
            self._refuse_loop(inode, target_directory)
            _check_replaceable(inode, other, new_name)
            self._rename(directory, name, inode, target_directory, new_name, other)

    def _rename(
        self,
        directory: Inode,
        name: bytes,
        inode: Inode,
        new_directory: Inode,
        new_name: bytes,
        replaced: Inode | None,
    ) -> None:
        moved = 1 if inode.is_directory else 0
        lost = 1 if replaced is not None and replaced.is_directory else 0
        if directory.ino == new_directory.ino:
            nlink = new_nlink = directory.nlink - lost
        else:
            nlink = directory.nlink - moved
            new_nlink = new_directory.nlink + moved - lost
        gone = gone_nlink = 0
        self.table.tracker.before_logging(inode)
        if replaced is not None:
            gone, gone_nlink = replaced.ino, 0 if lost else replaced.nlink - 1
            self.table.tracker.before_logging(replaced)
        old, new, cookie, now = directory.ino, new_directory.ino, new_directory.cookie, now_ns()
        self.record(
            Rename(old, name, new, new_name, inode.ino, cookie, nlink, new_nlink, gone, gone_nlink, now)
        )

    def _exchange(
        self, directory: Inode, name: bytes, inode: Inode, other_directory: Inode, other_name: bytes
    ) -> None:
        other, _ = self._existing(other_directory, other_name)
        if other.ino == inode.ino:
            return
        self._refuse_loop(inode, other_directory)
        self._refuse_loop(other, directory)
        difference = int(other.is_directory) - int(inode.is_directory)
        same = directory.ino == other_directory.ino
        self.table.tracker.before_logging(inode)
        self.table.tracker.before_logging(other)
        self.record(
            Exchange(
                directory.ino,
                name,
                inode.ino,
                directory.cookie,
                directory.nlink if same else directory.nlink + difference,
                other_directory.ino,
                other_name,
                other.ino,
                other_directory.cookie + 1 if same else other_directory.cookie,
                other_directory.nlink if same else other_directory.nlink - difference,
                now_ns(),
            )
        )

    def _refuse_loop(self, inode: Inode, directory: Inode) -> None:
        """A directory must not end up below itself."""
        if not inode.is_directory:
            return
        at = directory
        passed = {at.ino}
        while True:
            if at.ino == inode.ino:
                raise InvalidArgument("a directory cannot move into itself")
            if at.parent == at.ino:
                return
            at = self._above(at)
            if at.ino in passed:
                raise IndexDamaged(f"directory {at.ino} lies inside of itself")
            passed.add(at.ino)

    def _above(self, directory: Inode) -> Inode:
        try:
            inode = self.table.get(directory.parent)
        except NoEntry:
            raise IndexDamaged(f"directory {directory.ino} lies in none that exists") from None
        if not inode.is_directory:
            raise IndexDamaged(f"directory {directory.ino} lies in inode {inode.ino}, which is none")
        return inode


def _same_tree(number: int, other: int) -> None:
    if tree_of(number) != tree_of(other):
        raise CrossTree("from one tree into another: copy it")


def _check_replaceable(inode: Inode, other: Inode, name: bytes) -> None:
    if inode.is_directory:
        if not other.is_directory:
            raise NotADirectory(_shown(name))
        if other.size:
            raise NotEmpty(_shown(name))
    elif other.is_directory:
        raise IsADirectory(_shown(name))


def _shown(name: bytes) -> str:
    return repr(name.decode(errors="backslashreplace"))[1:-1]
