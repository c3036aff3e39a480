"""Headers of tar archives as POSIX.1-2001 (PAX) has them, with GNU's sparse files 1.0 and SCHILY's xattrs.

Promises that names are the very bytes they are, and times whole nanoseconds. Pure arithmetic on bytes.
"""

import os
import stat

from vfs.trees.items import Node

BLOCK = 512
RECORD = 20 * BLOCK

_SMALL_SIZE = 1 << 33
_SMALL_NUMBER = 1 << 21
_NAME_BYTES = 100

_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


def padding(length: int) -> bytes:
    """Zeros up to the next block."""
    return bytes(-length % BLOCK)


def end_mark(length: int) -> bytes:
    """What ends an archive of that length: two blocks of zeros, and more up to a whole record."""
    return bytes(2 * BLOCK) + bytes(-(length + 2 * BLOCK) % RECORD)


def sparse_map(spans: tuple[tuple[int, int], ...], size: int) -> bytes:
    """The map that stands before the data of a sparse file: its length is whole blocks."""
    entries = [*spans, (size, 0)] if not spans or sum(spans[-1]) < size else list(spans)
    lines = [len(entries)] + [number for entry in entries for number in entry]
    text = b"".join(b"%d\n" % number for number in lines)
    return text + padding(len(text))


def headers(node: Node, stored: int, *, sparse: bool) -> bytes:
    """The blocks before the content of a member, of which `stored` bytes follow."""
    name = (node.path or b".") + (b"/" if stat.S_ISDIR(node.mode) else b"")
    link = node.link_to if node.link_to is not None else node.target or b""
    kind = b"1" if node.link_to is not None else _TYPES[stat.S_IFMT(node.mode)]
    records: list[tuple[bytes, bytes]] = []
    if sparse:
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % node.size),
        ]
        above, slash, last = name.rpartition(b"/")
        name = above + slash + b"GNUSparseFile.0/" + last
    if len(name) > _NAME_BYTES or not name.isascii():
        records.append((b"path", name))
    if len(link) > _NAME_BYTES or not link.isascii():
        records.append((b"linkpath", link))
    if node.link_to is None:
        records += _numbers(node, stored)
        records += [
            (b"SCHILY.xattr." + key.replace(b"%", b"%25").replace(b"=", b"%3D"), value)
            for key, value in sorted(node.xattrs.items())
        ]
    extended = b"".join(_record(key, value) for key, value in records)
    block = _block(name, node, stored, kind, link)
    if not extended:
        return block
    plain = Node(b"", stat.S_IFREG | 0o644)
    before = _block(b"././@PaxHeader", plain, len(extended), b"x", b"")
    return before + extended + padding(len(extended)) + block


def _numbers(node: Node, stored: int) -> list[tuple[bytes, bytes]]:
    """What the fields of the old header cannot say."""
    records = []
    if stored >= _SMALL_SIZE:
        records.append((b"size", b"%d" % stored))
    if node.uid >= _SMALL_NUMBER:
        records.append((b"uid", b"%d" % node.uid))
    if node.gid >= _SMALL_NUMBER:
        records.append((b"gid", b"%d" % node.gid))
    seconds, rest = divmod(node.mtime_ns, 10**9)
    if rest or not 0 <= seconds < _SMALL_SIZE:
        records.append((b"mtime", _time(node.mtime_ns)))
    if node.atime_ns is not None:
        records.append((b"atime", _time(node.atime_ns)))
    return records


def _time(time_ns: int) -> bytes:
    seconds, rest = divmod(abs(time_ns), 10**9)
    text = b"%d.%09d" % (seconds, rest) if rest else b"%d" % seconds
    return b"-" + text if time_ns < 0 else text


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _block(name: bytes, node: Node, size: int, kind: bytes, link: bytes) -> bytes:
    seconds = node.mtime_ns // 10**9
    is_device = stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode)
    fields = b"".join(
        (
            name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            _octal(stat.S_IMODE(node.mode), 8),
            _octal(node.uid if node.uid < _SMALL_NUMBER else 0, 8),
            _octal(node.gid if node.gid < _SMALL_NUMBER else 0, 8),
            _octal(size if size < _SMALL_SIZE else 0, 12),
            _octal(seconds if 0 <= seconds < _SMALL_SIZE else 0, 12),
            b" " * 8,
            kind,
            link[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"ustar\x0000",
            bytes(64),
            _octal(os.major(node.rdev) if is_device else 0, 8),
            _octal(os.minor(node.rdev) if is_device else 0, 8),
            bytes(155 + 12),
        )
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)
