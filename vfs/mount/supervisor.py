"""Keeps a mount alive: starts its daemon, and starts it again when it dies.

Promises that a daemon which was unmounted, even when it was dead, or told to end, is not started again; that
each restart is logged with its reason; and that it gives up, with a line that says so, on a daemon that dies
again and again. Then the dead mount stays: programs get errors, and do not write into the folder below. Never
serves a request, never opens the store: killed with -9 it leaves a daemon that goes on alone.
"""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trio

from vfs.errors import MountError
from vfs.mount.launcher import (
    UNMOUNTED_MEANWHILE,
    ReadyPipe,
    daemon_command,
    daemon_environment,
    read_message,
)
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.notify import VARIABLE as NOTIFY_VARIABLE
from vfs.mount.notify import notify
from vfs.mount.unmount import clear

log = logging.getLogger("vfs")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

DELAYS_SECONDS = (0.0, 1.0, 2.0, 4.0)
"""Before the first, second, ... restart within the window; one more death, and it gives up."""

WINDOW_SECONDS = 60.0

SLOW_SECONDS = 5.0
"""A start that takes so long and fails has waited, for a disk that hangs: no reason to give up."""


class Place(NamedTuple):
    """What is mounted where and how, as the daemon is to be told."""

    store: Path
    point: Path
    options: Sequence[str]
    read_only: bool


class Life(NamedTuple):
    """How one daemon's life went. `meant`: it was unmounted or told to end."""

    exit_code: int
    ready: bool
    meant: bool
    error: str | None
    seconds: float = 0.0

    def reason(self) -> str:
        """Why it ended, for a line in the log."""
        if self.exit_code < 0:
            return f"by {signal.Signals(-self.exit_code).name}"
        said = f": {self.error}" if self.error is not None else ""
        return f"with exit code {self.exit_code}{said}"

    def left_its_mount(self) -> bool:
        """Whether a dead mount is what is left of it. Only what ends without a word leaves one."""
        return self.ready and self.exit_code < 0


class Supervisor:
    """One supervised mount. `run` is its whole life."""

    def __init__(self, place: Place, pipe: ReadyPipe, *, foreground: bool) -> None:
        # constant
        self._place = place
        self._pipe = pipe
        self._foreground = foreground
        self._environment = daemon_environment()
        self._environment.pop(NOTIFY_VARIABLE, None)  # it is us whom systemd listens to
        # mutable
        self._daemon: trio.Process | None = None
        self._stopping = trio.Event()
        self._deaths: deque[float] = deque()
        self._restarts = 0
        self._over_dead = False  # the last life has left a dead mount

    def run(self) -> int:
        """Supervise until the daemon ends for good; its exit code. MountError when it could not begin."""
        os.chdir("/")  # no folder of whoever mounted is kept busy
        return trio.run(self._run)

    async def _run(self) -> int:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, signals)
                life = await self._keep_alive()
                nursery.cancel_scope.cancel()
        if not life.ready and self._restarts == 0 and life.error is not None:
            raise MountError(life.error)
        return life.exit_code if life.exit_code >= 0 else 128 - life.exit_code

    async def _pass_on(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            self._stopping.set()
            notify("STOPPING=1")
            if self._daemon is not None and self._daemon.poll() is None:
                self._daemon.send_signal(number)

    async def _keep_alive(self) -> Life:
        while True:
            life = await self._live()
            if self._stopping.is_set():
                return await self._stopped(life)
            if life.meant or not (life.ready or self._restarts):
                return life
            # One that has not come so far has not taken off either what the one before it had left.
            left_over = self._over_dead and not life.ready and self._has_mounts()
            self._over_dead = life.left_its_mount() or left_over
            delay = self._delay(life)
            if delay is None:
                log.error(
                    "supervisor: the daemon ended %s; given up, it was the death number %d within %g s;"
                    " see why, then mount again",
                    life.reason(),
                    len(self._deaths),
                    WINDOW_SECONDS,
                )
                return life
            self._restarts += 1
            later = f" in {delay:g} s" if delay else ""
            log.warning("supervisor: the daemon ended %s; restart %d%s", life.reason(), self._restarts, later)
            notify(f"STATUS=restart {self._restarts}: the daemon ended {life.reason()}")
            with trio.move_on_after(delay):
                await self._stopping.wait()
            meant = Life(0, ready=False, meant=True, error=None)
            if self._stopping.is_set():
                return await self._stopped(meant)
            if self._over_dead and not self._has_mounts():
                log.info("supervisor: %s", UNMOUNTED_MEANWHILE % self._place.point)
                return meant

    def _has_mounts(self) -> bool:
        return bool(mounts_of(self._place.store, read_mounts()))

    async def _stopped(self, life: Life) -> Life:
        """Told to end, and no daemon of ours serves: what the last one left is cleared. What is served there
        is the work of somebody who was faster than our next daemon."""
        with suppress(MountError):  # nobody waits for it
            await trio.to_thread.run_sync(clear, self._place.store, self._place.point)
        return life

    def _delay(self, life: Life) -> float | None:
        """How long to wait before the next start, None to give up."""
        if not life.ready and life.seconds >= SLOW_SECONDS:
            return DELAYS_SECONDS[-1]
        now = trio.current_time()
        self._deaths.append(now)
        while self._deaths[0] < now - WINDOW_SECONDS:
            self._deaths.popleft()
        number = len(self._deaths)
        return DELAYS_SECONDS[number - 1] if number <= len(DELAYS_SECONDS) else None

    # --- one life -----------------------------------------------------------------------------

    async def _live(self) -> Life:
        begin = trio.current_time()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        async with trio.lowlevel.FdStream(reading) as stream:
            try:
                self._daemon = await self._start(writing)
                if self._stopping.is_set():  # the signal came when there was nobody to pass it on to
                    self._daemon.send_signal(signal.SIGTERM)
            finally:
                os.close(writing)
            ready, meant, error = False, False, None
            async for message in _messages(stream):
                if "ready" in message:
                    ready = True
                    self._ready(message)
                meant = meant or "leaving" in message
                error = message.get("error", error)
            code = await self._daemon.wait()
        said = None if error is None else str(error)
        return Life(code, ready, meant, said, trio.current_time() - begin)

    async def _start(self, descriptor: int) -> trio.Process:
        place = self._place
        more = [f"--restarts={self._restarts}"]
        more += ["--over-dead"] * self._over_dead + ["--log-to-stderr"] * self._foreground
        command = daemon_command(place.store, place.point, place.options, place.read_only, descriptor, *more)
        return await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, pass_fds=(descriptor,), env=self._environment
        )

    def _ready(self, message: dict[str, object]) -> None:
        pid = message["pid"]
        notify(f"READY=1\nSTATUS=serving {self._place.point} by process {pid}, {self._restarts} restarts")
        if self._restarts:
            log.warning("supervisor: mounted again at %s by process %s", self._place.point, pid)
        else:
            log.info("supervisor: mounted at %s by process %s", self._place.point, pid)
            self._pipe.ready(int(str(pid)))


async def _messages(stream: trio.lowlevel.FdStream) -> AsyncIterator[dict[str, object]]:
    """What the daemon says until it ends."""
    rest = b""
    async for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield read_message(line)
