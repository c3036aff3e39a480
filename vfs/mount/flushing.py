"""Has the kernel hand over what programs have written to a mount, by sync(1).

Promises an answer in about a minute, whatever the kernel waits for. The call is always made by another
program: a thread of the daemon that waits in the kernel for the daemon itself could keep the daemon from
dying, and the mount with it. Never reads or writes what lies in the mount.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vfs.errors import MountError
from vfs.mount.programs import Ended, run

FLUSHER = "sync"

FLUSH_SECONDS = 60.0
FORGET_SECONDS = 10.0

NOT_OURS = ": Permission denied"
LEASED = ": Resource temporarily unavailable"
"""How sync(1) says so."""

NO_ROOM = ": No space left on device"
"""The same, of pages that found no room: now, or before anybody asked."""

FILES_AT_ONCE = 500
"""Of which one program is told; with the longest mount point they are 2 MB."""

LOOK_SECONDS = 0.05


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
        done = run([sync, "-f", "--", str(point)], FLUSH_SECONDS)
        _refuse_full_disk([done])
        if done.code:
            return False
        while names:
            commands = _of_names(sync, point, names)
            ended = [run(command, max(0.0, end - time.monotonic())) for command in commands]
            _refuse_full_disk(ended)
            if not all(map(_has_come, ended)):
                return False
            names = [name for one in ended for name in _leased(one, names)]
            if names:
                time.sleep(LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


def _refuse_full_disk(ended: Sequence[Ended]) -> None:
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
                run(command, FORGET_SECONDS)


def _of_names(sync: str, point: Path, names: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), FILES_AT_ONCE):
        yield [sync, "--", *(str(point / name) for name in names[first : first + FILES_AT_ONCE])]


def _has_come(ended: Ended) -> bool:
    """Whether all that a program was told to have written has come, but for files that it may not open, or
    not yet."""
    complaints = ended.words.splitlines()
    return not ended.code or bool(
        complaints and all(line.endswith((NOT_OURS, LEASED)) for line in complaints)
    )


def _leased(ended: Ended, names: Sequence[str]) -> Iterator[str]:
    """Those that the kernel asks back from a program that has a lease of them (fcntl(2), F_SETLEASE).

    It takes them away itself after /proc/sys/fs/lease-break-time."""
    asked = {line for line in ended.words.splitlines() if line.endswith(LEASED)}
    return (name for name in names if any(name in line for line in asked))
