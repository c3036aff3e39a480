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
    with open(root / "holes", "wb") as file:
        file.seek(10 << 20)
        file.write(b"middle")
        file.truncate(30 << 20)
    os.fsencode(root)
    (Path(os.fsdecode(os.fsencode(root) + b"/raw-\xff\xfe"))).write_bytes(b"raw")
    for path in [*files, *reversed(folders)]:
        os.utime(path, ns=(chance.randrange(10**18), chance.randrange(-(10**17), 4 * 10**18)))


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Every entry with all that two equal trees have in common."""
    found: dict[str, tuple[object, ...]] = {}
    first_names: dict[int, str] = {}
    for folder, names, files in os.walk(root):
        for name in sorted([*names, *files, "."]):
            path = os.path.normpath(os.path.join(folder, name))
            relative = os.path.relpath(path, root)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content: object = None
            if kind == stat.S_IFREG:
                content = Path(path).read_bytes()
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            is_folder = kind == stat.S_IFDIR
            attributes = {}
            if kind in (stat.S_IFREG, stat.S_IFDIR):
                attributes = {attribute: os.getxattr(path, attribute) for attribute in os.listxattr(path)}
            found[relative] = (
                oct(status.st_mode),
                (status.st_uid, status.st_gid),
                None if is_folder else status.st_nlink,
                None if is_folder else status.st_size,
                status.st_mtime_ns,
                first_names.setdefault(status.st_ino, relative),
                attributes,
                content,
            )
    return found
