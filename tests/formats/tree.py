"""The tree that the golden stores hold, and how it looks when read back.

`python -m tests.formats.tree VERSION` wrote the archives beside this file, once for each format version;
they are never written again. `closed` was closed cleanly; `crashed` was not, so its log has to be replayed.
"""

import hashlib
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import vfs
from tests.losing import lose
from vfs.errors import RangeLost
from vfs.inode.extents import is_hole
from vfs.inode.inode import Inode

HERE = Path(__file__).parent
TIME_NS = -1_500_000_000_123_456_789


def plant(fs: vfs.FileSystem) -> None:
    """One of everything that a format has a way to say."""
    fs.make_directory("/folder/below", parents=True)
    fs.write_bytes("/folder/text", b"some text\n" * 300)
    fs.write_bytes("/folder/small", b"abc")
    small = fs.resolve("/folder/small").ino
    for n in range(20):
        fs.write(small, 3 + 5 * n, b"%05d" % n)
    fs.write_bytes("/folder/fills", b"\0" * 8192 + b"x" * 8192 + bytes(range(256)) * 16)
    sparse = fs.write_bytes("/sparse", b"begin").ino
    fs.write(sparse, 40 << 20, b"end")
    fs.clone_range(fs.resolve("/folder/text").ino, 0, 3000, sparse, 16 << 20)
    fs.punch(fs.resolve("/folder/text").ino, 100, 200)
    fs.link(sparse, 1, b"hard \xff\xfe")
    fs.symlink(1, b"soft", b"folder/text")
    fs.mknod(1, b"fifo", 0o010640)
    fs.mknod(1, b"device", 0o020600, rdev=0x103)
    fs.set_xattr(sparse, b"user.note", b"\0value\xff")
    fs.set_xattr(sparse, b"user.gone", b"x")
    fs.remove_xattr(sparse, b"user.gone")
    fs.set_attributes(small, mode=0o4751, uid=12, gid=34, atime_ns=TIME_NS, mtime_ns=TIME_NS)
    fs.rename(1, b"device", fs.resolve("/folder").ino, b"moved")
    fs.rename(1, b"soft", fs.resolve("/folder").ino, b"small", 2)
    fs.make_directory("/gone")
    fs.remove("/gone")
    fs.truncate(fs.resolve("/folder/fills").ino, 20_000)


def plant_packed(fs: vfs.FileSystem) -> None:
    """What version 2 can say beside that: packed data of both kinds, shared, overwritten, imported."""
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(3000))
    words = b"".join(b"line %d of the packed text\n" % n for n in range(12_000))
    fs.write_bytes("/packed-noise", noise)
    fs.write_bytes("/packed-noise-again", b"begin" + noise)
    words_ino = fs.write_bytes("/packed-words", words).ino
    fs.write_bytes("/packed-and-gone", words + noise)
    fs.flush()
    fs.remove("/packed-and-gone")
    fs.write(words_ino, 50_000, b"overwritten when it was packed")
    copy = fs.write_bytes("/packed-clone", b"").ino
    fs.clone_range(words_ino, 40_000, 100_000, copy, 12_345)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "brought").write_bytes(words[::-1])
        (Path(folder) / "brought").chmod(0o644)  # whatever the umask is
        os.link(Path(folder) / "brought", Path(folder) / "in")
        vfs.import_tree(fs, folder, "/imported")
    fs.set_attributes(fs.resolve("/imported").ino, mode=0o755)


def plant_lost(fs: vfs.FileSystem) -> None:
    """What version 3 can say beside that: ranges that were lost, in the log and in the index."""
    for path, at in (("/packed-noise", 20_000), ("/folder/text", 700), ("/lost", 0)):
        inode = fs.resolve(path) if fs.exists(path) else fs.write_bytes(path, bytes(range(1, 200)))
        lose(fs, inode, at, 100)
    fs.checkpoint()
    lost = fs.resolve("/lost")
    copy = fs.write_bytes("/lost-clone", b"").ino
    fs.clone_range(lost.ino, 50, 100, copy, 5000)
    fs.write(lost.ino, 0, b"mended")


def plant_trees(fs: vfs.FileSystem) -> None:
    """What version 4 can say beside that: snapshots, clones, a rollback, rows that say that others went."""
    changed = fs.write_bytes("/changed", b"as it was first\n" * 2000).ino
    fs.set_xattr(changed, b"user.first", b"first")
    fs.create_snapshot("first", "a comment\twith a tab")
    fs.write(changed, 100, b"changed since")
    fs.remove_xattr(changed, b"user.first")
    for name in fs.listdir("/imported"):
        fs.remove(b"/imported/" + name)
    fs.remove("/imported")
    fs.truncate(fs.resolve("/packed-noise-again").ino, 0)
    fs.rename(1, b"sparse", fs.resolve("/folder").ino, b"sparse")
    fs.create_snapshot("second", automatic=True)
    fs.remove("/changed")
    fs.write_bytes("/rolled back", b"what the rollback takes away")
    fs.rollback("second")
    clone = fs.clone("first", 1, b"clone").ino
    fs.write_bytes("/clone/own", b"of the clone alone\n" * 3000)
    fs.remove("/clone/folder/fills")
    fs.set_attributes(fs.resolve("/clone/changed").ino, mode=0o600, uid=12)
    fs.flush()
    fs.clone("second:folder", clone, b"inner")
    fs.remove("/clone/inner/text")
    fs.drop_clone(fs.clone("first", 1, b"dropped").ino)
    fs.create_snapshot("third")
    fs.delete_snapshots(["second"])
    fs.rename_snapshot("third", "third, renamed")
    fs.remove("/clone/inner/small")
    fs.checkpoint()
    late = fs.clone("third, renamed:clone", 1, b"late").ino
    fs.write(fs.mknod(late, b"in the log", 0o644).ino, 0, b"only the log has it")


def seen_everywhere(fs: vfs.FileSystem) -> dict[str, str]:
    """The same for what is live and for every snapshot, with what is known of the snapshots."""
    found = seen(fs)
    for facts in fs.snapshots():
        name = "rollback" if facts.name.startswith("before-rollback") else facts.name
        comment = facts.comment.partition(" to ")[0]
        found[name] = f"{facts.automatic} {comment} {facts.files} {facts.directories} {facts.logical_bytes}"
        found |= {name + path: text for path, text in seen(fs, f"/.snapshots/{facts.name}".encode()).items()}
    return found


def seen(fs: vfs.FileSystem, top: bytes = b"/") -> dict[str, str]:
    """path -> all that must read back the same, but for the times of the planting and of reading."""
    found: dict[str, str] = {}

    def look(path: bytes, inode: Inode) -> None:
        content = inode.target or b""
        if inode.is_file:
            content = b"".join(_content(fs, inode))
        digest = hashlib.sha256(content).hexdigest()[:16]
        times = (inode.mtime_ns,) if inode.mtime_ns == TIME_NS else ()
        xattrs = {name: fs.get_xattr(inode.ino, name) for name in fs.list_xattrs(inode.ino)}
        found[repr(path.removeprefix(top))] = (
            f"{inode.mode:o} {inode.nlink} {inode.uid in (0, 12)} {inode.size} {inode.allocated} {inode.rdev}"
            f" {digest} {times} {xattrs}"
        )
        if inode.is_directory:
            for name in sorted(fs.listdir(path)):
                look(path.rstrip(b"/") + b"/" + name, fs.lookup(inode.ino, name))

    look(top, fs.resolve(top))
    return found


def _content(fs: vfs.FileSystem, inode: Inode) -> Iterator[bytes]:
    """What is read, in parts, and a word with its length for each lost range; of long holes both ends."""
    offset = 0
    for extent in fs.table.file(inode).plan(0, inode.size):
        step = 1 << 20
        if is_hole(extent) and extent.length > step:
            yield b"%d of a hole " % extent.length
            yield bytes(fs.read(inode.ino, offset, 100))
            yield bytes(fs.read(inode.ino, offset + extent.length - 100, 100))
            offset += extent.length
            continue
        for at in range(offset, offset + extent.length, step):
            length = min(step, offset + extent.length - at)
            try:
                yield bytes(fs.read(inode.ino, at, length))
            except RangeLost:
                yield b"lost %d " % length
        offset += extent.length


def _make(version: str) -> None:
    for end in ("closed", "crashed"):
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            vfs.mkfs(store)
            fs = vfs.open(store)
            plant(fs)
            plant_packed(fs)
            plant_lost(fs)
            plant_trees(fs)
            fs.sync()
            if end == "closed":
                fs.close()
            else:
                fs.store.close()
            with tarfile.open(HERE / f"v{version}-{end}.tar.gz", "w:gz") as archive:
                archive.add(store, "store")


if __name__ == "__main__":
    _make(sys.argv[1])
