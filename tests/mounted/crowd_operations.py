"""What a process of the crowd does to a tree of its own: operations, drawn at random and performed.

`draw` gives one that is possible, `perform` does it on the mount, `crowd_tree.apply` to the oracle. Nobody
else may touch the folder.

    ["write" | "map", path, [[offset, length, seed], …]]    ["append", path, length, seed]
    ["truncate" | "allocate", path, size]                   ["unlink" | "mkdir" | "rmdir" | "sync", path]
    ["rename" | "exchange" | "link", old, new]              ["symlink", target, path]
    ["chmod", path, mode]                                   ["attribute", path, name, length or -1, seed]
"""

import errno
import mmap
import os
import random
from pathlib import Path

from tests.mounted.crowd_tree import Operation, Tree, noise, paths_of
from tests.mounted.renaming import EXCHANGE, renameat2

LARGEST = 120_000
MOST_NAMES = 60
NAMES = [f"name-{number}" for number in range(14)]
ATTRIBUTES = ("user.one", "user.two", "user.three")
DEPTH = 3


# --- drawing ------------------------------------------------------------------------------------


def draw(chance: random.Random, tree: Tree) -> Operation:
    """The next operation, one that is possible with this tree."""
    if len(tree) > MOST_NAMES and (operation := _draw_unlink(chance, tree) or _draw_folder(chance, tree)):
        return operation
    kind = chance.choices(tuple(_DRAWN), tuple(weight for weight, _ in _DRAWN.values()))[0]
    return _DRAWN[kind][1](chance, tree) or _draw_write(chance, tree)


def _new_path(chance: random.Random, tree: Tree, depth: int = DEPTH) -> str:
    """A path in one of the folders, taken or not."""
    folders = ["", *(path for path in paths_of(tree, "folder") if path.count("/") < depth - 1)]
    folder = chance.choice(folders)
    return f"{folder}/{chance.choice(NAMES)}".lstrip("/")


def _draw_write(chance: random.Random, tree: Tree) -> Operation:
    path = _new_path(chance, tree)
    while path in tree and tree[path].kind != "file":
        path += "x"
    pieces = []
    for _ in range(chance.choice((1, 1, 3))):
        length = chance.choice((1, 100, 4096, 10_000, 50_000))
        pieces.append([chance.randrange(LARGEST - length), length, chance.getrandbits(30)])
    return ["map" if chance.random() < 0.15 else "write", path, pieces]


def _draw_append(chance: random.Random, tree: Tree) -> Operation | None:
    files = [path for path in paths_of(tree, "file") if len(tree[path].content) < LARGEST]
    if not files:
        return None
    return ["append", chance.choice(files), chance.choice((1, 100, 5000)), chance.getrandbits(30)]


def _draw_truncate(chance: random.Random, tree: Tree) -> Operation | None:
    files = paths_of(tree, "file")
    kind = chance.choice(("truncate", "truncate", "allocate"))
    return [kind, chance.choice(files), chance.randrange(1, LARGEST)] if files else None


def _draw_rename(chance: random.Random, tree: Tree) -> Operation | None:
    old_paths, new = paths_of(tree, "file", "symlink", "folder"), _new_path(chance, tree)
    old = chance.choice(old_paths) if old_paths else ""
    if not old or old == new or new.startswith(f"{old}/"):
        return None
    if tree[old].kind == "folder":
        below = max(path.count("/") for path in tree if path == old or path.startswith(f"{old}/"))
        deepest = new.count("/") + below - old.count("/")
        return ["rename", old, new] if new not in tree and deepest < DEPTH else None
    return ["rename", old, new] if new not in tree or tree[new].kind != "folder" else None


def _draw_exchange(chance: random.Random, tree: Tree) -> Operation | None:
    paths = paths_of(tree, "file", "symlink")
    return ["exchange", *chance.sample(paths, 2)] if len(paths) > 1 else None


def _draw_link(chance: random.Random, tree: Tree) -> Operation | None:
    files, new = paths_of(tree, "file"), _new_path(chance, tree)
    return ["link", chance.choice(files), new] if files and new not in tree else None


def _draw_unlink(chance: random.Random, tree: Tree) -> Operation | None:
    paths = paths_of(tree, "file", "symlink")
    return ["unlink", chance.choice(paths)] if paths else None


def _draw_folder(chance: random.Random, tree: Tree) -> Operation | None:
    new = _new_path(chance, tree, DEPTH - 1)
    empty = [path for path in paths_of(tree, "folder") if not any(p.startswith(f"{path}/") for p in tree)]
    if empty and chance.random() < 0.4:
        return ["rmdir", chance.choice(empty)]
    return ["mkdir", new] if new not in tree else None


def _draw_symlink(chance: random.Random, tree: Tree) -> Operation | None:
    new = _new_path(chance, tree)
    return ["symlink", f"../{'t' * chance.randrange(1, 200)}", new] if new not in tree else None


def _draw_chmod(chance: random.Random, tree: Tree) -> Operation | None:
    paths = paths_of(tree, "file", "folder")
    if not paths:
        return None
    path = chance.choice(paths)
    modes = (0o755, 0o700, 0o750) if tree[path].kind == "folder" else (0o644, 0o600, 0o755, 0o640)
    return ["chmod", path, chance.choice(modes)]


def _draw_attribute(chance: random.Random, tree: Tree) -> Operation | None:
    paths = paths_of(tree, "file", "folder")
    if not paths:
        return None
    path, name = chance.choice(paths), chance.choice(ATTRIBUTES)
    if name in tree[path].attributes and chance.random() < 0.4:
        return ["attribute", path, name, -1, 0]
    return ["attribute", path, name, chance.choice((0, 5, 300, 5000)), chance.getrandbits(30)]


def _draw_sync(chance: random.Random, tree: Tree) -> Operation:
    return ["sync", chance.choice(["", *paths_of(tree, "file", "folder")])]


_DRAWN = {
    "write": (8, _draw_write),
    "append": (5, _draw_append),
    "truncate": (3, _draw_truncate),
    "rename": (4, _draw_rename),
    "exchange": (1, _draw_exchange),
    "link": (2, _draw_link),
    "unlink": (4, _draw_unlink),
    "folder": (2, _draw_folder),
    "symlink": (1, _draw_symlink),
    "chmod": (1, _draw_chmod),
    "attribute": (3, _draw_attribute),
    "sync": (1, _draw_sync),
}


# --- the folder ---------------------------------------------------------------------------------


def _allocate(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno == errno.EBADF:
            os.fstat(descriptor)  # glibc says EBADF whenever that fails: this says why
        raise


def perform(root: Path, operation: Operation) -> None:
    """Do it on the mount; OSError as it comes."""
    match operation:
        case ["write", path, pieces]:
            descriptor = os.open(root / path, os.O_RDWR | os.O_CREAT, 0o644)
            for offset, length, seed in pieces:
                os.pwrite(descriptor, noise(seed, length), offset)
            os.close(descriptor)
        case ["map", path, pieces]:
            _write_mapped(root / path, pieces)
        case ["append", path, length, seed]:
            with open(root / path, "ab", buffering=0) as file:
                file.write(noise(seed, length))
        case ["truncate", path, size]:
            os.truncate(root / path, size)
        case ["allocate", path, size]:
            with open(root / path, "r+b", buffering=0) as file:
                _allocate(file.fileno(), size)
        case ["rename", old, new]:
            os.rename(root / old, root / new)
        case ["exchange", one, other]:
            renameat2(root / one, root / other, EXCHANGE)
        case ["link", old, new]:
            os.link(root / old, root / new)
        case ["unlink", path]:
            os.unlink(root / path)
        case ["mkdir", path]:
            os.mkdir(root / path, 0o755)
        case ["rmdir", path]:
            os.rmdir(root / path)
        case ["symlink", target, path]:
            os.symlink(target, root / path)
        case ["chmod", path, mode]:
            os.chmod(root / path, mode)
        case ["attribute", path, name, -1, _]:
            os.removexattr(root / path, name)
        case ["attribute", path, name, length, seed]:
            os.setxattr(root / path, name, noise(seed, length))
        case ["sync", path]:
            sync(root / path)
        case _:
            raise ValueError(operation)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_mapped(path: Path, pieces: list[list[int]]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    size = max(os.fstat(descriptor).st_size, *(offset + length for offset, length, _ in pieces))
    os.ftruncate(descriptor, size)
    with mmap.mmap(descriptor, size) as mapping:
        for offset, length, seed in pieces:
            mapping[offset : offset + length] = noise(seed, length)
        mapping.flush()
    os.close(descriptor)
