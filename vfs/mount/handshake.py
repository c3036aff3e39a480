"""Takes part in the first exchange of the kernel and libfuse, which settles what each does for the other.

Promises that libfuse's answer reaches the kernel, with bits put right of which libfuse does not know or which
the binding does not let us ask for; that the session speaks with the kernel directly after it; and that
whatever is unexpected leaves all as libfuse wants it. Never keeps a mount from coming about, unless what was
taken from the kernel cannot be answered.

How: while the exchange lasts, the number of the session's descriptor stands for one end of a socket pair, and
we pass on what comes. The kernel sends nothing else before it has its answer. Whoever waited for that number
meanwhile would wait for the socket for ever, since epoll watches what is open and not its number. So the loop
of libfuse runs in a trio loop of its own for this one request, and both have ended before the number stands
for the kernel again.
"""

import logging
import os
import select
import socket
import stat

import trio
from pyfuse3 import main as serve_session

from vfs.errors import MountError
from vfs.mount.init_messages import Agreed, amended

log = logging.getLogger("vfs")

FUSE_DEVICE = os.makedev(10, 229)
MESSAGE_BYTES = 1 << 16
"""Room for either message, which have about 100; the kernel wants 8 KiB of it at least."""


def sessions() -> set[int]:
    """The descriptors of this process over which it speaks with the kernel's FUSE."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # that of the listing itself, which is closed by now
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == FUSE_DEVICE:
            found.add(int(name))
    return found


def shake_hands(made: set[int]) -> Agreed | None:
    """Have the exchange on the one session that pyfuse3.init has made; call it before pyfuse3.main.

    None when libfuse was left alone with it, now or in pyfuse3.main, or answered with something strange;
    MountError when it began and could not go on.
    """
    if len(made) != 1:
        log.debug("the handshake is left to libfuse: %d new sessions", len(made))
        return None
    (session,) = made
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.setblocking(False)
            kernel = os.dup(session)
            try:
                return _exchange(session, kernel, ours, theirs)
            finally:
                os.close(kernel)
    except OSError as error:
        # The mount is gone already, or there are too many files open: pyfuse3.main will meet that as well.
        log.debug("the handshake is left to libfuse: %s", error)
        return None


def _exchange(session: int, kernel: int, ours: socket.socket, theirs: socket.socket) -> Agreed | None:
    poll = select.poll()
    poll.register(kernel, select.POLLIN)
    if not poll.poll(0):  # it is there since the mount is there
        log.debug("the handshake is left to libfuse: the kernel has asked for nothing")
        return None
    request = os.read(kernel, MESSAGE_BYTES)
    try:
        answer = _answer_of_libfuse(request, session, kernel, ours, theirs)
    except OSError as error:
        # The kernel asks once: libfuse would wait for that, and programs for an answer to whatever they ask.
        raise MountError(f"the handshake with the kernel failed: {error}") from error
    reply, agreed = amended(request, answer)
    os.write(kernel, reply)
    if agreed is None:
        log.debug("libfuse's answer in the handshake is unexpected: passed on as it is")
    else:
        log.debug("protocol %s: %s; added %s", agreed.protocol, " ".join(agreed.on), " ".join(agreed.added))
    return agreed


def _answer_of_libfuse(
    request: bytes, session: int, kernel: int, ours: socket.socket, theirs: socket.socket
) -> bytes:
    ours.send(request)
    os.dup2(theirs.fileno(), session, inheritable=False)
    try:
        trio.run(_answer_one, session, ours)
    finally:
        os.dup2(kernel, session, inheritable=False)
    return ours.recv(MESSAGE_BYTES)


async def _answer_one(session: int, ours: socket.socket) -> None:
    """Have libfuse's loop answer what lies in the socket, and end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_dismiss, session, ours)
        await serve_session(1, 1)
        nursery.cancel_scope.cancel()


async def _dismiss(session: int, ours: socket.socket) -> None:
    """Once the answer has come, end the loop: it takes this for the end of its descriptor."""
    await trio.lowlevel.wait_readable(ours)
    while True:
        trio.lowlevel.notify_closing(session)
        await trio.lowlevel.checkpoint()
