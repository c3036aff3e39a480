"""A store with snapshots, clones and a rollback behind it, and how all of its trees look."""

import hashlib
from pathlib import Path

import vfs
from tests.repair.stores import make
from vfs.errors import RangeLost
from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO
from vfs.numbers import local_of

Look = dict[str, tuple[object, ...]]
"""Path below the root of a tree -> all that a program would see there; clones that lie there as empty."""


def make_layered(path: Path) -> Path:
    """Some of everything in three generations and four branches; a part of it only the log has."""
    make(path)
    with vfs.open(path, pack_workers=0) as fs:
        fs.autopilot = False
        fs.create_snapshot("one", "the first")
        change(fs)
        fs.create_snapshot("two")
        fs.clone("one", ROOT_INO, b"clone")
        fs.write_bytes("/clone/a/text", b"in the clone")
        fs.remove("/clone/last")
        fs.write_bytes("/after two", b"after two" * 1000)
        fs.remove("/moved")
        fs.create_snapshot("three")
        fs.rollback("two")
        fs.flush()
        fs.clone("three", fs.resolve("/a").ino, b"clone")
        fs.write_bytes("/a/clone/more", b"more" * 5000)
        fs.write_bytes("/rolled back", b"back" * 5000)
        fs.unlink(fs.resolve("/a/b").ino, b"small")
    return path


def change(fs: FileSystem) -> None:
    """Content, names, attributes: something is added, changed, moved and removed."""
    fs.write_bytes("/a/text", b"changed since" * 2000)
    fs.unlink(fs.resolve("/a").ino, b"file")
    fs.set_xattr(fs.resolve("/a/b/hard").ino, b"user.note", b"other")
    fs.truncate(fs.resolve("/a/b/noise").ino, 20_000)
    fs.move("/a/b/c", "/moved")
    fs.write_bytes("/new in two", b"new" * 3000)
    fs.flush()


def looks(path: Path) -> dict[str, Look]:
    """Every tree of a store by its name: "" is the main one, clones are called by their path."""
    with vfs.open(path, read_only=True) as fs:
        found = {"": look(fs, fs.get(ROOT_INO))}
        for snapshot in fs.snapshots():
            found[snapshot.name] = look(fs, fs.snapshot_root(snapshot.name))
        for tree in fs.table.trees.live():
            if tree.id:
                found[f"clone {tree.id}"] = look(fs, fs.get(tree.root_ino))
        return found


def look(fs: FileSystem, root: Inode) -> Look:
    """One tree, as far as it reaches."""
    found: Look = {}
    waiting = [("/", root)]
    while waiting:
        path, inode = waiting.pop()
        xattrs = {name: fs.get_xattr(inode.ino, name) for name in fs.list_xattrs(inode.ino)}
        content = digest(fs, inode)
        facts = (inode.mode, inode.uid, inode.gid, inode.nlink, inode.size, inode.mtime_ns, inode.target)
        found[path] = (local_of(inode.ino), *facts, xattrs, content)
        for name in children(fs, inode):
            child = fs.lookup(inode.ino, name)
            below = f"{path.rstrip('/')}/{name.decode()}"
            if child.ino >> 40 == inode.ino >> 40:
                waiting.append((below, child))
            else:
                found[below] = ("a clone", local_of(child.ino))
    return found


def digest(fs: FileSystem, inode: Inode) -> str:
    """Of a file's content, `lost` where that cannot be had any more."""
    try:
        return hashlib.sha256(fs.read(inode.ino, 0, inode.size) if inode.is_file else b"").hexdigest()
    except RangeLost:
        return "lost"


def children(fs: FileSystem, inode: Inode) -> list[bytes]:
    """The names in a directory."""
    if not inode.is_directory:
        return []
    names: list[bytes] = []
    cookie = 0
    while rows := fs.readdir(inode.ino, cookie):
        cookie = rows[-1][2]
        names += [row[0] for row in rows if row[0] not in (b".", b"..")]
    return names
