"""The control socket: its mode and address, a conversation, garbage, clients that leave, and the end."""

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from vfs.errors import MountError, StoreError
from vfs.mount import client as client_module
from vfs.mount import control
from vfs.mount.client import ControlClient, DaemonGone, DaemonSilent, Refused
from vfs.mount.control import ControlServer, Progress, Verb
from vfs.mount.protocol import (
    REQUEST_BYTES,
    SOCKET_NAME,
    ProtocolError,
    decode,
    encode,
    socket_address,
)


class Fake:
    """Verbs that show what the server does with them."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.waiting = trio.Event()
        self.ended: list[str] = []
        self.seen: list[tuple[int, int, str]] = []  # by whoever wants the work done

    async def echo(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return dict(request)

    async def work(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        for done in range(3):
            progress.set(done, 3, f"step {done}")
            while (done, 3, f"step {done}") not in self.seen:  # noqa: ASYNC110 -- a thread notes it
                await trio.sleep(0.01)
        return {"done": True}

    async def wait(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        self.waiting.set()
        try:
            await self.release.wait()
        except trio.Cancelled:
            self.ended.append("cancelled")
            raise
        return {"released": True}

    async def refuse(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise StoreError("not today")

    async def crash(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise ZeroDivisionError("a fault of ours")

    def verbs(self) -> dict[str, Verb]:
        return {
            "echo": Verb(self.echo),
            "work": Verb(self.work),
            "wait": Verb(self.wait),
            "last": Verb(self.wait, outlives=True),
            "refuse": Verb(self.refuse),
            "crash": Verb(self.crash),
        }


@asynccontextmanager
async def serving(store: Path, fake: Fake) -> AsyncIterator[ControlServer]:
    server = ControlServer(store, fake.verbs())
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


def ask(store: Path, verb: str, **arguments: Any) -> dict[str, Any]:
    with connected(store) as client:
        return client.ask(verb, **arguments)


def connected(store: Path) -> ControlClient:
    client = ControlClient.connect(store)
    assert client is not None
    return client


def raw(store: Path, sent: bytes, *, close: bool = True) -> bytes:
    """Send bytes as they are and return all that comes back."""
    with socket_address(store) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(address)
        try:
            connection.sendall(sent)
            if close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            return b""
        return received


async def in_thread(function: Any, *arguments: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: function(*arguments))


async def test_a_request_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, Fake()):
        assert await in_thread(ask, tmp_path, "echo") == {"verb": "echo"}
        with connected(tmp_path) as client:
            assert client.pid == os.getpid()


async def test_the_socket_is_for_its_owner_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    async with serving(tmp_path, Fake()):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_ISSOCK(path.lstat().st_mode)
    assert not path.exists()
    assert ControlClient.connect(tmp_path) is None


async def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    store = tmp_path / ("long " * 20) / ("lang" * 30) / "ö"
    store.mkdir(parents=True)
    assert len(os.fsencode(store / SOCKET_NAME)) > 200
    async with serving(store, Fake()):
        assert await in_thread(ask, store, "echo") == {"verb": "echo"}


async def test_text_that_is_not_utf8_survives(tmp_path: Path) -> None:
    path = os.fsdecode(b"/caf\xe9")
    async with serving(tmp_path, Fake()):
        with connected(tmp_path) as client:
            assert (await in_thread(lambda: client.ask("echo", path=path)))["path"] == path


async def test_progress_comes_before_the_result(tmp_path: Path) -> None:
    fake = Fake()
    with trio.fail_after(60):
        async with serving(tmp_path, fake):
            with connected(tmp_path) as client:
                result = await in_thread(lambda: client.ask("work", lambda *step: fake.seen.append(step)))
    assert result == {"done": True}
    assert set(fake.seen) >= {(0, 3, "step 0"), (1, 3, "step 1"), (2, 3, "step 2")}
    assert fake.seen == sorted(fake.seen)


async def test_errors_come_as_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, Fake()):
        with pytest.raises(Refused, match="not today"):
            await in_thread(ask, tmp_path, "refuse")
        with pytest.raises(Refused, match="unknown verb 'fly'"):
            await in_thread(ask, tmp_path, "fly")
        with pytest.raises(Refused, match=r"ZeroDivisionError: a fault of ours.*vfs.log"):
            await in_thread(ask, tmp_path, "crash")
        assert "Traceback" in caplog.text
        assert await in_thread(ask, tmp_path, "echo") == {"verb": "echo"}


GARBAGE = [
    b"",
    b"\n",
    b"\0\xff\xfe\n",
    b"hello\n",
    b"[1, 2]\n",
    b'"info"\n',
    b"{}\n",
    b'{"verb": 7}\n',
    b'{"verb": {"a": []}}\n',
    b'{"verb": "echo"',
    b"[" * (REQUEST_BYTES - 10) + b"\n",
    b"x" * (REQUEST_BYTES + 10),
    b'{"verb": "' + b"e" * 60_000 + b'"}\n',
]


async def test_garbage_is_answered_and_survived(tmp_path: Path) -> None:
    async with serving(tmp_path, Fake()):
        for sent in GARBAGE:
            received = await in_thread(raw, tmp_path, sent)
            assert received.count(b"\n") <= 1, sent[:50]
            if received:
                assert len(received) < 500
                assert "error" in decode(received)
        assert await in_thread(ask, tmp_path, "echo") == {"verb": "echo"}


async def test_more_than_one_request_on_a_connection_is_not_read(tmp_path: Path) -> None:
    async with serving(tmp_path, Fake()):
        received = await in_thread(raw, tmp_path, b'{"verb":"echo"}\n{"verb":"crash"}\n')
        assert received.splitlines()[-1] == b'{"result":{"verb":"echo"}}'


async def test_a_client_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_SECONDS", 0.1)
    async with serving(tmp_path, Fake()):
        received = await in_thread(lambda: raw(tmp_path, b"", close=False))
        assert "too long to come" in decode(received)["error"]


async def test_others_are_not_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_is_trusted", lambda stream: False)
    async with serving(tmp_path, Fake()):
        with pytest.raises(Refused, match="permission denied"):
            await in_thread(ask, tmp_path, "echo")


async def test_too_many_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_CLIENTS", 1)
    fake = Fake()
    async with serving(tmp_path, fake):
        with connected(tmp_path) as first:
            await in_thread(first.send, "wait")
            await fake.waiting.wait()
            with pytest.raises(Refused, match="too many clients"):
                await in_thread(ask, tmp_path, "echo")


async def test_a_verb_ends_with_the_client_that_wanted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "HEARTBEAT_SECONDS", 0.05)
    fake = Fake()
    async with serving(tmp_path, fake):
        client = connected(tmp_path)
        with client:
            await in_thread(client.send, "wait")
            await fake.waiting.wait()
        with trio.fail_after(60):
            while not fake.ended:  # noqa: ASYNC110 -- the fake has no event for it
                await trio.sleep(0.02)


async def test_withdrawing_ends_what_uses_the_store_and_keeps_who_waits_for_the_end(tmp_path: Path) -> None:
    fake = Fake()
    async with serving(tmp_path, fake) as server:
        with connected(tmp_path) as worker, connected(tmp_path) as waiter, connected(tmp_path) as late:
            await in_thread(worker.send, "wait")
            await in_thread(waiter.send, "last")
            await server.withdraw()
            assert fake.ended == ["cancelled"]
            assert ControlClient.connect(tmp_path) is None
            with pytest.raises(Refused, match="being closed"):
                await in_thread(worker.result)
            with pytest.raises(Refused, match="being closed"):
                await in_thread(late.ask, "echo")
            fake.release.set()
            assert await in_thread(waiter.result) == {"released": True}
            await server.finish()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    old = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(tmp_path) as address:
        old.bind(address)
    old.close()
    assert ControlClient.connect(tmp_path) is None  # nobody listens
    async with serving(tmp_path, Fake()):
        assert await in_thread(ask, tmp_path, "echo") == {"verb": "echo"}


async def test_a_successors_socket_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, Fake()):
        (tmp_path / SOCKET_NAME).unlink()
        (tmp_path / SOCKET_NAME).write_text("another")
    assert (tmp_path / SOCKET_NAME).read_text() == "another"


async def test_a_file_in_the_sockets_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("precious")
    with pytest.raises(MountError, match="not a socket"):
        ControlServer(tmp_path, {})._listen()
    assert (tmp_path / SOCKET_NAME).read_text() == "precious"


def listener(store: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(store) as address:
        server.bind(address)
    server.listen(1)
    return server


def test_a_daemon_that_hangs_does_not_hang_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.2)
    with listener(tmp_path), pytest.raises(DaemonSilent, match=f"process {os.getpid()} serves"):
        ask(tmp_path, "info")


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b"{}\n", b'{"result": 7}\n', b"x" * 100])
def test_a_daemon_that_answers_nonsense(tmp_path: Path, answer: bytes) -> None:
    with listener(tmp_path) as server, connected(tmp_path) as client:
        peer, _ = server.accept()
        with peer:
            peer.sendall(answer)
        with pytest.raises(MountError) as caught:
            client.ask("info")
        assert isinstance(caught.value, DaemonGone) or "nonsense" in str(caught.value)


def test_an_endless_answer_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "REPLY_BYTES", 1000)
    with listener(tmp_path) as server, connected(tmp_path) as client:
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"x" * 5000)
            with pytest.raises(MountError, match="too much"):
                client.ask("info")


@given(st.binary(max_size=300))
def test_decode_gives_an_object_or_a_protocol_error(line: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode(line), dict)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_messages_survive_the_way(message: dict[str, str]) -> None:
    line = encode(message)
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1
    assert decode(line) == message
