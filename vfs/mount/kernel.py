"""The mount as the kernel has it, from pyfuse3's init to the end of the connection.

Promises that what `attach` made is gone from the tree after `remove`, however the daemon's life went and
wherever it shows by then, unless somebody has mounted something over it; and that a mount which the kernel
refuses is an error with its reason. Never takes off another mount, which may have come there a moment ago.
There is one at a time in a process, since pyfuse3 keeps its session in a module variable.
"""

import logging
import os
import select
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyfuse3

from vfs.errors import MountError
from vfs.mount.detach import detach
from vfs.mount.handshake import sessions, shake_hands
from vfs.mount.init_messages import Agreed
from vfs.mount.mountinfo import mount_at, mounts_of, read_mounts
from vfs.mount.options import MountOptions
from vfs.mount.preconditions import taken_by
from vfs.mount.reading import seen_by_pyfuse3
from vfs.mount.tuning import tune_mount

log = logging.getLogger("vfs")


class KernelMount:
    """A mount of ours."""

    def __init__(self, store: Path, device: str | None, made: Collection[int] = ()) -> None:
        self._store = store
        self.device = device  # as in mountinfo
        self._sessions = made  # the descriptors over which we speak with the kernel: one
        # At once: at the end there may be no descriptor left.
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.agreed: Agreed | None = None  # with the kernel, as far as we know
        self._attached = True

    @classmethod
    def attach(
        cls, operations: pyfuse3.Operations, store: Path, point: Path, options: MountOptions
    ) -> "KernelMount":
        """Mount; MountError with what libfuse said. Requests wait until pyfuse3.main runs."""
        said: list[str] = []
        before = sessions()
        try:
            with _captured_stderr(said):
                pyfuse3.init(operations, os.fspath(point), options.for_kernel(store))
        except RuntimeError as error:
            reason = "; ".join(said) or str(error)
            hint = "in a container it needs --device /dev/fuse --cap-add SYS_ADMIN"
            raise MountError(f"cannot mount on {point}: {reason} ({hint})") from error
        for line in said:
            log.warning("libfuse: %s", line)
        made = sessions() - before
        mounts = read_mounts()
        ours = [mount for mount in mounts_of(store, mounts) if mount.point == point]
        attached = cls(store, ours[-1].device if ours else None, made)
        try:
            for mount in mounts:
                # Two who have found the folder free: the kernel lays one over the other, and that one goes.
                if ours and mount.number == ours[-1].parent and mount.point == point:
                    raise taken_by(mount)
            with seen_by_pyfuse3():
                attached.agreed = shake_hands(made)
        except BaseException:
            attached.remove()
            raise
        return attached

    def tune(self) -> None:
        """Set what the kernel reads ahead, and keeps of writes, once it has had our first answer.

        At that it sets its own, and that is waited for elsewhere. To ask our own mount for anything, to find
        out, would be a trap: a thread that waits in the kernel for this process keeps it from leaving, and
        even from being killed.
        """
        if self.device is not None:
            tune_mount(self.device)

    def detach(self) -> None:
        """Take the mount off while it is served, as `detach.detach` does; nothing when it has gone."""
        while (place := self._place()) is not None:
            detach(place)

    def is_connected(self) -> bool:
        """Whether the kernel has the mount somewhere, be it in another mount namespace alone."""
        poll = select.poll()
        for descriptor in self._sessions:
            poll.register(descriptor, 0)
        return self._attached and not poll.poll(0)  # what has no connection any more is an error (POLLERR)

    def remove(self) -> None:
        """Take the mount off and end the connection: whoever still uses it gets errors. Idempotent."""
        if not self._attached:
            return
        self._attached = False
        self._cut()
        try:
            while (place := self._place()) is not None:
                detach(place, lazy=True)
        except MountError as error:
            log.error("%s", error)

    def _cut(self) -> None:
        """End the connection, and leave the session to the end of the process: a thread may be about to tell
        the kernel something at this moment, over a descriptor whose number no file of the store must get."""
        for descriptor in self._sessions:
            os.dup2(self._nothing, descriptor, inheritable=False)

    def _place(self) -> Path | None:
        """Where a look ends at our mount: also below a renamed folder, and at one of several copies (mount
        --bind), which may hide each other."""
        mounts = read_mounts()
        # The device alone is not enough: the kernel gives its number to the next mount once ours has gone.
        # But nobody else mounts our store as long as we own it.
        ours = (mount for mount in mounts_of(self._store, mounts) if mount.device == self.device)
        return next((mount.point for mount in ours if mount_at(mount.point, mounts) == mount), None)


@contextmanager
def _captured_stderr(lines: list[str]) -> Iterator[None]:
    """Collect what C code and its child processes print: libfuse gives its reasons only there."""
    kept = os.dup(2)
    captured = os.memfd_create("stderr")
    os.dup2(captured, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        text = os.pread(captured, 1 << 16, 0).decode("utf-8", errors="replace")
        os.close(captured)
        lines.extend(line.strip() for line in text.splitlines() if line.strip())
