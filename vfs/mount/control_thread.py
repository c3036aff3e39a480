"""The control socket in a thread of its own, so that it is answered whatever the owner's thread waits for.

Promises that a verb runs in the owner's thread and nowhere else, but for `requests`, which only reads
counters; that `info` is answered within about two seconds by what can be seen from here when the owner does
not come to it; and that every other verb ends with a line when the disk does not answer. Never touches the
file system.

Concurrency: two trio loops. A `_Call` is made here, begun and ended by the owner, and waited for here; each
side changes only what is its own, and wakes the other with `run_sync_soon`.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from vfs.errors import MountError
from vfs.mount.control import ControlServer, Crowd, Progress, Verb, guarded
from vfs.mount.watch import Watch, disk_is_slow

LOOK_SECONDS = 0.25
"""How often it is looked what a verb that is not answered waits for."""

INFO_SECONDS = 2.0
"""How long `info` waits for the owner when something waits for the disk."""

BUSY_SECONDS = 10.0
"""How long it waits for one that computes."""

TOLD_SECONDS = 2.0
"""How long a call to the disk takes before those who wait for a verb are told."""

GIVE_UP_SECONDS = 30.0
"""How long one call to the disk may take before a verb ends with a line about it."""

WAITING = "waiting for: "

CLOSING = {"error": "the store is being closed; try again in a moment"}


class _Call:
    """A verb on its way to the owner and back. `begun` and `reply` are the owner's, `done` is set for us."""

    def __init__(self, verb: Verb, request: dict[str, Any], progress: Progress) -> None:
        self.verb = verb
        self.request = request
        self.progress = progress
        self.scope = trio.CancelScope()
        self.done = trio.Event()
        self.begun = False
        self.reply: dict[str, Any] = dict(CLOSING)


class OwnersTasks:
    """The verbs that run in the owner's loop. All of this is the owner's."""

    def __init__(self, nursery: trio.Nursery, tell: Callable[[Callable[[], object]], None]) -> None:
        self._nursery = nursery
        self._tell = tell
        self._calls: set[_Call] = set()
        self._crowd = Crowd()
        self._withdrawn = False

    def begin(self, call: _Call) -> None:
        """Start a verb, unless it comes too late."""
        call.begun = True
        if self._nursery.cancel_scope.cancel_called:
            self._tell(call.done.set)
        else:
            self._nursery.start_soon(self._work, call)

    async def _work(self, call: _Call) -> None:
        try:
            if call.verb.outlives:
                with call.scope:
                    call.reply = await guarded(call.verb, call.request, call.progress)
            elif not self._withdrawn:
                self._calls.add(call)
                with self._crowd, call.scope:
                    call.reply = await guarded(call.verb, call.request, call.progress)
        finally:
            self._calls.discard(call)
            self._tell(call.done.set)

    async def withdraw(self) -> None:
        """No verb uses the store any more when this returns."""
        self._withdrawn = True
        for call in self._calls:
            call.scope.cancel()
        await self._crowd.gone()


class ControlThread:
    """The thread, its server, and the way of a verb to the owner."""

    def __init__(self, store: Path, verbs: Mapping[str, Verb], watch: Watch) -> None:
        # dependencies
        self._watch = watch
        self._own = {"requests": Verb(self._requests)}  # that need no owner
        self._server = ControlServer(store, {**verbs, **self._own}, self._hand_over)
        # set by `start`
        self._owner: trio.lowlevel.TrioToken
        self._tasks: OwnersTasks
        self._loop: trio.lowlevel.TrioToken
        self._stop: trio.Event  # of our loop
        self._begun = trio.Event()  # of the owner's loop, as the next one
        self._withdrawn = trio.Event()
        self._ended = trio.Event()
        self._failure: MountError | None = None

    # --- called by the owner ------------------------------------------------------------------

    async def start(self, nursery: trio.Nursery) -> None:
        """Listen; verbs will run in the nursery. MountError when there can be no socket."""
        self._owner = trio.lowlevel.current_trio_token()
        self._tasks = OwnersTasks(nursery, self._tell_loop)
        # A daemon thread: one that waits for a disk that hangs must not keep the process from ending.
        threading.Thread(target=self._run, name="control", daemon=True).start()
        await self._begun.wait()
        if self._failure is not None:
            raise self._failure

    async def withdraw(self) -> None:
        """Nobody new finds us from here on, and no verb uses the store any more when this returns."""
        if self._begun.is_set() and not self._ended.is_set():
            self._tell_loop(lambda: self._nursery.start_soon(self._withdraw))
            await self._withdrawn.wait()
            await self._tasks.withdraw()

    async def finish(self) -> None:
        """Give those who are being answered time to take their answer; then the thread ends."""
        if self._begun.is_set() and not self._ended.is_set():
            self._tell_loop(self._stop.set)
            await self._ended.wait()

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        finally:
            for event in (self._begun, self._withdrawn, self._ended):
                self._tell_owner(event.set)

    async def _serve(self) -> None:
        self._loop = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await nursery.start(self._server.serve)
            except MountError as error:
                self._failure = error
                return
            self._tell_owner(self._begun.set)
            await self._stop.wait()
            await self._server.finish()
            nursery.cancel_scope.cancel()

    async def _withdraw(self) -> None:
        await self._server.withdraw()
        self._tell_owner(self._withdrawn.set)

    def _tell_owner(self, step: Callable[[], object]) -> None:
        with suppress(trio.RunFinishedError):  # it has ended, and waits for nothing any more
            self._owner.run_sync_soon(step)

    def _tell_loop(self, step: Callable[[], object]) -> None:
        with suppress(trio.RunFinishedError):  # whoever waited there has gone
            self._loop.run_sync_soon(step)

    # --- a verb -------------------------------------------------------------------------------

    async def _hand_over(self, verb: Verb, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        if request["verb"] in self._own:
            return await guarded(verb, request, progress)
        call = _Call(verb, request, progress)
        self._tell_owner(lambda: self._tasks.begin(call))
        try:
            if request["verb"] == "info":
                return await self._info(call)
            return await self._patiently(call)
        finally:
            if not call.done.is_set():
                self._tell_owner(call.scope.cancel)

    async def _requests(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return self._watch.activity()

    async def _info(self, call: _Call) -> dict[str, Any]:
        begin = trio.current_time()
        while not await self._answered(call):
            waited = trio.current_time() - begin
            if waited >= BUSY_SECONDS or (waited >= INFO_SECONDS and disk_is_slow()):
                return {"result": self._watch.glimpse(None if call.begun else waited)}
        if "result" in call.reply:
            call.reply["result"] = self._watch.complete(call.reply["result"])
        return call.reply

    async def _patiently(self, call: _Call) -> dict[str, Any]:
        while not await self._answered(call):
            wait = self._watch.longest_wait()
            if wait is not None and wait.seconds >= TOLD_SECONDS:
                call.progress.what = f"{WAITING}{wait}"
                if wait.seconds >= GIVE_UP_SECONDS:
                    requests = self._watch.waiting_requests()
                    return {
                        "error": f"the disk of the store does not answer: the daemon waits for {wait}"
                        f" ({requests} requests wait); what waits goes on when it does"
                    }
            elif call.progress.what.startswith(WAITING):
                call.progress.what = ""
        return call.reply

    async def _answered(self, call: _Call) -> bool:
        with trio.move_on_after(LOOK_SECONDS):
            await call.done.wait()
        return call.done.is_set()
