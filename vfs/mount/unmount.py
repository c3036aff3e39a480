"""Unmounting from outside: the mount goes, and the store is closed when this returns.

Promises that the daemon has nothing of the store open any more then, its log included, so that the disk
below it can be unmounted next; and to say exactly what was reached: closed cleanly, only detached, or a dead
mount cleared. Never looks at the mount's files, so that a mount that hangs does not hang the caller for good.
"""

import enum
import shlex
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path

from vfs.errors import MountError
from vfs.mount.client import ControlClient, DaemonGone, OnProgress, Refused
from vfs.mount.detach import detach
from vfs.mount.holders import find_holders
from vfs.mount.mountinfo import Mount, mounts_of, read_mounts, resolve, vfs_around, vfs_at
from vfs.mount.owner import find_owner, wait_until_free
from vfs.mount.probe import is_dead
from vfs.mount.process_end import ProcessEnd

LAZY_SECONDS = 3.0
"""How long a daemon is waited for whose mount somebody still seems to use."""

UNUSED_SECONDS = 15.0
"""The same when nobody is seen to use it: then it closes the store, be it with a long checkpoint."""

RELEASE_SECONDS = 60.0

ELSEWHERE_SECONDS = 10.0
"""How long a daemon is waited for whose mount another mount namespace has a copy of."""


class Outcome(enum.Enum):
    """What an unmount came to."""

    CLOSED = "the store is closed cleanly"
    DETACHED = "off the tree; the store is closed when the last program that uses it ends"
    STILL_ELSEWHERE = "off the tree here; the store stays mounted at another place"
    CLEARED = "its daemon had died; nothing that was acknowledged is lost"


class NotClosed(Refused):
    """The mount is off and its daemon ends, but the store was not closed cleanly; the daemon's words."""


def unmount(path: Path, *, lazy: bool = False, on_progress: OnProgress | None = None) -> Outcome:
    """Unmount the mount point. MountBusy when it is in use and not `lazy`, MountError when it cannot be."""
    mounts = read_mounts()
    point = resolve(path, mounts)
    mount = vfs_at(point, mounts)
    if mount is None:
        raise _not_a_mount_point(path, point, mounts)
    if not _answers(mount, mounts) and is_dead(point):
        return _clear(mount, mounts)
    copies = [other for other in mounts_of(mount.store, mounts) if other.device == mount.device]
    if len(copies) > 1:
        detach(point, lazy=lazy)
        return Outcome.STILL_ELSEWHERE
    if lazy:
        return _detach_lazily(mount, mounts)
    return _unmount_and_wait(mount, mounts, on_progress)


def _answers(mount: Mount, mounts: list[Mount]) -> bool:
    """Whether the daemon of a mount certainly lives, though it may hang: somebody listens for its store."""
    if len(mounts_of(mount.store, mounts)) > 1:
        return False  # who knows which of them it serves
    owner = find_owner(mount.store)
    if owner is not None and owner.is_dying():
        return False  # the kernel takes its word away next
    client = ControlClient.connect(mount.store)
    if client is None:
        return False
    with client:
        return True


def clear(store: Path, point: Path) -> None:
    """Take the store's mount off that point if its daemon has died; never one that is served. MountError when
    it cannot be."""
    mounts = read_mounts()
    mount = vfs_at(point, mounts)
    if mount is not None and mount.store == store and is_dead(point):
        _clear(mount, mounts)


def _clear(mount: Mount, mounts: list[Mount]) -> Outcome:
    with _owner_of(mount, mounts) as daemon:
        detach(mount.point, lazy=True)
        daemon.wait(LAZY_SECONDS)  # one that was killed may not have come to its end yet
    return Outcome.CLEARED


def _owner_of(mount: Mount, mounts: list[Mount]) -> ProcessEnd:
    """The process that owns the mount's store, if that is to end with the mount."""
    alone = len(mounts_of(mount.store, mounts)) == 1
    owner = find_owner(mount.store) if alone else None
    process = ProcessEnd(None if owner is None else owner.pid)
    now = find_owner(mount.store)
    if owner is None or now is None or now.pid != owner.pid:
        process.close()  # it has ended before we had hold of it: its number may be another's
    return process


def _detach_lazily(mount: Mount, mounts: list[Mount]) -> Outcome:
    with _owner_of(mount, mounts) as daemon:
        seconds = LAZY_SECONDS if find_holders(mount.point) else UNUSED_SECONDS
        detach(mount.point, lazy=True)
        ended = daemon.wait(seconds) if daemon.is_known else wait_until_free(mount.store, seconds)
    return Outcome.CLOSED if ended else Outcome.DETACHED


def _unmount_and_wait(mount: Mount, mounts: list[Mount], on_progress: OnProgress | None) -> Outcome:
    client = ControlClient.connect(mount.store)
    if client is None:
        return _unmount_unheard(mount, mounts)
    with client, ProcessEnd(client.pid) as daemon:
        # It must know that we wait before the unmount, or it could be gone before we ask.
        try:
            client.send("await_close")
        except DaemonGone:  # it was about to end, and has not heard us
            return _unmount_unheard(mount, mounts)
        if not _unmount_with(client, daemon, mount, on_progress):
            return Outcome.STILL_ELSEWHERE
        if not daemon.is_known:  # then it has only told that the store is closed
            _wait_until_free(mount)
    return Outcome.CLOSED


def _unmount_unheard(mount: Mount, mounts: list[Mount]) -> Outcome:
    """Unmount what has no control socket: the store lies on a read-only disk, or its daemon begins or ends at
    this moment. Without an owner, too, the mount is one of another user, which does not tell us that it is
    dead."""
    with _owner_of(mount, mounts) as daemon:
        owner = find_owner(mount.store)
        # In this order: an owner gives the store up after its mount has gone from the tree.
        dead = owner is None and mount.store.exists() and mount in read_mounts()
        detach(mount.point, lazy=dead)
        if owner is not None and not daemon.is_known:
            _wait_until_free(mount)
        elif not daemon.wait(RELEASE_SECONDS):
            raise _still_used(mount, str(owner))
    return Outcome.CLEARED if dead else Outcome.CLOSED


def _wait_until_free(mount: Mount) -> None:
    """For an owner whose process nobody can tell; one that comes after it is waited for as well."""
    if not wait_until_free(mount.store, RELEASE_SECONDS):
        raise _still_used(mount, str(find_owner(mount.store)))


def _unmount_with(
    client: ControlClient, daemon: ProcessEnd, mount: Mount, on_progress: OnProgress | None
) -> bool:
    """Unmount while the daemon tells how that goes, and return when its process has ended; False when it goes
    on, since another mount namespace has a copy of the mount."""
    try:
        closing = _begin(_closed, client, on_progress)
        _wait_until_off(_begin(detach, mount.point), closing)
        # Some go by themselves: of a program that begins with a copy of each mount, and leaves them.
        wait((closing,), ELSEWHERE_SECONDS if _is_served(mount.store) else None)
        if not closing.done() and _is_served(mount.store):
            return False
        closing.result()
    except DaemonGone:
        daemon.wait(RELEASE_SECONDS)
        raise MountError(
            f"the daemon of {mount.store} ended without closing it (see vfs.log in it); "
            "nothing that was acknowledged is lost, the next mount replays it"
        ) from None
    except NotClosed:
        client.close()
        daemon.wait(RELEASE_SECONDS)
        raise
    client.close()  # the daemon waits a moment for those whom it has answered
    if not daemon.wait(RELEASE_SECONDS):
        raise _still_used(mount, f"process {client.pid}")
    return True


def _closed(client: ControlClient, on_progress: OnProgress | None) -> None:
    error = client.result(on_progress).get("error")  # a daemon of an older version only tells that it is done
    if error is not None:
        raise NotClosed(str(error))


def _still_used(mount: Mount, owner: str) -> MountError:
    return MountError(
        f"{mount.point} is off the tree, but {owner} still uses {mount.store}; see vfs.log in it"
    )


def _begin(function: Callable[..., object], *arguments: object) -> Future[object]:
    """Call a function in a thread that nobody waits for at the end of the process, should it hang."""
    future: Future[object] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # raised by whoever waits for it, which would be for ever else
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def _wait_until_off(detaching: Future[object], closing: Future[object]) -> None:
    """Return when the mount is off the tree, raise as soon as one of the two fails.

    The kernel waits for a daemon that waits for a disk: then the daemon's word comes first.
    """
    pending = {detaching, closing}
    while detaching in pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()


def _is_served(store: Path) -> bool:
    """Whether the kernel has a mount of the store somewhere: it has ended the connection of one that has gone
    everywhere before whoever took it off hears of that."""
    with suppress(MountError, Refused):  # it ends, it hangs, or it is too old to know
        client = ControlClient.connect(store)
        if client is not None:
            with client:
                return client.ask("served").get("served") is True
    return False


def _not_a_mount_point(path: Path, point: Path, mounts: list[Mount]) -> MountError:
    as_store = mounts_of(point, mounts)
    if as_store:
        command = f"vfs umount {shlex.quote(str(as_store[-1].point))}"
        return MountError(f"{path} is a store; unmount it by its mount point: {command}")
    around = vfs_around(point, mounts)
    if around is not None:
        command = f"vfs umount {shlex.quote(str(around.point))}"
        return MountError(f"{path} lies inside a mount; give the mount point itself: {command}")
    return MountError(
        f"no store is mounted on {path}; what is mounted where is shown by: findmnt -t fuse.vfs"
    )
