"""A tar archive as a stream of items: ustar, GNU and PAX, sparse files of all their kinds.

Promises that no name leads out of the tree: a leading `/` goes, and a name with `..` in it is a `Problem`.
A bad archive is one `BadArchive`. Never extracts anything, and never trusts a size to be there before it
was read.
"""

import contextlib
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from vfs.limits import FILE_BYTES, MIB
from vfs.trees.items import XATTRS, FileEnd, Hole, Item, Node, Problem, Skipped
from vfs.trees.tar_stream import BLOCK, BadArchive, ForwardStream, open_decoded

READ_BYTES = MIB
MOST_PARTS = 2000
"""No honest path has more."""

XATTR_KEY = "SCHILY.xattr."

KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.GNUTYPE_SPARSE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFREG,
}
_TIMES = 2**63 - 1
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{0,30})?", re.ASCII)


class TarSource:
    """The members of an archive. Iterate once."""

    in_order = False

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self._raw = raw
        self._name = name
        with contextlib.suppress(OSError):
            self.total_bytes = os.fstat(raw.fileno()).st_size
        self._read_bytes = 0

    total_bytes = 0

    @property
    def done_bytes(self) -> int:
        """How far it was read: in the file where that has a size, else in what it holds."""
        if self.total_bytes:
            with contextlib.suppress(OSError, ValueError):
                return self._raw.tell()
        return self._read_bytes

    def __iter__(self) -> Iterator[Item]:
        with self._raw:
            stream = ForwardStream(open_decoded(self._raw), self._name)
            archive = self._open(stream)
            while (info := self._next(archive, stream)) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                yield from self._member(stream, info)
                self._read_bytes = stream.tell()
            if stream.last_block.strip(b"\0"):
                raise BadArchive(self._name, "no tar archive from here on")
            if len(stream.last_block) != BLOCK:
                raise BadArchive(self._name, "cut short: it ends without its end mark")
            while stream.read_some(READ_BYTES):
                pass  # padding; and at the end of what is compressed stands its checksum

    def _open(self, stream: ForwardStream) -> tarfile.TarFile:
        try:
            return tarfile.TarFile(
                fileobj=cast(Any, stream), mode="r", encoding="utf-8", errors="surrogateescape"
            )
        except (tarfile.TarError, ValueError, UnicodeError) as error:
            what = "empty" if not stream.tell() else "neither a folder nor a tar archive"
            raise BadArchive(self._name, what) from error

    def _next(self, archive: tarfile.TarFile, stream: ForwardStream) -> tarfile.TarInfo | None:
        stream.begin_header()
        try:
            return archive.next()
        except (tarfile.TarError, ValueError, UnicodeError, IndexError, OverflowError, TypeError) as error:
            at = f"{archive.offset:,}"
            raise BadArchive(self._name, f"damaged or cut short at byte {at} ({error})") from error

    # --- one member -------------------------------------------------------------------------

    def _member(self, stream: ForwardStream, info: tarfile.TarInfo) -> Iterator[Item]:
        path = inner_path(_encoded(info.name))
        kind = KINDS.get(info.type)
        if path is None:
            yield Problem(_encoded(info.name), "its name leads out of the tree, or too deep into it")
            return
        if kind is None:
            yield Problem(path, f"unknown kind of member {info.type!r}")
            return
        if not path and kind != stat.S_IFDIR:
            yield Problem(_encoded(info.name), "a member without a name")
            return
        link_to = None
        if info.type == tarfile.LNKTYPE:
            link_to = inner_path(_encoded(info.linkname))
            if not link_to:
                yield Problem(path, "a hard link that leads out of the tree")
                return
        if not 0 <= info.size <= FILE_BYTES:
            yield Problem(path, f"a size of {info.size:,} bytes is out of bounds")
            return
        node = self._node(path, kind, link_to, info)
        yield node
        if any(key.startswith("SCHILY.acl.") for key in info.pax_headers):
            yield Skipped(path, XATTRS)
        if node.has_content:
            yield from self._content(stream, info)

    def _node(self, path: bytes, kind: int, link_to: bytes | None, info: tarfile.TarInfo) -> Node:
        extra = info.pax_headers
        is_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        return Node(
            path,
            kind | stat.S_IMODE(info.mode),
            _owner(info.uid),
            _owner(info.gid),
            _time_ns(extra.get("mtime"), info.mtime),
            _time_ns(extra["atime"], 0) if "atime" in extra else None,
            info.size if kind == stat.S_IFREG and link_to is None else 0,
            os.makedev(info.devmajor & 0xFFFFF, info.devminor & 0xFFFFF) if is_device else 0,
            _encoded(info.linkname) if kind == stat.S_IFLNK else None,
            link_to,
            {_xattr_name(key): _encoded(value) for key, value in extra.items() if key.startswith(XATTR_KEY)},
        )

    def _content(self, stream: ForwardStream, info: tarfile.TarInfo) -> Iterator[Item]:
        stream.seek(info.offset_data)
        at = 0
        for start, length in self._spans(info):
            if start > at:
                yield Hole(start - at)
            at = start + length
            while length:
                data = stream.read_some(min(length, READ_BYTES))
                if not data:
                    raise BadArchive(self._name, f"cut short inside {info.name!r}")
                length -= len(data)
                self._read_bytes = stream.tell()
                yield data
        if at < info.size:
            yield Hole(info.size - at)
        yield FileEnd()

    def _spans(self, info: tarfile.TarInfo) -> list[tuple[int, int]]:
        """(offset, length) of the data of a file, in order."""
        if info.sparse is None:
            return [(0, info.size)]
        at = 0
        spans = []
        for start, length in cast("list[tuple[int, int]]", info.sparse):
            if not length:
                continue  # the old format fills up with them
            if length < 0 or start < at or start + length > info.size:
                raise BadArchive(self._name, f"the map of the sparse file {info.name!r} makes no sense")
            at = start + length
            spans.append((start, length))
        return spans


def open_tar(path: Path) -> TarSource:
    """The archive in a file of the host."""
    return TarSource(open(path, "rb", buffering=0), str(path))


def inner_path(name: bytes) -> bytes | None:
    """The name of a member as a path inside the tree, None when it leads out of it."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    return None if b".." in parts or len(parts) > MOST_PARTS else b"/".join(parts)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _xattr_name(key: str) -> bytes:
    # GNU tar writes `=`, which ends a key, and its own escape sign in this way.
    return _encoded(key.removeprefix(XATTR_KEY).replace("%3D", "=").replace("%25", "%"))


def _owner(number: int) -> int:
    return number if 0 <= number < 2**32 - 1 else 65534


def _time_ns(text: str | None, otherwise: float) -> int:
    """Nanoseconds of a PAX time, which are lost when it becomes a float."""
    if text is not None and _DECIMAL.fullmatch(text):
        return max(-_TIMES, min(_TIMES, int(Decimal(text).scaleb(9))))
    return max(-_TIMES, min(_TIMES, int(otherwise) * 10**9))
