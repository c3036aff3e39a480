"""The control socket in its own thread: verbs run in the owner's, and the owner may hang."""

import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from vfs.backing.inflight import disk_call
from vfs.errors import StoreError
from vfs.mount import control, control_thread
from vfs.mount.client import ControlClient, Refused
from vfs.mount.control import Progress, Verb
from vfs.mount.control_thread import ControlThread
from vfs.mount.protocol import SOCKET_NAME
from vfs.mount.watch import Watch


class Owner:
    """Verbs that show where they run and how they end."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.release = trio.Event()
        self.waiting = trio.Event()
        self.ended: list[str] = []

    async def info(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return {"thread": threading.get_ident(), "packs": 5}

    async def refuse(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        raise StoreError("not today")

    async def wait(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        self.waiting.set()
        try:
            await self.release.wait()
        finally:
            self.ended.append(str(request["verb"]))
        return {"released": True}

    def verbs(self) -> dict[str, Verb]:
        return {
            "info": Verb(self.info),
            "refuse": Verb(self.refuse),
            "wait": Verb(self.wait),
            "last": Verb(self.wait, outlives=True),
        }


@asynccontextmanager
async def serving(store: Path, owner: Owner) -> AsyncIterator[ControlThread]:
    watch = Watch({"pid": os.getpid()}, dict, lambda: 1, lambda: {"requests": {}}, None)
    served = ControlThread(store, owner.verbs(), watch)
    async with trio.open_nursery() as nursery:
        await served.start(nursery)
        try:
            yield served
        finally:
            with trio.CancelScope(shield=True):
                await served.withdraw()
                await served.finish()
        nursery.cancel_scope.cancel()


def connected(store: Path) -> ControlClient:
    client = ControlClient.connect(store)
    assert client is not None
    return client


def ask(store: Path, verb: str) -> dict[str, Any]:
    with connected(store) as client:
        return client.ask(verb)


def hang_while_asked(store: Path, verb: str) -> dict[str, Any] | Refused:
    """Keep the calling thread in one call to the disk until another one has asked."""
    answers: list[dict[str, Any] | Refused] = []

    def work() -> None:
        try:
            answers.append(ask(store, verb))
        except Refused as error:
            answers.append(error)

    asking = threading.Thread(target=work)
    with disk_call("append to", "log/chunk-7"):
        asking.start()
        asking.join(60)
    return answers[0]


async def test_a_verb_runs_in_the_owners_thread(tmp_path: Path) -> None:
    owner = Owner()
    async with serving(tmp_path, owner):
        answer = await trio.to_thread.run_sync(ask, tmp_path, "info")
        assert (answer["thread"], answer["figures_age_seconds"]) == (owner.thread, 0.0)
        with pytest.raises(Refused, match="not today"):
            await trio.to_thread.run_sync(ask, tmp_path, "refuse")
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_info_is_answered_while_the_owner_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_thread, "INFO_SECONDS", 0.1)
    async with serving(tmp_path, Owner()):
        answer = hang_while_asked(tmp_path, "info")
        assert isinstance(answer, dict)
        assert answer["figures_age_seconds"] is None
        (wait,) = answer["waiting"]
        assert (wait["what"], wait["thread"]) == ("append to log/chunk-7", "owner")
        assert (await trio.to_thread.run_sync(ask, tmp_path, "info"))["packs"] == 5


async def test_every_other_verb_gives_up_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_thread, "TOLD_SECONDS", 0.1)
    monkeypatch.setattr(control_thread, "GIVE_UP_SECONDS", 0.5)
    owner = Owner()
    async with serving(tmp_path, owner):
        refused = hang_while_asked(tmp_path, "wait")
        assert re.search(r"the daemon waits for append to log/chunk-7 since \d+\.\d s", str(refused))
        await trio.lowlevel.checkpoint()  # what was handed over comes to its end here
    assert owner.ended in ([], ["wait"])


async def test_an_owner_that_computes_does_not_keep_info_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_thread, "BUSY_SECONDS", 0.2)
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(tmp_path, "info")))
    async with serving(tmp_path, Owner()):
        asking.start()
        asking.join(60)
    (wait,) = answers[0]["waiting"]
    assert wait["thread"] == "owner"


async def test_the_end(tmp_path: Path) -> None:
    owner = Owner()
    async with serving(tmp_path, owner) as served:
        with connected(tmp_path) as worker, connected(tmp_path) as waiter:
            await trio.to_thread.run_sync(worker.send, "wait")
            await owner.waiting.wait()
            await trio.to_thread.run_sync(waiter.send, "last")
            await served.withdraw()
            assert owner.ended == ["wait"]
            assert ControlClient.connect(tmp_path) is None
            with pytest.raises(Refused, match="being closed"):
                await trio.to_thread.run_sync(worker.result)
            owner.release.set()
            assert await trio.to_thread.run_sync(waiter.result) == {"released": True}
            await served.finish()
    for thread in threading.enumerate():
        if thread.name == "control":
            thread.join(60)
            assert not thread.is_alive()


async def test_a_verb_ends_with_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HEARTBEAT_SECONDS", 0.05)
    owner = Owner()
    async with serving(tmp_path, owner):
        with connected(tmp_path) as client:
            await trio.to_thread.run_sync(client.send, "wait")
            await owner.waiting.wait()
        with trio.fail_after(60):
            while not owner.ended:  # noqa: ASYNC110 -- the fake has no event for it
                await trio.sleep(0.02)
