"""Tells systemd how a service gets on, as sd_notify(3) says: one datagram to the socket it names.

Promises never to fail: without such a socket, or with one that nobody reads, nothing happens. Never waits.
"""

import os
import socket
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Say `READY=1`, `STOPPING=1` or `STATUS=...`; several of them with newlines between."""
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        door.setblocking(False)
        door.sendto(state.encode("utf-8", "surrogateescape"), address)
