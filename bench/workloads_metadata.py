"""Workloads on names: create, mkdir, rename, unlink, first look-up, listing.

Promises one system call per counted operation (create: open, write of 4 KiB, close).
It never times the making of the trees that it reads.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable

from bench.workload import BOTH, PINNED, Cold, Measured, Place, Row, Workload

FILE_BYTES = 4096
AT_LEAST = 0.75


def _rate(name: str, operations: int, work: Callable[[], None]) -> Measured:
    begin = time.perf_counter()
    work()
    return Measured(operations, {name: operations / (time.perf_counter() - begin)})


def _names(place: Place, prefix: str) -> list[str]:
    return [f"{place.folder}/{prefix}{number:06}" for number in range(place.sizes.files)]


def _make_files(paths: Iterable[str]) -> None:
    for path in paths:
        os.mknod(path, stat.S_IFREG | 0o644)


def _create(place: Place) -> Measured:
    paths = _names(place, "file")
    data = os.urandom(FILE_BYTES * len(paths))
    pieces = [data[start : start + FILE_BYTES] for start in range(0, len(data), FILE_BYTES)]

    def work() -> None:
        for path, piece in zip(paths, pieces, strict=True):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(descriptor, piece)
            os.close(descriptor)

    return _rate("create", len(paths), work)


def _mkdir(place: Place) -> Measured:
    paths = _names(place, "folder")

    def work() -> None:
        for path in paths:
            os.mkdir(path)

    return _rate("mkdir", len(paths), work)


def _prepare_files(place: Place) -> None:
    _make_files(_names(place, "file"))


def _rename(place: Place) -> Measured:
    pairs = list(zip(_names(place, "file"), _names(place, "renamed"), strict=True))

    def work() -> None:
        for old, new in pairs:
            os.rename(old, new)

    return _rate("rename", len(pairs), work)


def _unlink(place: Place) -> Measured:
    paths = _names(place, "file")

    def work() -> None:
        for path in paths:
            os.unlink(path)

    return _rate("unlink", len(paths), work)


# -- the tree that look-ups and listings share ---------------------------------------------------


def listed_folders(place: Place) -> list[str]:
    """The folders that are looked up in and listed."""
    return [f"{place.shared}/listed{number}" for number in range(place.sizes.listed_folders)]


def _large(place: Place) -> str:
    return f"{place.shared}/large"


def _prepare_folder(folder: str, entries: int) -> None:
    if os.path.isdir(folder):
        return
    os.mkdir(folder)
    _make_files(f"{folder}/entry{number:06}" for number in range(entries))


def prepare_listed(place: Place) -> None:
    """Make them, if they are not there yet."""
    for folder in listed_folders(place):
        _prepare_folder(folder, place.sizes.listed_entries)


def _prepare_large(place: Place) -> None:
    _prepare_folder(_large(place), place.sizes.large_folder_entries)


def _look_up(name: str) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        count = place.sizes.listed_entries
        paths = [f"{folder}/entry{number:06}" for folder in listed_folders(place) for number in range(count)]

        def work() -> None:
            for path in paths:
                os.stat(path)

        return _rate(name, len(paths), work)

    return measure


def _list(name: str, folders_of: Callable[[Place], list[str]]) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        folders = folders_of(place)
        seen: list[str] = []

        def work() -> None:
            for folder in folders:
                seen.extend(os.listdir(folder))

        begin = time.perf_counter()
        work()
        seconds = time.perf_counter() - begin
        return Measured(len(seen), {name: len(seen) / seconds})

    return measure


def _row(name: str, unit: str = "/s") -> tuple[Row]:
    return (Row(name, unit, at_least=AT_LEAST, budget_modes=PINNED),)


WORKLOADS = (
    Workload("create", _row("create"), _create, modes=BOTH),
    Workload("mkdir", _row("mkdir"), _mkdir, modes=BOTH),
    Workload("rename", _row("rename"), _rename, _prepare_files, modes=BOTH),
    Workload("unlink", _row("unlink"), _unlink, _prepare_files, modes=BOTH),
    Workload("lookup", _row("lookup"), _look_up("lookup"), prepare_listed, cold=Cold.NAMES, modes=BOTH),
    Workload(
        "lookup-remounted",
        _row("lookup-remounted"),
        _look_up("lookup-remounted"),
        prepare_listed,
        cold=Cold.MOUNT,
        modes=BOTH,
        targets=("floor", "vfs"),
    ),
    Workload(
        "readdir-1000",
        _row("readdir-1000", "entries/s"),
        _list("readdir-1000", listed_folders),
        prepare_listed,
        cold=Cold.NAMES,
        modes=BOTH,
    ),
    Workload(
        "readdir-10000",
        _row("readdir-10000", "entries/s"),
        _list("readdir-10000", lambda place: [_large(place)]),
        _prepare_large,
        cold=Cold.NAMES,
        modes=BOTH,
    ),
    Workload(
        "readdir-10000-remounted",
        _row("readdir-10000-remounted", "entries/s"),
        _list("readdir-10000-remounted", lambda place: [_large(place)]),
        _prepare_large,
        cold=Cold.MOUNT,
        modes=BOTH,
        targets=("floor", "vfs"),
    ),
)
