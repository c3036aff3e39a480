"""The oracle of a tree on the mount that one process has for itself: what it must look like.

Operations are JSON lists, so that a journal can keep them (crowd_operations.py draws and performs
them). `describe` says of the oracle and of a folder the same. Paths are relative, '' is the folder
itself. Names of one file share one `Node`.
"""

import hashlib
import os
import random
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Operation = list[Any]


@dataclass(slots=True)
class Node:
    """What stands behind a name: a file with its bytes, a folder, or a symbolic link with its target."""

    kind: str
    content: bytearray = field(default_factory=bytearray)
    mode: int = 0o644
    attributes: dict[str, bytes] = field(default_factory=dict)
    target: str = ""


Tree = dict[str, Node]
Facts = list[Any]


def empty_tree() -> Tree:
    return {"": Node("folder", mode=0o755)}


def noise(seed: int, length: int) -> bytes:
    """Data that can be made again: random bytes, words, or one byte repeated."""
    chance = random.Random(seed)
    if seed % 4 == 0:
        return chance.randbytes(1) * length
    if seed % 4 == 1:
        word = b"%x " % chance.getrandbits(60)
        return (word * (length // len(word) + 1))[:length]
    return chance.randbytes(length)


def paths_of(tree: Tree, *kinds: str) -> list[str]:
    return [path for path, node in tree.items() if node.kind in kinds and path]


# --- the oracle ---------------------------------------------------------------------------------


def apply(operation: Operation, tree: Tree) -> None:
    """Do to the oracle what the operation does to the folder."""
    match operation:
        case ["write" | "map", path, pieces]:
            content = tree.setdefault(path, Node("file")).content
            for offset, length, seed in pieces:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + length] = noise(seed, length)
        case ["append", path, length, seed]:
            tree[path].content.extend(noise(seed, length))
        case ["truncate", path, size]:
            content = tree[path].content
            del content[size:]
            content.extend(bytes(size - len(content)))
        case ["allocate", path, size]:
            content = tree[path].content
            content.extend(bytes(max(0, size - len(content))))
        case ["rename", old, new]:
            _apply_rename(tree, old, new)
        case ["exchange", one, other]:
            tree[one], tree[other] = tree[other], tree[one]
        case ["link", old, new]:
            tree[new] = tree[old]
        case ["unlink" | "rmdir", path]:
            del tree[path]
        case ["mkdir", path]:
            tree[path] = Node("folder", mode=0o755)
        case ["symlink", target, path]:
            tree[path] = Node("symlink", mode=0o777, target=target)
        case ["chmod", path, mode]:
            tree[path].mode = mode
        case ["attribute", path, name, -1, _]:
            del tree[path].attributes[name]
        case ["attribute", path, name, length, seed]:
            tree[path].attributes[name] = noise(seed, length)
        case ["sync", _]:
            pass
        case _:
            raise ValueError(operation)


def _apply_rename(tree: Tree, old: str, new: str) -> None:
    if tree.get(new) is tree[old]:  # two names of one file: nothing is done
        return
    for path in [path for path in tree if path == old or path.startswith(f"{old}/")]:
        tree[new + path[len(old) :]] = tree.pop(path)


def read_up_to(descriptor: int, length: int, offset: int = 0) -> bytes:
    """So many bytes, less only at the end: a read that comes to an error after some pages is short first."""
    found = b""
    while len(found) < length and (piece := os.pread(descriptor, length - len(found), offset + len(found))):
        found += piece
    return found


# --- what both look like ------------------------------------------------------------------------


def digest(data: bytes | bytearray) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def describe(tree: Tree) -> dict[str, Facts]:
    """The facts by path: kind, mode, size, content, attributes, target, all names of the same file."""
    names: dict[int, list[str]] = {}
    for path, node in tree.items():
        names.setdefault(id(node), []).append(path)
    return {
        path: [
            node.kind,
            node.mode,
            len(node.content),
            digest(node.content),
            {name: digest(value) for name, value in sorted(node.attributes.items())},
            node.target,
            sorted(names[id(node)]),
        ]
        for path, node in tree.items()
    }


def look(root: Path, path: str) -> Node:
    """What is behind one name of the folder now."""
    place = root / path
    status = os.lstat(place)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Node("symlink", mode=mode, target=os.readlink(place))
    attributes = {name: os.getxattr(place, name) for name in os.listxattr(place)}
    if stat.S_ISDIR(status.st_mode):
        return Node("folder", mode=mode, attributes=attributes)
    content = bytearray(place.read_bytes())
    if len(content) != status.st_size:
        raise AssertionError(f"{place}: stat says {status.st_size} bytes, {len(content)} were read")
    return Node("file", content, mode, attributes)


def survey(root: Path) -> Tree:
    """The folder as a tree: names of one inode share a node, and its link count is as many as they are."""
    tree: Tree = {"": look(root, "")}
    by_inode: dict[int, Node] = {}
    for folder, folders, others in os.walk(root):
        for name in [*folders, *others]:
            path = os.path.relpath(os.path.join(folder, name), root)
            inode = os.lstat(root / path).st_ino
            tree[path] = by_inode.get(inode) or by_inode.setdefault(inode, look(root, path))
    for path, node in tree.items():
        if node.kind == "file":
            names = sum(other is node for other in tree.values())
            links = os.lstat(root / path).st_nlink
            if names != links:
                raise AssertionError(f"{root / path}: {names} names, link count {links}")
    return tree
