"""What deleting snapshots costs: `python -m bench.pruning [FILES [SNAPSHOTS [CHANGED]]]`.

Makes a store of so many files (100,000), takes so many snapshots (100) with so many files changed before each
(1,000), and prints how long it takes to delete every other one, and then all others, and to prune what only
they held, in slices as a mount takes them. Never mounts anything.
"""

import random
import stat
import sys
import tempfile
import time
from pathlib import Path

import vfs
from vfs.filesystem import FileSystem
from vfs.snapshots.sizes import exclusive_bytes

FOLDERS = 100


def build(fs: FileSystem, files: int, snapshots: int, changed: int) -> None:
    """Files, and snapshots between which some of them change."""
    rng = random.Random(1)
    folders = [fs.make_directory(f"folder{number}").ino for number in range(FOLDERS)]
    numbers = []
    for number in range(files):
        name = b"file%d" % number
        numbers.append(fs.mknod(folders[number % FOLDERS], name, stat.S_IFREG | 0o644).ino)
        fs.write(numbers[-1], 0, b"%d" % number * 20)
    for number in range(snapshots):
        for ino in rng.sample(numbers, min(changed, files)):
            fs.write(ino, 0, rng.randbytes(200))
        fs.create_snapshot(f"s{number}")


def delete(fs: FileSystem, names: list[str]) -> None:
    """Delete them and prune; print what that took."""
    began = time.monotonic()
    fs.delete_snapshots(names)
    print(f"delete {len(names)} snapshots: {1000 * (time.monotonic() - began):.0f} ms")
    began = time.monotonic()
    work = fs.begin_prune()
    slices: list[float] = []
    more = True
    while more:
        begun = time.monotonic()
        fs.begin_slice(work)
        more = fs.run_slice(work)
        fs.end_slice(work)
        slices.append(time.monotonic() - begun)
    seconds = time.monotonic() - began
    slices.sort()
    print(
        f"prune: {work.rows} rows, {work.bytes} bytes of data, in {seconds:.1f} s, {len(slices)} slices"
        f" of {1000 * slices[len(slices) // 2]:.0f} ms in the median, {1000 * slices[-1]:.0f} ms at most"
    )


def main() -> None:
    """Build, delete, print."""
    given = [int(argument) for argument in sys.argv[1:]]
    files, snapshots, changed = (*given, *(100_000, 100, 1000)[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        vfs.mkfs(Path(folder) / "store")
        with vfs.open(Path(folder) / "store", pack_workers=0) as fs:
            build(fs, files, snapshots, changed)
            print(f"{files} files, {snapshots} snapshots, {changed} files changed before each")
            began = time.monotonic()
            sizes = exclusive_bytes(fs.store.index)
            seconds = time.monotonic() - began
            print(f"what each alone holds: {sum(sizes.values())} bytes in all, in {seconds:.1f} s")
            names = [snapshot.name for snapshot in fs.snapshots()]
            delete(fs, names[::2])
            delete(fs, names[1::2])


if __name__ == "__main__":
    main()
