"""Workloads of one kind of request each, for `python -m bench requests`.

Promises that the kernel answers none of the counted operations by itself, and asks for nothing else than what
the operation stands for: xattrs are off, data goes past the page cache, attributes are asked for by force.
It never times the making of what it reads.
"""

import ctypes
import mmap
import os
import stat
from collections.abc import Callable
from time import perf_counter

from bench.workload import PINNED, Cold, Measured, Place, Row, Workload, prepare_nothing
from bench.workloads_metadata import listed_folders, prepare_listed

PIECE_BYTES = 4096
AT_FDCWD = -100
AT_STATX_FORCE_SYNC = 0x2000
STATX_BASIC_STATS = 0x7FF
STATX_BYTES = 256
LIBC = ctypes.CDLL(None, use_errno=True)

NOXATTR = frozenset({"noxattr"})
"""So that nobody asks for extended attributes in between."""


def figure(operation: str) -> str:
    """What the rate of an operation is called, and the workload that measures it."""
    return f"request-{operation}"


def _rate(operation: str, operations: int, work: Callable[[], None]) -> Measured:
    begin = perf_counter()
    work()
    return Measured(operations, {figure(operation): operations / (perf_counter() - begin)})


def _look_up(place: Place) -> Measured:
    count = place.sizes.listed_entries
    paths = [f"{folder}/entry{number:06}" for folder in listed_folders(place) for number in range(count)]

    def work() -> None:
        for path in paths:
            os.stat(path)

    return _rate("lookup", len(paths), work)


def _get_attributes(place: Place) -> Measured:
    path = f"{place.folder}/file".encode()
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    answer = ctypes.create_string_buffer(STATX_BYTES)

    def work() -> None:
        for _ in range(place.sizes.files):
            if LIBC.statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, answer):
                raise OSError(ctypes.get_errno(), "statx", path)

    return _rate("getattr", place.sizes.files, work)


def _create(place: Place) -> Measured:
    paths = [f"{place.folder}/file{number:06}" for number in range(place.sizes.files)]

    def work() -> None:
        for path in paths:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    return _rate("create", len(paths), work)


def _piece(fill: bytes = b"") -> mmap.mmap:
    """Memory that may be written or read past the page cache."""
    memory = mmap.mmap(-1, PIECE_BYTES)
    memory[: len(fill)] = fill
    return memory


def _write(place: Place) -> Measured:
    piece = _piece(os.urandom(PIECE_BYTES))
    descriptor = os.open(f"{place.folder}/file", os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o644)

    def work() -> None:
        for number in range(place.sizes.files):
            os.pwritev(descriptor, [piece], number * PIECE_BYTES)

    try:
        return _rate("write", place.sizes.files, work)
    finally:
        os.close(descriptor)


def _prepare_data(place: Place) -> None:
    with open(f"{place.folder}/data", "wb") as file:
        file.write(os.urandom(PIECE_BYTES * place.sizes.files))


def _read(place: Place) -> Measured:
    piece = _piece()
    descriptor = os.open(f"{place.folder}/data", os.O_RDONLY | os.O_DIRECT)

    def work() -> None:
        for number in range(place.sizes.files):
            if os.preadv(descriptor, [piece], number * PIECE_BYTES) != PIECE_BYTES:
                raise OSError(f"a short read at piece {number}")

    try:
        return _rate("read", place.sizes.files, work)
    finally:
        os.close(descriptor)


def _list(place: Place) -> Measured:
    folders = listed_folders(place)

    def work() -> None:
        for folder in folders:
            if len(os.listdir(folder)) != place.sizes.listed_entries:
                raise OSError(f"not all of {folder} is listed")

    return _rate("readdir", len(folders), work)


def _clear(place: Place) -> None:
    """Let the next round of the same mount find the folder as small as this one."""
    for entry in os.scandir(place.folder):
        if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            os.unlink(entry.path)


def _workload(
    operation: str,
    measure: Callable[[Place], Measured],
    prepare: Callable[[Place], None] = prepare_nothing,
    cold: Cold = Cold.NOTHING,
) -> Workload:
    return Workload(
        figure(operation),
        (Row(figure(operation), "/s", budget_modes=PINNED),),
        measure,
        prepare,
        cleanup=_clear,
        cold=cold,
        modes=PINNED,
        targets=("floor", "vfs"),
        options=NOXATTR,
    )


OPERATIONS = {
    "lookup": _workload("lookup", _look_up, prepare_listed, Cold.NAMES),
    "getattr": _workload("getattr", _get_attributes),
    "create": _workload("create", _create),
    "write": _workload("write", _write),
    "read": _workload("read", _read, _prepare_data),
    "readdir": _workload("readdir", _list, prepare_listed, Cold.NAMES),
}
"""By the request that each is about."""
