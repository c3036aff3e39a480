"""A folder with everything that an archive has to keep, and the description that two copies must share."""

import os
import random
import stat
from pathlib import Path

MANY = 200


def plant(root: Path, seed: int = 3) -> None:
    """Make a tree: text and noise of many sizes, links of both kinds, holes, modes, times, attributes."""
    chance = random.Random(seed)
    root.mkdir()
    folders = [root]
    for number in range(25):
        folder = chance.choice(folders) / f"folder {number}"
        folder.mkdir()
        folder.chmod(chance.choice((0o755, 0o700, 0o1777, 0o2775)))
        folders.append(folder)
    files = []
    for number in range(MANY):
        file = chance.choice(folders) / f"file-{number}-ä"
        size = chance.choice((0, 1, 100, 4095, 4096, 4097, 70_000, 300_000))
        file.write_bytes(chance.randbytes(size) if number % 2 else b"text " * (size // 5))
        file.chmod(chance.choice((0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755)))
        files.append(file)
    for number in range(20):
        os.link(chance.choice(files), chance.choice(folders) / f"hard-{number}")
        os.symlink(f"../nowhere/{number}", chance.choice(folders) / f"soft-{number}")
        os.setxattr(chance.choice(files), f"user.attribute{number}", chance.randbytes(number * 20))
    os.mkfifo(root / "fifo")
    with open(root / "holes", "wb") as sparse:
        sparse.seek(10 << 20)
        sparse.write(b"middle")
        sparse.truncate(30 << 20)
    Path(os.fsdecode(os.fsencode(root) + b"/raw-\xff\xfe")).write_bytes(b"raw")
    for parent, names, others in os.walk(root, topdown=False):
        for name in sorted([*others, *names]):
            times = chance.randrange(10**18), chance.randrange(-(10**9), 2 * 10**18)
            os.utime(os.path.join(parent, name), ns=times, follow_symlinks=False)


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Every entry with all that two equal trees have in common; hard links by their names."""
    found: dict[str, tuple[object, ...]] = {}
    names_of: dict[int, list[str]] = {}
    for folder, names, others in os.walk(root):
        for name in [*names, *others]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            is_folder = stat.S_ISDIR(status.st_mode)
            shared = names_of.setdefault(status.st_ino, [])
            shared.append(relative)
            found[relative] = (
                oct(status.st_mode),
                (status.st_uid, status.st_gid),
                0 if is_folder else status.st_nlink,
                0 if is_folder else status.st_size,
                status.st_mtime_ns,
                shared,
                {
                    attribute: os.getxattr(path, attribute, follow_symlinks=False)
                    for attribute in os.listxattr(path, follow_symlinks=False)
                },
                content(path, status.st_mode),
            )
    for shared in names_of.values():
        shared.sort()
    return found


def content(path: str, mode: int) -> object:
    if stat.S_ISREG(mode):
        return Path(path).read_bytes()
    return os.readlink(path) if stat.S_ISLNK(mode) else None
