"""The life of the process that serves a mount: open, attach, serve, leave.

Promises that a mount never outlives it except by SIGKILL: whatever ends it, a signal, an unmount or an
exception, the mount goes first and the store is closed after it, cleanly where that is possible.

Concurrency: everything runs in the trio thread, but for the control socket, which has a thread of its own,
unmounting (a program that the kernel makes wait for us) and the last checkpoint, which no request competes
with any more. Order of leaving, and why:
1. requests end: the mount is off the tree, or the kernel's connection is over
2. the background work and the control verbs that use the store end
3. the control socket's name goes, while the lock still keeps a successor from making its own
4. the store is closed; its lock stays ours as long as this process can write anything, be it a last line
5. those who waited for that are told
"""

import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pyfuse3
import trio

from vfs.errors import MountError, StoreError, StoreFailed, VfsError
from vfs.filesystem import FileSystem, open_filesystem
from vfs.mount.acting import Acting
from vfs.mount.adapter import Adapter
from vfs.mount.automatic import Automatic
from vfs.mount.control import Progress, Verb
from vfs.mount.control_thread import ControlThread
from vfs.mount.detach import MountBusy
from vfs.mount.healing import clear_dead
from vfs.mount.kernel import KernelMount
from vfs.mount.launcher import UNMOUNTED_MEANWHILE, ReadyPipe
from vfs.mount.logs import DaemonLog
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.options import MountOptions
from vfs.mount.pages import Pages
from vfs.mount.preconditions import NotEmpty, check_point
from vfs.mount.reading import SPARE_TASKS, taking_turns
from vfs.mount.rollback_verbs import RollbackVerbs
from vfs.mount.tuning import tune_process
from vfs.mount.verbs import Ending, Verbs
from vfs.mount.watch import Watch

log = logging.getLogger("vfs")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LEAVE_SECONDS = 10.0
"""An unmount ends the connection at once, unless another mount namespace keeps a copy of the mount."""


class Greeted(Adapter):
    """The adapter, and the moment from which the kernel's requests come."""

    def __init__(self, fs: FileSystem, options: MountOptions) -> None:
        super().__init__(fs, options)
        self.greeted = trio.Event()

    def init(self) -> None:
        # The answer leaves before any other task runs, so whoever waits for this finds it given.
        super().init()
        self.greeted.set()


class Daemon:
    """One mount of one store. `run` is its whole life."""

    def __init__(
        self,
        store: Path,
        point: Path,
        options: MountOptions,
        daemon_log: DaemonLog,
        pipe: ReadyPipe,
        *,
        restarts: int | None = None,
        over_dead: bool = False,
    ) -> None:
        # constant
        self._store = store
        self._point = point
        self._options = options
        self._log = daemon_log
        self._pipe = pipe
        self._restarts = restarts  # how often our supervisor has done that; None without one
        self._over_dead = over_dead  # the last one has left its mount, which is to be served again
        self._parent = os.getppid()
        # mutable
        self._early: list[int] = []  # signals that came before the loop
        self._stop_wanted = False
        self._wake_stopper = trio.Event()
        self._left = trio.Event()  # set: no session of pyfuse3 may be touched any more
        self._ending = Ending()
        self._close_error: str | None = None

    def run(self) -> None:
        """Serve until unmounted. VfsError when that could not begin, or did not end cleanly."""
        try:
            self._run()
        except (VfsError, KeyboardInterrupt):  # ctrl-C while the store is opened: there is no mount yet
            raise
        except BaseException:
            self._log.open(self._store)
            log.critical("the daemon ends by an unexpected error", exc_info=True)
            raise

    def _run(self) -> None:
        fs = open_filesystem(self._store, **self._options.for_filesystem())
        fs.store.keep_lock()  # whoever prints our error prints it into its log, which the next owner rotates
        try:
            self._log.open(self._store)
            log.info("opened %s%s", self._store, " read-only" if fs.read_only else "")
            self._serve(fs)
        finally:
            fs.close()  # idempotent: closed already unless something went wrong
        log.info("closed %s", self._store)

    def _serve(self, fs: FileSystem) -> None:
        self._adapter = Greeted(fs, self._options)
        if not self._take_place():
            log.info(UNMOUNTED_MEANWHILE, self._point)
            self._pipe.leaving()
            return
        # A signal that comes before trio can take it waits: it must not leave a mount behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # Threads that live already (what unlinks chunks, a probe that hangs) take it all the same.
        for number in SIGNALS:
            signal.signal(number, self._note_early)
        self._mount = KernelMount.attach(self._adapter, self._store, self._point, self._options)
        try:
            os.chdir("/")
            tune_process()
            trio.run(self._live, fs)
        except BaseExceptionGroup as group:
            raise _expected(group) or group from group
        finally:
            # Until the process has ended: a second one, late, would make a clean end look like a failure.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._mount.remove()
        if self._close_error is not None:
            raise StoreError(self._close_error)

    def _take_place(self) -> bool:
        """Clear what a dead daemon left, as late as can be: until we are there, the folder below shows.

        False when it was left to us and is gone: somebody has unmounted it meanwhile."""
        cleared = clear_dead(self._store)
        if self._over_dead and not cleared and not mounts_of(self._store, read_mounts()):
            return False
        again = cleared or bool(self._restarts)
        try:
            check_point(self._point, read_mounts())
        except NotEmpty:
            if not again:
                raise
            # A program that went on writing found it. To refuse would leave all programs there for good.
            log.warning(
                "what was written into the folder %s while nothing was mounted is hidden", self._point
            )
        return True

    async def _live(self, fs: FileSystem) -> None:
        adapter = self._adapter
        pages = self._pages = Pages(self._store, adapter.open_files)
        self._rollbacks = RollbackVerbs(
            fs,
            self._mount.device,
            pages=pages,
            committer=adapter.committer,
            nodes=adapter.nodes,
            listings=adapter.listings,
        )
        acting = Acting(fs, adapter.committer, pages, adapter.nodes.node)
        self._automatic = Automatic(fs, acting, pages)
        verbs = Verbs(
            fs,
            self._store,
            committer=adapter.committer,
            packer=adapter.packer,
            rollbacks=self._rollbacks,
            acting=acting,
            automatic=self._automatic,
            nodes=adapter.nodes,
            pages=pages,
            ending=self._ending,
        )
        served = {"served": Verb(self._served, outlives=True)}
        control = ControlThread(self._store, {**verbs.verbs(), **served}, self._watch(fs))
        with trio.open_signal_receiver(*SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            for number in self._early:
                signal.raise_signal(number)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                nursery.start_soon(self._stopper)
                try:
                    await self._start_control(nursery, control)
                    await self._serve_kernel()
                finally:
                    with trio.CancelScope(shield=True):
                        await self._leave(fs, control)
                nursery.cancel_scope.cancel()

    def _watch(self, fs: FileSystem) -> Watch:
        begin = time.monotonic()
        options = msgspec.to_builtins(self._options)
        facts = {
            "pid": os.getpid(),
            "store": str(self._store),
            "mountpoint": str(self._point),
            "options": {name: value for name, value in options.items() if name != "kernel_flags"},
            "kernel": None if self._mount.agreed is None else self._mount.agreed._asdict(),
        }

        def activity() -> dict[str, Any]:
            return {"mounted_seconds": round(time.monotonic() - begin, 3), **self._adapter.activity()}

        def changing() -> dict[str, Any]:
            return {
                **fs.glance(),
                "supervisor_pid": self._supervisor(),
                "restarts": self._restarts,
            }

        return Watch(facts, changing, lambda: self._adapter.waiting, activity, self._mount.device)

    async def _served(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """For whoever has unmounted: whether the mount shows somewhere else, and we go on."""
        return {"served": self._mount.is_connected()}

    def _supervisor(self) -> int | None:
        """The process that starts us again, if there is one and it lives."""
        return self._parent if self._restarts is not None and os.getppid() == self._parent else None

    async def _start_control(self, nursery: trio.Nursery, control: ControlThread) -> None:
        try:
            await control.start(nursery)
        except MountError as error:
            if not self._options.read_only:
                raise
            log.warning("no control socket: %s", error)  # a store on a read-only disk has no place for one

    async def _serve_kernel(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._adapter.background)
            nursery.start_soon(self._say_ready)
            nursery.start_soon(self._automatic.run)
            try:
                with taking_turns(lambda: not self._adapter.waiting):
                    await pyfuse3.main(min_tasks=SPARE_TASKS)
            except* ConnectionAbortedError:
                # The kernel took the mount away while a request was on its way to us (fuse_dev_do_read): an
                # end like ENODEV, which libfuse takes for one.
                log.info("the kernel has ended the connection")
            self._pipe.leaving()
            self._left.set()
            nursery.cancel_scope.cancel()

    async def _say_ready(self) -> None:
        await self._adapter.greeted.wait()
        self._mount.tune()
        log.info("mounted %s at %s", self._store, self._point)
        self._pipe.ready()

    async def _leave(self, fs: FileSystem, control: ControlThread) -> None:
        self._left.set()
        self._rollbacks.end()
        self._mount.remove()
        await control.withdraw()
        # What a client is told should anything but a VfsError come.
        self._close_error = f"unexpected error while closing {self._store}; the traceback is in its vfs.log"
        try:
            await trio.to_thread.run_sync(fs.close)
            self._close_error = None if fs.log.failed is None else after_failure(fs.log.failed)
        except VfsError as error:
            self._close_error = str(error)
        finally:
            if self._close_error is not None:
                log.error("not closed cleanly: %s", self._close_error)
            self._ending.closed(self._close_error)
            await control.finish()

    # --- being ended ------------------------------------------------------------------------

    def _note_early(self, number: int, _: object) -> None:
        self._early.append(number)

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if self._stop_wanted:
                log.info("%s: unmounting already", name)
            else:
                log.info("%s: unmounting", name)
                self._want_stop()

    def _want_stop(self) -> None:
        self._stop_wanted = True
        self._pipe.leaving()
        self._wake_stopper.set()

    async def _stopper(self) -> None:
        """Unmount when asked to. Requests are served meanwhile: the kernel has pages to write."""
        await self._wake_stopper.wait()
        try:
            await trio.to_thread.run_sync(self._mount.detach)
            with trio.move_on_after(LEAVE_SECONDS):
                await self._left.wait()
                return
            log.warning("another mount namespace still shows %s: it ends there too", self._point)
        except MountBusy as busy:
            users = ", ".join(busy.users) or "by an unknown process"
            log.warning("%s is in use (%s): what is open there ends with this daemon", self._point, users)
            with suppress(MountError):  # it has waited long enough
                await self._pages.hand_over()
        except MountError as error:
            log.error("%s", error)
        if not self._left.is_set():
            pyfuse3.terminate()


def after_failure(failure: StoreFailed) -> str:
    """What whoever unmounts a store that has failed is told."""
    return (
        f"unmounted, but the store had failed: {failure.reason}; what was synced before is kept; "
        "check the disk, then mount again"
    )


def _expected(group: BaseExceptionGroup[BaseException]) -> VfsError | None:
    """The error in a group that holds nothing but errors raised on purpose."""
    expected, unexpected = group.split(VfsError)
    error: BaseException | None = expected if unexpected is None else None
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, VfsError) else None
