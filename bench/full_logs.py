"""Stores whose log is full and whose owner was killed, and what opening them takes: bench.replay's child.

`python -m bench.full_logs make STORE KIND RECORDS` makes one through the library and ends without closing it;
`open STORE` opens it and prints a line of JSON. Promises that a store stays as a kill would leave it.
It never mounts anything.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import vfs
from bench.sizes import MIB

FOLDERS = 10
FILES = 100
SMALL_BYTES = 100


def _create(fs: vfs.FileSystem, records: int) -> None:
    folders = [fs.mkdir(1, b"folder%d" % number, 0o755).ino for number in range(FOLDERS)]
    for number in range(records):
        fs.mknod(folders[number % FOLDERS], b"file%d" % number, 0o644)


def _write(fs: vfs.FileSystem, records: int) -> None:
    ino = fs.mknod(1, b"file", 0o644).ino
    data = os.urandom(SMALL_BYTES)
    for number in range(records):
        fs.write(ino, number * SMALL_BYTES, data)


def _setattr(fs: vfs.FileSystem, records: int) -> None:
    files = [fs.mknod(1, b"file%d" % number, 0o644).ino for number in range(FILES)]
    for number in range(records):
        fs.set_attributes(files[number % FILES], mode=0o600 + number % 8)


def _unlink(fs: vfs.FileSystem, records: int) -> None:
    for number in range(records // 2):
        fs.mknod(1, b"file%d" % number, 0o644)
    for number in range(records // 2):
        fs.unlink(1, b"file%d" % number)


def _data(fs: vfs.FileSystem, records: int) -> None:
    ino = fs.mknod(1, b"file", 0o644).ino
    data = os.urandom(MIB)
    for number in range(records):
        fs.write(ino, number * MIB, data)


KINDS: dict[str, Callable[[vfs.FileSystem, int], None]] = {
    "create": _create,
    "write of 100 bytes": _write,
    "setattr": _setattr,
    "create and unlink": _unlink,
    "write of 1 MiB": _data,
}


def make(store: str, kind: str, records: int) -> None:
    """Fill a new store's log and leave it so."""
    vfs.mkfs(store)
    fs = vfs.open(store)
    fs.autopilot = False  # no checkpoint on the way
    KINDS[kind](fs, records)
    fs.sync()
    os._exit(0)


def peak_bytes(pid: int | str) -> int:
    """The most memory that a process had at a time, mapped files among it."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def look(store: str) -> None:
    """Open it, and say how long that took; the store stays as it is."""
    before = peak_bytes("self")
    begin, cpu = time.perf_counter(), time.process_time()
    fs = vfs.open(store)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    found = {
        "records": fs.replayed_records,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_bytes("self"),
        "before_bytes": before,
    }
    print(json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    look(sys.argv[2])
