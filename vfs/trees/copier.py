"""The owner's part of a copy inside the store: a file, or a folder with all that is in it, at another place.

Promises that the copy gets its name in one moment and when it is whole, that each file in it is as it was at
one moment, and that no content is moved. What cannot get its name in one record is built beside it, as
`.vfs-copy-N`, which `undo` takes away again; a crash leaves it there. Writes nothing to the source.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from vfs.errors import NoEntry, Stale, VfsError
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import MIB
from vfs.namespace import RENAME_EXCHANGE, RENAME_NOREPLACE
from vfs.planting import Look
from vfs.printing import printable
from vfs.trees.planter import Changed
from vfs.trees.remover import remove, tell_links
from vfs.trees.report import Counts

log = logging.getLogger("vfs")

ROWS = 64
SLICE_EXTENTS = 2000
SLICE_ENTRIES = 50
"""Copied between two looks at what clients want: some milliseconds."""

ATTEMPTS = 3
"""A large file that changes while it is copied is begun anew; the last time nobody is let in."""


@dataclass
class Copied(Counts):
    """What was copied."""

    def __add__(self, other: "Copied") -> "Copied":
        mine, more = self.fields(), other.fields()
        return Copied(**{name: mine[name] + more[name] for name in mine})

    def text(self) -> str:
        """The most of it in a few words."""
        return f"{self.files:,} files, {self.bytes / MIB:,.1f} MiB"

    def fields(self) -> dict[str, int]:
        """What --json shows."""
        return asdict(self)


class _Folder:
    """A folder that is being copied: the two inodes, and how far it has come."""

    def __init__(self, source: int, made: int, look: Look) -> None:
        self.source = source
        self.made = made
        self.look = look
        self.cookie = 2  # of the last entry that was copied; from there on no access is noted


class Copier:
    """Copies inode `source` to `name` in `parent`. Belongs to the owner of the file system.

    `steps`, and after an error or an interruption `undo`. The caller lets nobody pack or take a checkpoint
    but where they stop.
    """

    def __init__(self, fs: FileSystem, source: int, parent: int, name: bytes, *, replace: bool) -> None:
        # dependencies
        self._fs = fs
        # constant
        self._source = source
        self._parent = parent
        self._name = name
        self._replace = replace
        self._since = monotonic()
        # mutable
        self._links: dict[int, int] = {}  # inode with further names -> its copy
        self._unnamed: int | None = None  # the file that is being built
        self._hidden = b""
        self._beside: int | None = None  # what stands under the hidden name: the copy, later what it replaced
        self._work = 0  # in extents, since clients were let in
        self.copied = Copied()
        self.changed: list[Changed] = []
        """Names and folders that the kernel may know; the caller takes them away."""

    def steps(self) -> Iterator[None]:
        """Do it; stops now and then, for the caller to let others in.

        Exists, unless `replace`: then what has the name, a whole folder too, is replaced in one moment and
        removed after it. InvalidArgument for a folder into itself, Stale when the source is of a snapshot
        that is deleted meanwhile, NoSpace, IndexDamaged.
        """
        fs = self._fs
        top = fs.get(self._source)
        old = self._place()
        if fs.is_planted_at_once(top, old):
            if not self._at_once(top, self._parent, self._name):
                yield from self._large(top, self._parent, self._name)
            self._tell(self._parent, self._name)
            tell_links(old, self.changed)
        else:
            yield from self._build(top)
            yield from self._put_in_place()

    def undo(self) -> Iterator[None]:
        """Take away what is not whole, and what the copy has replaced."""
        if self._fs.failed is not None:
            return
        try:
            self._let_go()
            yield from self._clear()
        except VfsError as error:
            log.warning("%s is left behind by a copy: %s", printable(self._hidden), error)

    def text(self) -> str:
        """How far it is, in a few words."""
        return self.copied.text()

    def fields(self) -> dict[str, Any]:
        """What --json shows."""
        return {**self.copied.fields(), "seconds": round(monotonic() - self._since, 3)}

    # --- its place ------------------------------------------------------------------------------

    def _place(self) -> Inode | None:
        return self._fs.place_for_copy(self._source, self._parent, self._name, replace=self._replace)

    def _build(self, top: Inode) -> Iterator[None]:
        """Make the copy beside its place."""
        self._hidden = self._fs.hidden_name(self._parent)
        if top.is_directory:
            yield from self._inside(self._folder(top, self._parent, self._hidden))
            return
        if not self._at_once(top, self._parent, self._hidden):
            yield from self._large(top, self._parent, self._hidden)
        self._beside = self._fs.lookup(self._parent, self._hidden).ino
        self._tell(self._parent, self._hidden)

    def _put_in_place(self) -> Iterator[None]:
        """What stands beside its place gets there, in one moment; what it replaces goes."""
        fs = self._fs
        made = fs.find(self._parent, self._hidden)
        if made is None or made.ino != self._beside:
            raise NoEntry("the copy was moved away before it was whole")
        old = self._place()
        flags = RENAME_NOREPLACE if old is None else RENAME_EXCHANGE
        fs.rename(self._parent, self._hidden, self._parent, self._name, flags)
        self._beside = None if old is None else old.ino
        self._tell(self._parent, self._hidden)
        self._tell(self._parent, self._name)
        yield from self._clear()

    def _clear(self) -> Iterator[None]:
        """Remove what stands beside our place."""
        if self._beside is not None:
            yield from remove(self._fs, self._parent, self._hidden, self._beside, self.changed)
            self._tell(self._parent, self._hidden)
            self._beside = None

    def _tell(self, folder: int, name: bytes) -> None:
        if folder == self._parent or self._fs.get(folder).lookups:
            self.changed.append(Changed(folder, name))

    # --- folders --------------------------------------------------------------------------------

    def _folder(self, inode: Inode, parent: int, name: bytes) -> _Folder:
        fs = self._fs
        look = fs.look_of(inode)
        made = fs.plant_directory(parent, name, look)
        if self._beside is None:
            self._beside = made.ino
        self._tell(parent, name)
        self.copied.directories += 1
        return _Folder(inode.ino, made.ino, look)

    def _inside(self, top: _Folder) -> Iterator[None]:
        """All that is in a folder; each gets its attributes when all that is in it is there."""
        fs = self._fs
        folders = [top]
        while folders:
            folder = folders[-1]
            rows = self._rows(folder)
            if not rows:
                fs.dress(folder.made, folder.look)
                folders.pop()
            for name, ino, cookie, kind in rows:
                inode = fs.named(fs.get(folder.source), (ino, cookie, kind))
                earlier = fs.find(folder.made, name)
                if earlier is not None and (earlier.is_directory or inode.is_directory):
                    # The name was copied, and leads to something else by now.
                    yield from remove(fs, folder.made, name, earlier.ino, self.changed)
                    break
                folder.cookie = cookie
                if ino == self._beside:
                    continue  # our own copy was moved to where we would come to it
                if inode.is_directory:
                    folders.append(self._folder(inode, folder.made, name))
                    break
                if not self._at_once(inode, folder.made, name):
                    yield from self._large(inode, folder.made, name)
                    break  # others were let in, and may have changed what is listed
                self._tell(folder.made, name)
                if self._work >= SLICE_EXTENTS:
                    break
            self._work += SLICE_EXTENTS // SLICE_ENTRIES
            if self._work >= SLICE_EXTENTS:
                self._work = 0
                yield

    def _rows(self, folder: _Folder) -> list[tuple[bytes, int, int, int]]:
        try:
            return self._fs.readdir(folder.source, folder.cookie, ROWS)
        except NoEntry as error:
            if folder.source == self._source:
                raise type(error)("what was to be copied was removed meanwhile") from None
            return []  # somebody has removed it, and so it is empty

    # --- all else -------------------------------------------------------------------------------

    def _at_once(self, inode: Inode, parent: int, name: bytes) -> bool:
        """Copy anything but a folder; False, and nothing is done, when it is a file too large for that."""
        fs = self._fs
        self._work += SLICE_EXTENTS // SLICE_ENTRIES
        if self._linked(inode, parent, name):
            return True
        if not inode.is_file:
            made = fs.plant(parent, name, fs.look_of(inode))
        else:
            shared = fs.share(inode, 0, SLICE_EXTENTS)
            if shared.end < inode.size:
                return False
            self._work += len(shared.extents)
            made = fs.plant(parent, name, fs.look_of(inode), shared.extents)
        self._count(inode, made)
        return True

    def _linked(self, inode: Inode, parent: int, name: bytes) -> bool:
        """Give the copy of this very inode one more name, if there is one."""
        known = self._links.get(inode.ino)
        if known is None:
            return False
        try:
            self._fs.plant_link(known, parent, name)
        except NoEntry:
            del self._links[inode.ino]  # somebody has removed it
            return False
        self.copied.links += 1
        return True

    def _large(self, inode: Inode, parent: int, name: bytes) -> Iterator[None]:
        """Copy a file in pieces, which stop now and then; it gets its name when it is whole.

        All pieces are of one moment: when it has changed between them, the copy is begun anew.
        """
        fs = self._fs
        fs.open(inode.ino)  # so that it stays, and is this very object with its version
        try:
            for attempt in range(1, ATTEMPTS + 1):
                version, end = inode.version, 0
                self._unnamed = fs.plant_unnamed(parent, fs.look_of(inode))
                while end < inode.size and inode.version == version:
                    if fs.get(inode.ino) is not inode:
                        raise Stale("what was to be copied is another state of it by now")
                    shared = fs.share(inode, end, SLICE_EXTENTS)
                    fs.extend_unnamed(self._unnamed, shared.extents)
                    end = shared.end
                    if attempt < ATTEMPTS:
                        yield
                if inode.version == version:
                    if parent == self._parent and name == self._name:
                        self._place()
                    made = fs.name_unnamed(self._unnamed, parent, name, fs.look_of(inode))
                    self._unnamed = None
                    self._count(inode, made)
                    return
                self._let_go()
        finally:
            with suppress(NoEntry):  # its tree may be gone, or another one by now
                fs.release(inode.ino)

    def _let_go(self) -> None:
        if self._unnamed is not None:
            unnamed, self._unnamed = self._unnamed, None
            with suppress(NoEntry):
                self._fs.release(unnamed)

    def _count(self, inode: Inode, made: Inode) -> None:
        if inode.nlink > 1:
            self._links[inode.ino] = made.ino
        if inode.is_file:
            self.copied.files += 1
            self.copied.bytes += inode.allocated
        elif inode.target is not None:
            self.copied.symlinks += 1
        else:
            self.copied.specials += 1
