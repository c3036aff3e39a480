"""A folder of the host as the place a tree goes to.

Promises to stay inside it: every entry is made by its name in a folder that we hold open, and no symbolic
link is followed. A file of the same name is replaced at once, by a whole file; holes stay holes. What
cannot be made is a problem in the report. Never syncs anything.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from vfs.errors import NoSpace, StoreError
from vfs.trees.items import (
    OWNERS,
    XATTRS,
    Buffer,
    FileEnd,
    Hole,
    Item,
    Node,
    Problem,
    Skipped,
    parent_of,
)
from vfs.trees.report import Report

MOST_DEEP = 500
FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class OpenFolder:
    """A folder that entries are being made in; it gets its attributes when it is left."""

    def __init__(self, path: bytes, descriptor: int, node: Node | None) -> None:
        self.path = path
        self.descriptor = descriptor
        self.node = node


class OpenFile:
    """The file that is being written, under a name of its own when there was one of its name."""

    def __init__(self, node: Node, folder: int, name: bytes, temporary: bytes, descriptor: int) -> None:
        self.node = node
        self.folder = folder
        self.name = name
        self.temporary = temporary
        self.descriptor = descriptor
        self.at = 0


class FolderTarget:
    """One export into a folder, which is made if its own folder is there."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._report = report
        try:
            try:
                os.mkdir(folder)
            except FileExistsError:
                if not folder.is_dir():
                    raise StoreError(f"{folder} is there and is no folder; give another DEST") from None
            descriptor = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise StoreError(f"cannot write to {folder}: {error.strerror}") from error
        self._folders = [OpenFolder(b"", descriptor, None)]
        self._file: OpenFile | None = None
        self._refused: bytes | None = None  # a folder that could not be made
        self._is_root = os.geteuid() == 0

    # --- the target -----------------------------------------------------------------------------

    def take(self, item: Item) -> None:
        """The next item."""
        if isinstance(item, bytes | memoryview):
            self._write(item)
        elif isinstance(item, Hole):
            if self._file is not None:
                self._file.at += item.length
        elif isinstance(item, FileEnd):
            self._end_file(item)
        elif isinstance(item, Node):
            self._begin(item)

    def stop(self) -> None:
        """Nothing here waits for anybody."""

    def finish(self) -> None:
        """All is there: the folders get their attributes."""
        while len(self._folders) > 1:
            self._leave()
        top = self._folders[0]
        if top.node is not None:
            self._try(b"", lambda: self._dress(top.descriptor, top.node))

    def close(self) -> None:
        """Let go; a file that is not whole goes."""
        self._drop_file()
        for folder in self._folders:
            os.close(folder.descriptor)
        self._folders = []

    # --- entries --------------------------------------------------------------------------------

    def _begin(self, node: Node) -> None:
        if self._refused is not None:
            if node.path.startswith(self._refused + b"/"):
                return
            self._refused = None
        if not node.path:
            self._folders[0].node = node
            self._report.figures.directories += 1
            return
        above = parent_of(node.path)
        while self._folders[-1].path != above:
            self._leave()
        try:
            name = node.path.rpartition(b"/")[2]
            if name in (b"", b".", b".."):  # a store has no such names; here it would lead out of the folder
                raise OSError(errno.EINVAL, "not a name")
            self._make(node, self._folders[-1].descriptor, name)
        except OSError as error:
            self._failed(node.path, error)
            if stat.S_ISDIR(node.mode):
                self._refused = node.path

    def _make(self, node: Node, folder: int, name: bytes) -> None:
        figures = self._report.figures
        if stat.S_ISDIR(node.mode):
            self._enter(node, folder, name)
            figures.directories += 1
        elif node.link_to is not None:
            self._clear(folder, name)
            source = b"/proc/self/fd/%d/%s" % (self._folders[0].descriptor, node.link_to)
            os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
            figures.links += 1
        elif stat.S_ISREG(node.mode):
            self._open(node, folder, name)
        else:
            self._clear(folder, name)
            if node.target is not None:
                os.symlink(node.target, name, dir_fd=folder)
                figures.symlinks += 1
            else:
                os.mknod(name, stat.S_IFMT(node.mode) | 0o600, node.rdev, dir_fd=folder)
                figures.specials += 1
            self._dress_unopened(folder, name, node)

    def _enter(self, node: Node, folder: int, name: bytes) -> None:
        if len(self._folders) > MOST_DEEP:
            raise OSError(errno.ENAMETOOLONG, f"more than {MOST_DEEP} folders deep")
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise OSError(errno.ENOTDIR, "something that is no folder has that name") from None
        self._folders.append(OpenFolder(node.path, os.open(name, _FOLDER, dir_fd=folder), node))

    def _leave(self) -> None:
        folder = self._folders.pop()
        try:
            self._try(folder.path, lambda: self._dress(folder.descriptor, folder.node))
        finally:
            os.close(folder.descriptor)

    def _clear(self, folder: int, name: bytes) -> None:
        """Make room for an entry that is no folder."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, "a folder has that name")
        os.unlink(name, dir_fd=folder)

    # --- files ----------------------------------------------------------------------------------

    def _open(self, node: Node, folder: int, name: bytes) -> None:
        temporary = name
        try:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise OSError(errno.EISDIR, "a folder has that name") from None
            temporary = b".vfs-export-%d" % os.getpid()
            self._clear(folder, temporary)
            descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
        self._file = OpenFile(node, folder, name, temporary, descriptor)

    def _write(self, data: Buffer) -> None:
        file = self._file
        if file is None:
            return
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(file.descriptor, data[done:] if done else data, file.at + done)
        except OSError as error:
            self._drop_file()
            self._failed(file.node.path, error)
        file.at += len(data)

    def _end_file(self, end: FileEnd) -> None:
        file = self._file
        if file is None:
            return
        if end.problem:
            self._drop_file()
            self._report.problem(Problem(file.node.path, end.problem))
            return
        try:
            if not file.node.size or os.fstat(file.descriptor).st_size != file.node.size:
                os.ftruncate(file.descriptor, file.node.size)
            self._dress(file.descriptor, file.node)
            if file.temporary != file.name:
                os.rename(file.temporary, file.name, src_dir_fd=file.folder, dst_dir_fd=file.folder)
        except OSError as error:
            self._drop_file()
            self._failed(file.node.path, error)
            return
        os.close(file.descriptor)
        self._file = None
        self._report.figures.files += 1

    def _drop_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file.descriptor)
            os.unlink(file.temporary, dir_fd=file.folder)

    # --- attributes -----------------------------------------------------------------------------

    def _dress(self, descriptor: int, node: Node | None) -> None:
        """Owner, extended attributes, mode, times: each undoes part of those before."""
        assert node is not None, "what is dressed came as a node"
        mode = stat.S_IMODE(node.mode)
        if not self._own(node, lambda: os.fchown(descriptor, node.uid, node.gid)):
            mode &= 0o1777
        self._put_xattrs(node, descriptor)
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=_times(node))

    def _dress_unopened(self, folder: int, name: bytes, node: Node) -> None:
        """The same for what cannot be opened."""
        mode = stat.S_IMODE(node.mode)
        chown = lambda: os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False)  # noqa: E731
        if not self._own(node, chown):
            mode &= 0o1777
        self._put_xattrs(node, b"/proc/self/fd/%d/%s" % (folder, name))
        if node.target is None:
            os.chmod(name, mode, dir_fd=folder)
        os.utime(name, ns=_times(node), dir_fd=folder, follow_symlinks=False)

    def _own(self, node: Node, chown: Callable[[], None]) -> bool:
        if not self._is_root and (node.uid, node.gid) == (os.geteuid(), os.getegid()):
            return True
        try:
            chown()
        except PermissionError:
            self._report.skip(Skipped(node.path, OWNERS))
            return False
        return True

    def _put_xattrs(self, node: Node, handle: int | bytes) -> None:
        for name, value in node.xattrs.items():
            try:
                os.setxattr(handle, name, value, follow_symlinks=isinstance(handle, int))
            except OSError as error:
                if error.errno in FATAL:
                    raise
                self._report.skip(Skipped(node.path, XATTRS))

    # --- failures -------------------------------------------------------------------------------

    def _try(self, path: bytes, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._failed(path, error)

    def _failed(self, path: bytes, error: OSError) -> None:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no room where the tree is exported to: {reason}") from error
        if error.errno in FATAL:
            raise StoreError(f"cannot write where the tree is exported to: {reason}") from error
        self._report.problem(Problem(path, reason))


def _times(node: Node) -> tuple[int, int]:
    return (node.mtime_ns if node.atime_ns is None else node.atime_ns, node.mtime_ns)
