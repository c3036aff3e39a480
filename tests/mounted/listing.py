"""Reading a directory with the system call itself, a small buffer at a time."""

import ctypes
import os
import struct
from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_ENTRY = struct.Struct("<QqHB")


def getdents(descriptor: int, buffer_bytes: int = 2048) -> list[tuple[str, int, int]]:
    """(name, inode number, position after it) of the next entries; none at the end."""
    buffer = ctypes.create_string_buffer(buffer_bytes)
    length = _libc.getdents64(descriptor, buffer, buffer_bytes)
    if length < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return list(_entries(buffer.raw[:length]))


def _entries(data: bytes) -> Iterator[tuple[str, int, int]]:
    at = 0
    while at < len(data):
        ino, position, size, _ = _ENTRY.unpack_from(data, at)
        name = data[at + _ENTRY.size : at + size].partition(b"\0")[0]
        yield os.fsdecode(name), ino, position
        at += size


def read_directory(descriptor: int) -> list[tuple[str, int, int]]:
    """All entries from the descriptor's position on."""
    found = []
    while part := getdents(descriptor):
        found += part
    return found
