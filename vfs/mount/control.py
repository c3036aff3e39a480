"""The daemon's side of the control socket.

Promises that only the store's owner and root are heard, that whatever a client sends or fails to send
costs bounded memory and time, and that no fault in a verb ends the daemon. Never decides what a verb does.

Concurrency: lives in one trio loop, one task a connection; which loop that is, and where a verb runs, others
decide (`run`). `withdraw` ends the verbs that need the store before the store is closed; those that wait for
that very end (`outlives`) are answered after it.
"""

import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import trio

from vfs.backing.inflight import disk_call
from vfs.errors import MountError, VfsError
from vfs.mount.protocol import (
    HEARTBEAT_SECONDS,
    REQUEST_BYTES,
    SOCKET_NAME,
    ProtocolError,
    decode,
    encode,
    socket_address,
)

log = logging.getLogger("vfs")

REQUEST_SECONDS = 10.0
SEND_SECONDS = 5.0
MOST_CLIENTS = 64
PROGRESS_SECONDS = 0.1

PAGES = "pages"
"""Of a result: an iterator of lists, each of which leaves as a message of its own, before the rest."""


class Progress:
    """How far a verb has come; its task or thread sets it, the connection's task tells the client."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.what = ""

    def set(self, done: int, total: int, what: str = "") -> None:
        """For any thread: three assignments, of which the client may see a mixture for a moment."""
        self.done, self.total, self.what = done, total, what

    def message(self) -> dict[str, Any]:
        """The state as a reply."""
        return {"progress": {"done": self.done, "total": self.total, "what": self.what}}


class Crowd:
    """How many are inside, and a way to wait until none is."""

    def __init__(self) -> None:
        self.inside = 0
        self._empty = trio.Event()

    def __enter__(self) -> None:
        self.inside += 1

    def __exit__(self, *_: object) -> None:
        self.inside -= 1
        if not self.inside:
            self._empty.set()

    async def gone(self) -> None:
        """Return when nobody is inside."""
        while self.inside:
            self._empty = trio.Event()
            await self._empty.wait()


class Verb(NamedTuple):
    """What answers a request. `outlives`: it waits for the store to be closed, so it is not ended before."""

    answer: Callable[[dict[str, Any], Progress], Awaitable[dict[str, Any]]]
    outlives: bool = False


Run = Callable[[Verb, dict[str, Any], Progress], Awaitable[dict[str, Any]]]
"""Runs a verb to its reply, a result or an error."""


async def guarded(verb: Verb, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Run a verb; whatever it raises becomes the reply."""
    try:
        return {"result": await verb.answer(request, progress)}
    except VfsError as error:
        return {"error": str(error)}
    except Exception as error:
        log.exception("unexpected error in the control verb %r", request.get("verb"))
        return {
            "error": f"unexpected {type(error).__name__}: {error}; the traceback is in vfs.log of the store"
        }


class ControlServer:
    """The socket in the store's folder and the conversations on it."""

    def __init__(self, store: Path, verbs: Mapping[str, Verb], run: Run = guarded) -> None:
        # dependencies
        self._store = store
        self._verbs = verbs
        self._run = run
        # mutable
        self._clients = Crowd()
        self._workers = Crowd()
        self._scopes: set[trio.CancelScope] = set()  # of the workers
        self._withdrawn = False
        self._identity: tuple[int, int] | None = None

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        listener = self._listen()
        try:
            task_status.started()
            await trio.serve_listeners(self._converse, [listener])
        finally:
            self._remove()

    async def withdraw(self) -> None:
        """Nobody new finds us from here on, and no verb uses the store any more when this returns."""
        self._withdrawn = True
        # In a thread: on a disk that hangs this waits too, and somebody may want to know what for.
        await trio.to_thread.run_sync(self._remove)
        for scope in self._scopes:
            scope.cancel()
        await self._workers.gone()

    async def finish(self, seconds: float = SEND_SECONDS) -> None:
        """Give those who are being answered that much time to take their answer."""
        with trio.move_on_after(seconds):
            await self._clients.gone()

    # --- the socket -------------------------------------------------------------------------

    def _listen(self) -> trio.SocketListener:
        try:
            with socket_address(self._store) as address:
                _remove_stale(Path(address))
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                mask = os.umask(0o177)  # the socket is made with its mode, never wider for a moment
                try:
                    listener.bind(address)
                    listener.listen(MOST_CLIENTS)
                    listener.setblocking(False)
                    found = os.lstat(address)
                except OSError:
                    listener.close()
                    raise
                finally:
                    os.umask(mask)
        except OSError as error:
            reason = error.strerror or str(error)
            raise MountError(
                f"cannot make {self._store / SOCKET_NAME}: {reason}; see what is wrong there"
            ) from error
        self._identity = (found.st_dev, found.st_ino)
        return trio.SocketListener(trio.socket.from_stdlib_socket(listener))

    def _remove(self) -> None:
        """Remove the socket, unless another one stands in its place."""
        identity, self._identity = self._identity, None
        if identity is None:
            return
        removing = disk_call("removal of", SOCKET_NAME)
        with suppress(OSError), removing, socket_address(self._store) as address:
            found = os.lstat(address)
            if (found.st_dev, found.st_ino) == identity:
                os.unlink(address)

    # --- one conversation -------------------------------------------------------------------

    async def _converse(self, stream: trio.SocketStream) -> None:
        with self._clients, suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it may be gone
            async with stream:
                reply = await self._reply(stream)
                for page in reply.get("result", {}).pop(PAGES, ()):
                    await _send(stream, {"page": page})
                await _send(stream, reply)

    async def _reply(self, stream: trio.SocketStream) -> dict[str, Any]:
        if not _is_trusted(stream):
            return {"error": "permission denied: only the store's owner and root may ask its daemon"}
        if self._clients.inside > MOST_CLIENTS:
            return {"error": "too many clients at once; try again in a moment"}
        try:
            request = await _read_request(stream)
        except ProtocolError as error:
            return {"error": f"bad request: {error}"}
        name = request.get("verb")
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            return {"error": f"unknown verb {str(name)[:40]!r}; the daemon may be older than this vfs"}
        if self._withdrawn and not verb.outlives:
            return {"error": "the store is being closed; try again in a moment"}
        return await self._work(stream, verb, request)

    async def _work(self, stream: trio.SocketStream, verb: Verb, request: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = {"error": "the store is being closed; try again in a moment"}
        progress = Progress()
        with nullcontext() if verb.outlives else self._workers, trio.CancelScope() as scope:
            if not verb.outlives:
                self._scopes.add(scope)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_tell, stream, progress, nursery.cancel_scope)
                    reply = await self._run(verb, request, progress)
                    nursery.cancel_scope.cancel()
            finally:
                self._scopes.discard(scope)
        return reply


async def _tell(stream: trio.SocketStream, progress: Progress, scope: trio.CancelScope) -> None:
    """Send progress as it changes, and again as a sign of life; end the verb of a client that left."""
    told = None
    told_at = -HEARTBEAT_SECONDS
    try:
        while True:
            message = progress.message()
            if message != told or trio.current_time() - told_at >= HEARTBEAT_SECONDS:
                await _send(stream, message)
                told, told_at = message, trio.current_time()
            await trio.sleep(PROGRESS_SECONDS)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        scope.cancel()


async def _send(stream: trio.SocketStream, message: dict[str, Any]) -> None:
    """Send a whole line. Shielded: half a line would make the next one unreadable."""
    with trio.move_on_after(SEND_SECONDS, shield=True) as scope:
        await stream.send_all(encode(message))
    if scope.cancelled_caught:
        raise trio.BrokenResourceError("the client does not read")


async def _read_request(stream: trio.SocketStream) -> dict[str, Any]:
    line = bytearray()
    with trio.move_on_after(REQUEST_SECONDS):
        while b"\n" not in line:
            received = await stream.receive_some(REQUEST_BYTES)
            if not received:
                raise ProtocolError("it ends before its newline")
            line += received
            if len(line) > REQUEST_BYTES:
                raise ProtocolError("too long")
        return decode(bytes(line.partition(b"\n")[0]))
    raise ProtocolError("it took too long to come")


def _is_trusted(stream: trio.SocketStream) -> bool:
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid in (0, os.geteuid())


def _remove_stale(path: Path) -> None:
    """Remove what an earlier daemon left; the store's lock says that it is gone."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise MountError(f"{SOCKET_NAME} in the store is not a socket; remove it, vfs never made it")
    os.unlink(path)
