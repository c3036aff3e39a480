"""Entries that share the bytes of others: the steps of a copy inside a store.

Promises that no content is moved: a copy points at the very places where the bytes lie already. Writes
nothing to what is copied, not even an access time, but that bytes which merged in memory are put into the
log, where there are any.
"""

import stat
from typing import NamedTuple

from vfs.errors import Exists, InvalidArgument
from vfs.inode.extents import Encodable, Fill, Memory
from vfs.inode.inode import Inode
from vfs.limits import SEGMENT_BYTES
from vfs.planting import TOGETHER_BYTES, Look, Planting

HIDDEN = b".vfs-copy-"
"""What the names begin with under which a copy is built that cannot be there in one record."""


class Shared(NamedTuple):
    """Extents of a file, side by side, and the offset behind them."""

    extents: list[Encodable]
    end: int


class Copying(Planting):
    """Operations for whoever copies inside the store."""

    def look_of(self, inode: Inode) -> Look:
        """All attributes of an inode, for another one to have."""
        return Look(
            inode.mode,
            inode.uid,
            inode.gid,
            inode.mtime_ns,
            inode.atime_ns,
            inode.rdev,
            inode.target,
            dict(self.table.xattrs(inode)),
        )

    def share(self, inode: Inode, offset: int, most: int) -> Shared:
        """Extents of a file from `offset` on, for another file: all, or as soon as there are `most` of them
        those of the 16 MiB that they lie in.

        To be recorded before anything else happens: until then only the source keeps alive what they name.
        So nothing may be packed and no checkpoint taken in between (`autopilot`).
        """
        # As in `clone_range`: a capture under way must have the source, even if that is dropped before its
        # turn comes, since its rows keep the chunks that the copy points to from now on.
        self.table.tracker.before_logging(inode)
        self._settle(inode)
        file = self.table.file(inode)
        extents: list[Encodable] = []
        while offset < inode.size and len(extents) < most:
            start = file.seek_data(offset)
            hole = (inode.size if start is None else start) - offset
            if hole:
                extents.append(Fill(hole, 0))
                offset += hole
            if start is not None:
                length = min(SEGMENT_BYTES - start % SEGMENT_BYTES, inode.size - start)
                extents += map(_placed, file.plan(start, length))
                offset += length
        return Shared(extents, offset)

    def place_for_copy(self, source: int, parent: int, name: bytes, *, replace: bool) -> Inode | None:
        """What has the name that a copy of `source` is to get; None where it is free.

        Exists when something has it that is not to be replaced, InvalidArgument for a folder that would be
        copied into itself, and whatever else keeps an entry from getting that name.
        """
        directory = self._place_for(parent, name)
        try:
            self._refuse_loop(self.table.get(source), directory)
        except InvalidArgument:
            raise InvalidArgument("a folder cannot be copied into itself") from None
        old = self.find(parent, name)
        if old is not None and old.ino == source:
            raise InvalidArgument("a file cannot be copied onto itself")
        if old is not None and not replace:
            raise Exists(f"something else has the name {name.decode(errors='backslashreplace')} by now")
        return old

    def is_planted_at_once(self, inode: Inode, old: Inode | None) -> bool:
        """Whether a copy of the inode can get its name, in place of `old`, by `plant` and in one moment."""
        if inode.is_directory or (old is not None and old.is_directory):
            return False
        held = sum(len(name) + len(value) for name, value in self.table.xattrs(inode).items())
        return stat.S_ISREG(inode.mode) or held < TOGETHER_BYTES // 4

    def hidden_name(self, parent: int) -> bytes:
        """A name that nothing in the directory has, for a copy that is not whole yet."""
        number = self._directory(parent).cookie
        while self.find(parent, name := HIDDEN + b"%d" % number) is not None:
            number += 1
        return name


def _placed(extent: Encodable | Memory) -> Encodable:
    if isinstance(extent, Memory):
        assert extent.origin is not None, "settled before it was shared"
        return extent.origin
    return extent
