"""Replies of the handshake: which bits are put right, and that a strange one is left alone."""

import struct

import pytest

from vfs.mount.init_messages import BITS, INIT, REPLY, REQUEST, UNWANTED, WANTED, amended

OFFERED = 0x73FF_FFFB  # by Linux 6.18
OF_LIBFUSE = 0x4041_B039  # the answer of libfuse 3.14 with the write-back cache
NUMBER = 2
REST = struct.pack("=HHIIHH", 0, 0, 1 << 20, 1, 256, 0) + bytes(32)
NOT_A_BIT = 1 << 27


def request(offered: int = OFFERED, operation: int = INIT, major: int = 7, length: int = 104) -> bytes:
    return REQUEST.pack(length, operation, NUMBER, major, 45, 1 << 17, offered) + bytes(48)


def reply(
    flags: int = OF_LIBFUSE, error: int = 0, number: int = NUMBER, major: int = 7, length: int = 80
) -> bytes:
    return REPLY.pack(length, error, number, major, 31, 1 << 17, flags) + REST


def mask(*names: str) -> int:
    return sum(1 << BITS[name] for name in names)


def flags_of(message: bytes) -> int:
    flags: int = REPLY.unpack_from(message)[-1]
    return flags


def test_only_the_flags_change():
    message, agreed = amended(request(), reply())
    assert flags_of(message) == (OF_LIBFUSE | mask(*WANTED)) & ~mask(*UNWANTED)
    flags_at = REPLY.size - 4
    assert message[:flags_at] + message[REPLY.size :] == reply()[:flags_at] + REST
    assert agreed is not None
    assert agreed.protocol == "7.31"
    assert agreed.added == WANTED
    assert set(agreed.added) <= set(agreed.on)
    assert {"writeback_cache", "do_readdirplus", "max_pages"} <= set(agreed.on)
    assert not set(UNWANTED) & set(agreed.on)


@pytest.mark.parametrize("missing", WANTED)
def test_nothing_is_set_that_the_kernel_does_not_offer(missing):
    message, agreed = amended(request(OFFERED & ~mask(missing)), reply())
    assert not flags_of(message) & mask(missing)
    assert agreed is not None
    assert agreed.added == tuple(name for name in WANTED if name != missing)


def test_what_libfuse_asked_for_by_itself_is_not_counted_as_added():
    message, agreed = amended(request(), reply(OF_LIBFUSE | mask(*WANTED) | NOT_A_BIT))
    assert flags_of(message) & NOT_A_BIT
    assert agreed is not None
    assert agreed.added == ()
    assert set(WANTED) <= set(agreed.on)


@pytest.mark.parametrize(
    ("of_kernel", "of_libfuse"),
    [
        (request(operation=INIT + 1), reply()),
        (request(major=8), reply()),
        (request(length=103), reply()),
        (request()[:55], reply()),
        (b"", reply()),
        (request(), reply(error=-71)),
        (request(), reply(number=NUMBER + 1)),
        (request(), reply(major=8)),
        (request(), reply(length=81)),
        (request(), reply()[:24]),
        (request(), b""),
    ],
)
def test_what_is_strange_is_left_alone(of_kernel, of_libfuse):
    assert amended(of_kernel, of_libfuse) == (of_libfuse, None)
