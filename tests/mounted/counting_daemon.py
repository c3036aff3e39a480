"""The vfs command, whose daemon notes at its end how often the kernel asked for what, as JSON in the file
that VFS_COUNTS names, and whose handshake goes as VFS_HANDSHAKE says: as it should (the default), or in one
of the ways that must not matter."""

import atexit
import functools
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vfs.cli import main
from vfs.mount import handshake, init_messages
from vfs.mount.adapter import Adapter

REQUESTS = (
    "lookup",
    "getattr",
    "setattr",
    "readlink",
    "open",
    "create",
    "write",
    "fsync",
    "getxattr",
    "removexattr",
)
counts: Counter[str] = Counter()


def counting(name: str, handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(handler)
    async def counted(*arguments: Any) -> Any:
        counts[name] += 1
        return await handler(*arguments)

    return counted


def refuse(*_: Any) -> None:
    raise OSError(24, "Too many open files")


def spoil() -> None:
    """Let the handshake go as VFS_HANDSHAKE says."""
    match os.environ.get("VFS_HANDSHAKE", ""):
        case "no sockets":
            handshake.socket = SimpleNamespace(  # type: ignore[assignment, attr-defined]
                socketpair=refuse, AF_UNIX=None, SOCK_SEQPACKET=None
            )
        case "no session found":
            handshake.FUSE_DEVICE = os.makedev(10, 1)
        case "a strange reply":
            init_messages.INIT = 1
        case "nothing offered":
            init_messages.WANTED = ()  # type: ignore[assignment]


if __name__ == "__main__":
    for request in REQUESTS:
        setattr(Adapter, request, counting(request, getattr(Adapter, request)))
    if "VFS_COUNTS" in os.environ:
        atexit.register(lambda: Path(os.environ["VFS_COUNTS"]).write_text(json.dumps(counts)))
    spoil()
    sys.exit(main())
