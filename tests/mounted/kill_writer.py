"""A program that works on a folder of the mount until the daemon dies: `kill_writer.py FOLDER JOURNAL SEED`.

Prints the errno with which its work ended, or what it read that it had not written.
"""

import json
import mmap
import os
import random
import sys
from pathlib import Path

from tests.mounted.acknowledged import Contents, Operation, apply, draw, noise


def put(path: Path, pieces: list[list[int]], *, sync: bool) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    for offset, length, seed in pieces:
        os.pwrite(descriptor, noise(seed, length), offset)
    if sync:
        os.fsync(descriptor)
        later.append(descriptor)  # it is the fsync that counts; nothing is closed before the next operation
    else:
        os.close(descriptor)


def put_mapped(path: Path, pieces: list[list[int]]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    size = max(os.fstat(descriptor).st_size, *(offset + length for offset, length, _ in pieces))
    os.ftruncate(descriptor, size)
    with mmap.mmap(descriptor, size) as mapping:
        for offset, length, seed in pieces:
            mapping[offset : offset + length] = noise(seed, length)
        mapping.flush()
    os.close(descriptor)


def append(path: Path, data: bytes, *, sync: bool) -> None:
    with open(path, "ab") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fdatasync(file.fileno())


def perform(folder: Path, operation: Operation, *, sync: bool) -> None:
    match operation:
        case ["put", name, pieces]:
            put(folder / name, pieces, sync=sync)
        case ["map", name, pieces]:
            put_mapped(folder / name, pieces)
        case ["append", name, length, seed]:
            append(folder / name, noise(seed, length), sync=sync)
        case ["truncate", name, size]:
            os.truncate(folder / name, size)
        case ["rename", old, new]:
            os.rename(folder / old, folder / new)
        case ["link", old, new]:
            os.link(folder / old, folder / new)
        case ["unlink", name]:
            os.unlink(folder / name)


def work(folder: Path, journal: int, chance: random.Random) -> None:
    files: Contents = {}
    while True:
        operation = draw(chance, files)
        os.write(journal, json.dumps(operation).encode() + b"\n")
        perform(folder, operation, sync=chance.random() < 0.3)
        os.statvfs(folder)  # asks the daemon: after its death the kernel lets close(2) succeed all the same
        os.write(journal, b"done\n")
        apply(operation, files)
        while later:
            os.close(later.pop())
        if files and chance.random() < 0.1:
            name = chance.choice(sorted(files))
            if (folder / name).read_bytes() != files[name]:
                sys.exit(f"{folder / name} reads otherwise than it was written")


later: list[int] = []

if __name__ == "__main__":
    try:
        work(
            Path(sys.argv[1]),
            os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_EXCL),
            random.Random(int(sys.argv[3])),
        )
    except OSError as error:
        print(error.errno, flush=True)
        os._exit(0)  # without closing anything: the mount under it is dead
