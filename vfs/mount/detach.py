"""Takes a mount off the tree.

Promises that it is gone from the tree when `detach` returns. The system call is always made by another
program: a thread of the daemon that waits in the kernel for the daemon itself could keep the daemon from
dying, and the mount with it. Never touches what lies under the mount point.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vfs.errors import MountError
from vfs.mount.holders import Holder, find_holders
from vfs.mount.mountinfo import Mount, mount_at, read_mounts
from vfs.mount.preconditions import FUSERMOUNT

FLUSHER = "sync"

LAZY_SECONDS = 60.0
FLUSH_SECONDS = 60.0
FORGET_SECONDS = 10.0

NOT_OURS = ": Permission denied"
LEASED = ": Resource temporarily unavailable"
"""How sync(1) says so."""

NO_ROOM = ": No space left on device"
"""The same, of pages that found no room: now, or before anybody asked."""

FILES_AT_ONCE = 500
"""Of which one program is told; with the longest mount point they are 2 MB."""

PASSING_SECONDS = 30.0
"""How long programs are waited for that only have the kernel hand over its pages: the daemon itself starts
them, for a snapshot or a rollback, and they end by themselves."""

UNSEEN_SECONDS = 10.0
"""How long in a row a mount is tried again that is busy and has no user when we look: it has just ended, or
closes a file whose pages the kernel hands over first."""

LOOK_SECONDS = 0.05


class MountBusy(MountError):
    """Some process uses the mount, so that only a lazy detach can take it off."""

    def __init__(self, point: Path, users: list[str]) -> None:
        self.point = point
        self.users = users
        who = f"by {', '.join(users)}" if users else "by a process that /proc does not show to you"
        super().__init__(f"{point} is in use {who}; end that, or detach it with --lazy")


def detach(point: Path, *, lazy: bool = False) -> None:
    """Unmount what shows at `point` (resolved). What the kernel still holds of it is written first.

    `lazy` takes it from the tree although it is in use; the users keep what they have open. MountBusy
    when it is in use and does not become free by itself, MountError when it cannot be done.
    """
    before = mount_at(point, read_mounts())
    busy_at = seen_at = 0.0  # since when somebody uses it, and when that was last somebody whom we see
    while before is not None:
        tried_at = time.monotonic()
        if not _is_busy(point, before, lazy=lazy):
            return
        users = _users(point)
        busy_at = busy_at or tried_at
        seen_at = tried_at if users or not seen_at else seen_at
        if users and (not _are_passing(users) or tried_at > busy_at + PASSING_SECONDS):
            raise MountBusy(point, [str(user) for user in users])
        if tried_at > seen_at + UNSEEN_SECONDS:
            raise MountBusy(point, [])
        time.sleep(LOOK_SECONDS)


def _is_busy(point: Path, before: Mount, *, lazy: bool) -> bool:
    """Try once: False when the mount has gone, True when somebody uses it."""
    try:
        done = _run(_command(point, lazy), LAZY_SECONDS if lazy else None)
    except TimeoutError:
        raise MountError(
            f"{point} cannot be detached: the kernel waits for its daemon; kill that daemon"
        ) from None
    now = mount_at(point, read_mounts())
    if now is None or now.number != before.number:
        return False  # also when somebody else was faster
    said = done.words.strip().replace("\n", "; ")
    if "busy" in said:
        return True
    raise MountError(f"cannot unmount {point}: {said or f'exit code {done.code}'}; try as its owner or root")


def flush_pages(point: Path, names: Sequence[str] = ()) -> bool:
    """Have the kernel write what programs have written to the mount and it still keeps; True if all came.

    That it has come is certain of the files with these names in the root alone (see `OpenFiles`), if we may
    open them: root may, and a user all but those of others and those without any permission. MountError when
    the disk was too full for some of it, which the kernel has thrown away then and tells of once.
    """
    sync = shutil.which(FLUSHER)
    if sync is None:
        return False
    end = time.monotonic() + FLUSH_SECONDS
    try:
        done = _run([sync, "-f", "--", str(point)], FLUSH_SECONDS)
        _refuse_full_disk([done])
        if done.code:
            return False
        while names:
            commands = _of_names(sync, point, names)
            ended = [_run(command, max(0.0, end - time.monotonic())) for command in commands]
            _refuse_full_disk(ended)
            if not all(map(_has_come, ended)):
                return False
            names = [name for one in ended for name in _leased(one, names)]
            if names:
                time.sleep(LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


def _refuse_full_disk(ended: Sequence["_Ended"]) -> None:
    if any(NO_ROOM in said.words for said in ended):
        raise MountError(
            "the disk that holds the store was too full for all that programs have written; make room there, "
            "then try again"
        )


def forget_names(point: Path, names: Sequence[str]) -> None:
    """Have the kernel let go of what such names led to, now that they lead nowhere: it keeps each name, and
    the inode with it, until it is looked for again. To tell it of them would be a call that a killed daemon
    may hang in."""
    sync = shutil.which(FLUSHER)
    if sync is not None:
        with suppress(TimeoutError):
            for command in _of_names(sync, point, names):
                _run(command, FORGET_SECONDS)


def _of_names(sync: str, point: Path, names: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), FILES_AT_ONCE):
        yield [sync, "--", *(str(point / name) for name in names[first : first + FILES_AT_ONCE])]


def _has_come(ended: "_Ended") -> bool:
    """Whether all that a program was told to have written has come, but for files that it may not open, or
    not yet."""
    complaints = ended.words.splitlines()
    return not ended.code or bool(
        complaints and all(line.endswith((NOT_OURS, LEASED)) for line in complaints)
    )


def _leased(ended: "_Ended", names: Sequence[str]) -> Iterator[str]:
    """Those that the kernel asks back from a program that has a lease of them (fcntl(2), F_SETLEASE).

    It takes them away itself after /proc/sys/fs/lease-break-time."""
    asked = {line for line in ended.words.splitlines() if line.endswith(LEASED)}
    return (name for name in names if any(name in line for line in asked))


def _command(point: Path, lazy: bool) -> list[str]:
    helper = shutil.which(FUSERMOUNT)
    if helper is not None:
        return [helper, "-u", *(["-z"] if lazy else []), "--", str(point)]
    umount = shutil.which("umount") if os.geteuid() == 0 else None
    if umount is not None:
        # -c: do not look at the path, which a mount that hangs would not survive.
        return [umount, "-i", "-n", "-c", *(["-l"] if lazy else []), "--", str(point)]
    raise MountError(f"{FUSERMOUNT} is not installed; install it with: apt install fuse3")


class _Ended(NamedTuple):
    code: int
    words: str


def _run(command: list[str], timeout_seconds: float | None) -> _Ended:
    """Run a command. TimeoutError when it takes longer: it is killed then, but not waited for.

    A program that hangs in the kernel dies only when the mount's connection ends, and that may be for our
    caller to do.
    """
    with tempfile.TemporaryFile() as words:
        # A session of its own, so that a ctrl-C meant for us does not end it halfway.
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            code = program.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            threading.Thread(target=program.wait, daemon=True).start()
            raise TimeoutError(f"{command[0]} takes too long") from None
        words.seek(0)
        return _Ended(code, words.read().decode("utf-8", errors="replace"))


def _users(point: Path) -> Sequence[Holder | str]:
    inner = [mount for mount in read_mounts() if point in mount.point.parents]
    return [f"a mount at {mount.point}" for mount in inner] or find_holders(point)


def _are_passing(users: Sequence[Holder | str]) -> bool:
    return all(isinstance(user, Holder) and user.name == FLUSHER for user in users)
