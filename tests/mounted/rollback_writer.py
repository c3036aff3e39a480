"""Dirties pages of the files of a folder without end: `rollback_writer.py FOLDER SEED [again]`.

It opens everything once and goes on with what it has until all of that is refused; with `again` it opens anew
and also makes, renames and removes files. An errno that a rollback does not give is an error.
"""

import errno
import mmap
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

EXPECTED = {errno.ESTALE, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EIO}
"""EIO: so the kernel calls every page that could not be written, when a close or a utime waits for it."""

Step = Callable[[int], None]


def steps(chance: random.Random) -> list[Step]:
    """What is done to an open file."""
    return [
        lambda file: write(file, chance.randrange(200_000), chance.randbytes(chance.randrange(1, 9000))),
        lambda file: write(file, os.fstat(file).st_size, chance.randbytes(3000)),
        lambda file: write(file, 4096 * chance.randrange(40), chance.randbytes(4096 * 3)),
        lambda file: write(file, chance.randrange(100_000), b"once"),
        lambda file: os.utime(file, ns=(chance.randrange(10**18), chance.randrange(10**18))),
        lambda file: os.ftruncate(file, chance.randrange(1, 300_000)),
    ]


def write(file: int, offset: int, data: bytes) -> None:
    os.pwrite(file, data, offset)


def change_names(folder: Path, chance: random.Random) -> None:
    one, other = (folder / f"new {chance.randrange(20)}" for _ in range(2))
    match chance.randrange(4):
        case 0:
            one.write_bytes(chance.randbytes(10_000))
        case 1:
            one.rename(other)
        case 2:
            one.unlink()
        case 3:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_bytes(b"x" * 5000)
            (folder / "sub" / "file").rename(other)
            (folder / "sub").rmdir()


def work(folder: Path, chance: random.Random, *, again: bool) -> None:
    doings = steps(chance)
    files: list[int] = []
    while True:
        if again and chance.random() < 0.1:
            attempt(lambda: change_names(folder, chance))
        if not files:
            if files_opened and not again:
                return
            attempt(lambda: files.extend(os.open(path, os.O_RDWR) for path in sorted(folder.glob("file *"))))
            files_opened.append(True)
            print("open", flush=True)
            continue
        file = chance.choice(files)
        doing = chance.choice(doings)
        if not attempt(lambda doing=doing, file=file: doing(file)):  # type: ignore[misc]
            files.remove(file)
            attempt(lambda file=file: os.close(file))  # type: ignore[misc]


def work_mapped(folder: Path, chance: random.Random) -> None:
    """Ends by SIGBUS when a page is touched that is not there any more."""
    mappings = []
    for path in sorted(folder.glob("file *")):
        with open(path, "r+b") as file:
            mappings.append(mmap.mmap(file.fileno(), 0))
    print("open", flush=True)
    while True:
        mapping = chance.choice(mappings)
        length = min(100, len(mapping))  # another writer may just have cut the file off
        at = chance.randrange(len(mapping) - length + 1)
        mapping[at : at + length] = chance.randbytes(length)


def attempt(step: Callable[[], object]) -> bool:
    try:
        step()
    except OSError as error:
        if error.errno not in EXPECTED:
            raise
        return False
    return True


files_opened: list[bool] = []

if __name__ == "__main__":
    place, seed = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["mapped"]:
        work_mapped(place, random.Random(seed))
    else:
        work(place, random.Random(seed), again=sys.argv[3:] == ["again"])
