"""What a tree is made of on its way in or out: a stream of items, the same for folders and archives.

Promises nothing by itself: these are only tuples. A stream is a sequence of `Node`s, a folder before what
is in it; behind the node of a file with content stand its pieces, in order (bytes, or `Hole`), then one
`FileEnd`. What a source cannot or must not hand over is a `Problem` or a `Skipped` in the stream.
"""

import stat
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from vfs.errors import StoreError

Buffer = bytes | memoryview

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})


class Node(NamedTuple):
    """One entry with all that is known of it. `path` is relative, parts joined by `/`; empty for the top.

    `link_to` is the path of an earlier node that this one is a further name of; then the rest does not count.
    `spans` are the offsets and lengths of the data of a file with holes, None where that is not known.
    """

    path: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    atime_ns: int | None = None
    size: int = 0
    rdev: int = 0
    target: bytes | None = None
    link_to: bytes | None = None
    xattrs: Mapping[bytes, bytes] = NO_XATTRS
    spans: tuple[tuple[int, int], ...] | None = None

    @property
    def has_content(self) -> bool:
        """True when pieces and a `FileEnd` follow."""
        return stat.S_ISREG(self.mode) and self.link_to is None


class Hole(NamedTuple):
    """A run of zeros that takes no room."""

    length: int


class FileEnd(NamedTuple):
    """The content of a file ends; with a problem it is not whole, and must not come to be."""

    problem: str = ""


class Problem(NamedTuple):
    """An entry that did not get through, or not as a whole, and why."""

    path: bytes
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


class Skipped(NamedTuple):
    """An entry that is left out on purpose."""

    path: bytes
    what: str


Item = Node | bytes | memoryview | Hole | FileEnd | Problem | Skipped


class SourceError(StoreError):
    """A source cannot go on; what it gave before is fine."""


SOCKETS = "sockets"
XATTRS = "extended attributes"
OWN_STORE = "folders of the store itself"
OWNERS = "owners"
"""What is left out: `Skipped.what`."""


def shown(path: bytes) -> str:
    """A path for people."""
    return path.decode("utf-8", "backslashreplace") or "."


def parent_of(path: bytes) -> bytes:
    """The path of the folder that an entry lies in; empty for the top."""
    return path.rpartition(b"/")[0]
