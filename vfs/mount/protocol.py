r"""What is said over the control socket, and where it lies.

    STORE/control.sock      a stream socket, mode 0600
    request  = JSON object + "\n"     {"verb": NAME, ...arguments}
    reply    = JSON object + "\n"     any number of {"progress": {"done": n, "total": n, "what": text}}, of
                                      which one comes at least every two seconds as a sign of life, then
                                      any number of {"page": [...]}, parts of a long result, and then
                                      one {"result": {...}} or {"error": "one line"}

One request a connection. Never trusts what it decodes: everything that is not such an object is
`ProtocolError`. A path that is not UTF-8 travels as the lone surrogates of os.fsdecode, escaped in ASCII.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOCKET_NAME = "control.sock"
REQUEST_BYTES = 64 * 1024
REPLY_BYTES = 64 * 1024 * 1024
HEARTBEAT_SECONDS = 2.0


class ProtocolError(ValueError):
    """The other side said something that is no message."""


@contextmanager
def socket_address(store: Path) -> Iterator[str]:
    """An address of the socket within the kernel's 107 bytes, however long the store's path is."""
    folder = os.open(store, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message in a line, without or with its newline. ProtocolError when it holds none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message
