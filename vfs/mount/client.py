"""The other side of the control socket: asking the daemon of a mounted store.

Promises to give up on a daemon that does not answer, and never to believe more than a bounded reply.
Synchronous, for the command line. Never opens the store.
"""

import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vfs.errors import MountError, VfsError
from vfs.mount.protocol import REPLY_BYTES, SOCKET_NAME, ProtocolError, decode, encode, socket_address

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
"""Much longer than the daemon's heartbeat: whoever is silent for so long hangs."""

OnProgress = Callable[[int, int, str], None]
OnPage = Callable[[list[Any]], object]


class DaemonSilent(MountError):
    """The daemon is there but does not answer."""

    def __init__(self, store: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"process {pid}" if pid else "its daemon"
        super().__init__(f"{who} serves {store} but does not answer; see vfs.log in it, or end that process")


class DaemonGone(MountError):
    """The daemon ended before it answered."""

    def __init__(self, store: Path) -> None:
        super().__init__(f"the daemon of {store} ended before it answered; see vfs.log in the store")


class Refused(VfsError):
    """The daemon answered that it cannot; its words."""


class ControlClient:
    """One connection, good for one request. A context manager."""

    def __init__(self, store: Path, connection: socket.socket) -> None:
        self._store = store
        self._connection = connection
        self._received = bytearray()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self.pid: int | None = struct.unpack("3i", credentials)[0] or None

    @classmethod
    def connect(cls, store: Path) -> Self | None:
        """Connect to the daemon of the store; None when nobody listens there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            with socket_address(store) as address:
                if stat.S_ISLNK(
                    os.lstat(address).st_mode
                ):  # whoever listens elsewhere is no daemon of the store
                    raise MountError(
                        f"{SOCKET_NAME} in {store} is a symbolic link; remove it, vfs never made it"
                    )
                connection.connect(address)
            return cls(store, connection)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            connection.close()
            return None
        except TimeoutError:
            connection.close()
            raise DaemonSilent(store, None) from None
        except MountError:
            connection.close()
            raise
        except PermissionError:
            connection.close()
            raise MountError(
                f"no permission to ask the daemon of {store}; do it as its owner or root"
            ) from None
        except OSError as error:
            connection.close()
            raise MountError(f"cannot reach the daemon of {store}: {error.strerror or error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the daemon. Idempotent."""
        self._connection.close()

    def ask(
        self,
        verb: str,
        on_progress: OnProgress | None = None,
        on_page: OnPage | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a request and return its result; Refused with the daemon's words, DaemonSilent, DaemonGone.

        `on_page` is called with the parts of a long result, and must not take long: the daemon waits."""
        self.send(verb, **arguments)
        return self.result(on_progress, on_page)

    def send(self, verb: str, **arguments: Any) -> None:
        """Send a request, and return when the daemon has it: its first sign of life came."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have refused us unheard
            self._connection.sendall(encode({"verb": verb, **arguments}))
        line = self._line()
        self._received[:0] = line + b"\n"

    def result(self, on_progress: OnProgress | None = None, on_page: OnPage | None = None) -> dict[str, Any]:
        """Wait for the end of what was sent."""
        while True:
            try:
                message = decode(self._line())
            except ProtocolError as error:
                raise MountError(
                    f"the daemon of {self._store} answered nonsense ({error}); see its log"
                ) from None
            page = message.get("page")
            if isinstance(page, list):
                if on_page is not None:
                    on_page(page)
                continue
            progress = message.get("progress")
            if not isinstance(progress, dict):
                return self._outcome(message)
            if on_progress is not None:
                done, total, what = (progress.get(key) for key in ("done", "total", "what"))
                if isinstance(done, int) and isinstance(total, int):
                    on_progress(done, total, str(what or ""))

    def _outcome(self, message: dict[str, Any]) -> dict[str, Any]:
        result, error = message.get("result"), message.get("error")
        if isinstance(result, dict):
            return result
        if isinstance(error, str):
            raise Refused(error)
        raise MountError(f"the daemon of {self._store} answered nonsense (no result); see its log")

    def _line(self) -> bytes:
        end = time.monotonic() + ANSWER_SECONDS
        searched = 0
        while (found := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > REPLY_BYTES:
                raise MountError(
                    f"the daemon of {self._store} answered nonsense (too much of it); see its log"
                )
            self._connection.settimeout(max(0.001, end - time.monotonic()))
            try:
                received = self._connection.recv(1 << 16)
            except TimeoutError:
                raise DaemonSilent(self._store, self.pid) from None
            except ConnectionError:
                received = b""
            if not received:
                raise DaemonGone(self._store)
            self._received += received
        line = bytes(self._received[:found])
        del self._received[: found + 1]
        return line
