"""A store with some of everything that snapshots and clones bring, for tests that look at it or damage it.

Never checks anything.
"""

from pathlib import Path

import vfs
from vfs.backing.creation import CreationOptions
from vfs.filesystem import FileSystem
from vfs.limits import MIB, ROOT_INO

OLD, NEW = bytes(range(256)) * 64, b"new" * 3000
KIB = 1024


def make(store: Path) -> None:
    """Two snapshots, `one` and `two`; a clone of all of the first and one of a folder of it, both of which
    the second has frozen; changes of each kind behind each of them.
    """
    vfs.mkfs(store, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    with vfs.open(store, pack_workers=0) as fs:
        fs.make_directory("a/b", parents=True)
        fs.write_bytes("a/file", OLD)
        fs.write_bytes("a/long", OLD)
        fs.write(fs.resolve("a/long").ino, 40 * MIB, OLD)
        fs.write_bytes("a/b/removed", b"small")
        fs.write_bytes("kept", OLD[::-1])
        fs.link(fs.resolve("a/file").ino, ROOT_INO, b"hard")
        fs.symlink(fs.resolve("a").ino, b"soft", b"file")
        fs.set_xattr(fs.resolve("a/file").ino, b"user.note", b"value")
        fs.flush()
        fs.create_snapshot("one")
        change(fs, "")
        fs.clone("one", ROOT_INO, b"copy")
        fs.clone("one:a", ROOT_INO, b"part")
        fs.write_bytes("copy/added", NEW)
        fs.remove("part/file")
        fs.create_snapshot("two")
        fs.write_bytes("a/file", OLD[1:])
        fs.remove("a/more")
        fs.write_bytes("copy/added", OLD)
        fs.set_xattr(fs.resolve("a/file").ino, b"user.note", b"other")
        fs.remove("copy/a/b/removed")
        fs.write_bytes("part/b/removed", OLD)


def change(fs: FileSystem, where: str) -> None:
    """Something of each kind, in the tree at `where`."""
    fs.write_bytes(f"{where}a/file", NEW)
    fs.truncate(fs.resolve(f"{where}a/long").ino, 10)
    fs.remove(f"{where}a/b/removed")
    fs.remove_xattr(fs.resolve(f"{where}a/file").ino, b"user.note")
    fs.move(f"{where}a/b", f"{where}a/moved")
    fs.write_bytes(f"{where}a/more", NEW)
