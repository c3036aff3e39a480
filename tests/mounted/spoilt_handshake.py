"""The vfs command, whose daemon meets with something unexpected in its handshake with the kernel: its first
argument says with what."""

import errno
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

from vfs.cli import main
from vfs.mount import handshake, init_messages


def refuse(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def interrupted(request: bytes, reply: bytes) -> tuple[bytes, init_messages.Agreed | None]:
    os.kill(os.getpid(), signal.SIGTERM)
    return init_messages.amended(request, reply)


def spoil(way: str) -> None:
    match way:
        case "no sockets":
            sockets = SimpleNamespace(socketpair=refuse, AF_UNIX=None, SOCK_SEQPACKET=None)
            handshake.socket = sockets  # type: ignore[assignment, attr-defined]
        case "no loop":
            handshake.trio = SimpleNamespace(run=refuse)  # type: ignore[assignment, attr-defined]
        case "a signal":
            # Some thread does not block it.
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            handshake.amended = interrupted  # type: ignore[attr-defined]
        case "no session":
            handshake.FUSE_DEVICE = os.makedev(10, 1)
        case "a strange request":
            init_messages.INIT = 1
        case "nothing offered":
            init_messages.WANTED = ()  # type: ignore[assignment]


if __name__ == "__main__":
    spoil(sys.argv.pop(1))
    sys.exit(main())
