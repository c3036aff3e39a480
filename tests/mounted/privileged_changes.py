"""A program that changes files with set-id bits and capabilities in every way, as one kind of user, in the
folder that it stands in, and prints what became of each as JSON: [errno, mode at once, mode after the close,
whether there are capabilities]. Its argument names the kind of user. Needs root."""

import ctypes
import json
import mmap
import os
import stat
import struct
import sys
import tempfile
from collections.abc import Callable

OWNER = 65534  # and its group
STRANGER = 1000
MODES = (
    *(0o4755, 0o6755, 0o2755, 0o6777, 0o4711, 0o4644, 0o755, 0o777),
    *(0o2745, 0o2644, 0o2766, 0o2676, 0o6745),  # some of which their group may not execute
)
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep
SIZE = 8192
CAP_FSETID = 4


def open_to_write(name: str, flags: int = 0) -> int:
    return os.open(name, os.O_RDWR | flags)


def write(flags: int, data: bytes) -> Callable[[str], int]:
    def change(name: str) -> int:
        handle = open_to_write(name, flags)
        os.write(handle, memoryview(mmap.mmap(-1, SIZE)) if flags & os.O_DIRECT else data)
        return handle

    return change


def resize(size: int) -> Callable[[str], int]:
    def change(name: str) -> int:
        handle = open_to_write(name)
        os.ftruncate(handle, size)
        return handle

    return change


def write_mapped(name: str) -> int:
    handle = open_to_write(name)
    with mmap.mmap(handle, SIZE) as mapping:
        mapping[0] = 65
    return handle


def copy_in(copy: Callable[[int, int], int]) -> Callable[[str], int]:
    def change(name: str) -> int:
        source, handle = os.open("source", os.O_RDONLY), open_to_write(name)
        assert copy(source, handle) == 100
        os.close(source)
        return handle

    return change


def allocate(name: str) -> int:
    handle = open_to_write(name)
    os.posix_fallocate(handle, 0, 2 * SIZE)
    return handle


def chown(uid: int, gid: int) -> Callable[[str], None]:
    return lambda name: os.chown(name, uid, gid)


CHANGES: dict[str, Callable[[str], int | None]] = {
    "write": write(0, b"x"),
    "append": write(os.O_APPEND, b"x"),
    "synchronous write": write(os.O_SYNC, b"x"),
    "write of a page": write(0, b"x" * 4096),
    "large write": write(0, b"x" * 300_000),
    "direct write": write(os.O_DIRECT, b""),
    "empty write": write(0, b""),
    "copy_file_range": copy_in(lambda source, handle: os.copy_file_range(source, handle, 100)),
    "sendfile": copy_in(lambda source, handle: os.sendfile(handle, source, 0, 100)),
    "posix_fallocate": allocate,
    "mapped write": write_mapped,
    "open with O_TRUNC": lambda name: open_to_write(name, os.O_TRUNC),
    "truncate": lambda name: os.truncate(name, 1),
    "truncate to the same size": lambda name: os.truncate(name, SIZE),
    "ftruncate": resize(3),
    "ftruncate to more": resize(3 * SIZE),
    "chown to the owner": chown(OWNER, -1),
    "chown to the group": chown(-1, OWNER),
    "chown to nobody else": chown(-1, -1),
    "new times": lambda name: os.utime(name),
    "reading": lambda name: os.open(name, os.O_RDONLY),
}


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def drop_fsetid() -> None:
    """Give up CAP_FSETID, and nothing else."""
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    for number in (0, 1):
        sets[number] &= ~(1 << CAP_FSETID)
    assert libc.capset(header, sets) == 0


USERS: dict[str, Callable[[], None]] = {
    "root": lambda: None,
    "root without CAP_FSETID": drop_fsetid,
    "the owner": lambda: become(OWNER, OWNER),
    "the owner in another group": lambda: become(OWNER, STRANGER),
    "one of the group": lambda: become(STRANGER, OWNER),
    "a stranger": lambda: become(STRANGER, STRANGER),
}


def name_of(change: str, mode: int, capable: bool) -> str:
    """What the file is called to which that is done."""
    return f"{change}, {mode:04o}{', capable' if capable else ''}"


def prepare(name: str, mode: int, capable: bool) -> None:
    with open(name, "wb") as file:
        file.write(b"." * SIZE)
    os.chown(name, OWNER, OWNER)
    os.chmod(name, mode)
    if capable:
        os.setxattr(name, "security.capability", CAPABILITY)


def mode_of(name: str) -> int:
    return stat.S_IMODE(os.stat(name).st_mode)


def outcome(name: str, change: Callable[[str], int | None]) -> list[object]:
    handle, error = None, 0
    try:
        handle = change(name)
    except OSError as refusal:
        error = refusal.errno or -1
    at_once = mode_of(name)
    if handle is not None:
        os.close(handle)
    return [error, at_once, mode_of(name), "security.capability" in os.listxattr(name)]


def main(user: str) -> None:
    with open("source", "wb") as file:
        file.write(b"s" * 200)
    cases = {
        name_of(change, mode, capable): (change, mode, capable)
        for change in CHANGES
        for mode in MODES
        for capable in (False, True)
    }
    for name, (_, mode, capable) in cases.items():
        prepare(name, mode, capable)
    with tempfile.TemporaryFile("w+") as results:
        child = os.fork()
        if not child:
            USERS[user]()
            json.dump({name: outcome(name, CHANGES[case[0]]) for name, case in cases.items()}, results)
            results.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        results.seek(0)
        print(results.read())


if __name__ == "__main__":
    os.umask(0)
    main(sys.argv[1])
