"""The two messages of FUSE_INIT, in which kernel and daemon agree on what each does for the other.

Promises that a reply comes back unchanged unless request and reply are in every respect as they should be.
Never sets a bit that the kernel has not offered, nor one by which requests get a shape unknown to libfuse.
"""

import struct
from typing import NamedTuple

# As in include/uapi/linux/fuse.h: fuse_in_header and the start of fuse_init_in, fuse_out_header and the start
# of fuse_init_out.
REQUEST = struct.Struct("=IIQ24x IIII")  # length, operation, number, …; major, minor, read-ahead, flags
REPLY = struct.Struct("=IiQ IIII")  # length, error, number; major, minor, read-ahead, flags
assert (REQUEST.size, REPLY.size) == (56, 32)

INIT = 26
MAJOR = 7

BITS = {
    "async_read": 0,
    "posix_locks": 1,
    "atomic_o_trunc": 3,
    "export_support": 4,
    "big_writes": 5,
    "dont_mask": 6,
    "flock_locks": 10,
    "auto_inval_data": 12,
    "do_readdirplus": 13,
    "readdirplus_auto": 14,
    "async_dio": 15,
    "writeback_cache": 16,
    "no_open_support": 17,
    "parallel_dirops": 18,
    "handle_killpriv": 19,
    "posix_acl": 20,
    "abort_error": 21,
    "max_pages": 22,
    "cache_symlinks": 23,
    "no_opendir_support": 24,
    "explicit_inval_data": 25,
    "handle_killpriv_v2": 28,
    "setxattr_ext": 29,
    "init_ext": 30,
}
"""The bits of the flags by their names, FUSE_ in front left out."""

WANTED = ("parallel_dirops", "cache_symlinks", "handle_killpriv_v2")
UNWANTED = ("auto_inval_data",)


class Agreed(NamedTuple):
    """What kernel and daemon do for each other."""

    protocol: str
    """The version in use, such as 7.31: the older one of the two."""
    on: tuple[str, ...]
    added: tuple[str, ...]
    """Of `on`, what libfuse had not asked for."""


def amended(request: bytes, reply: bytes) -> tuple[bytes, Agreed | None]:
    """The reply to send, and what it agrees on; the given one and None if anything is strange."""
    if len(request) < REQUEST.size or len(reply) < REPLY.size:
        return reply, None
    request_bytes, operation, number, major, minor, _, offered = REQUEST.unpack_from(request)
    reply_bytes, error, of_number, of_major, of_minor, read_ahead, flags = REPLY.unpack_from(reply)
    if (request_bytes, operation, major) != (len(request), INIT, MAJOR):
        return reply, None
    if (reply_bytes, error, of_number, of_major) != (len(reply), 0, number, MAJOR):
        return reply, None
    new = (flags | (_mask(WANTED) & offered)) & ~_mask(UNWANTED)
    head = REPLY.pack(reply_bytes, error, of_number, of_major, of_minor, read_ahead, new)
    agreed = Agreed(f"{MAJOR}.{min(minor, of_minor)}", _names(new & offered), _names(new & ~flags))
    return head + reply[REPLY.size :], agreed


def _mask(names: tuple[str, ...]) -> int:
    return sum(1 << BITS[name] for name in names)


def _names(flags: int) -> tuple[str, ...]:
    return tuple(name for name, bit in BITS.items() if flags >> bit & 1)
