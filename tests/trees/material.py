"""A tree with one of everything, and what a tree on the host looks like, to compare.

The description leaves out what no copy keeps: inode numbers, change times, and times of access that reading
may have moved.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

IS_ROOT = os.geteuid() == 0

LONG = b"n" * 255
ODD_NAMES = (
    b"with blank",
    b"new\nline",
    b"not utf-8 \xff\xfe",
    "größe".encode(),
    b"-dash",
    b"back\\slash",
    LONG,
)
BINARY = bytes(range(256))


def make_everything(top: Path, *, sockets: bool = False) -> None:
    """One of everything that a tree may hold, with odd attributes."""
    top.mkdir()
    root = os.fsencode(top)
    (top / "empty").write_bytes(b"")
    (top / "small").write_bytes(b"text\n" * 20)
    (top / "large").write_bytes(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(40_000)))
    (top / "zeros").write_bytes(bytes(300_000))
    (top / "mixed").write_bytes(b"a" * 5000 + bytes(40_000) + b"end")
    with open(top / "sparse", "wb") as file:
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(20 << 20)
    with open(top / "all hole", "wb") as file:
        file.truncate(7 << 20)
    for name in ODD_NAMES:
        with open(root + b"/" + name, "wb") as file:
            file.write(name)
    deep = root
    for level in range(12):
        deep += b"/%02d-" % level + b"d" * 90
        os.mkdir(deep)
    with open(deep + b"/bottom", "wb") as file:
        file.write(b"deep")
    (top / "folder").mkdir()
    os.link(top / "small", top / "folder" / "further name")
    os.link(top / "small", top / "zz further name")
    os.symlink("/etc/passwd", top / "absolute link")
    os.symlink("nowhere/at/all", top / "folder" / "dangling")
    os.symlink(b"x" * 300 + b"\xff", root + b"/long link")
    os.mkfifo(top / "fifo", 0o620)
    if sockets:
        os.mknod(top / "socket", stat.S_IFSOCK | 0o600)
    os.setxattr(top / "small", "user.plain", b"value")
    os.setxattr(top / "small", "user.binary", BINARY)
    os.setxattr(top / "small", "user.a=b%c", b"odd name")
    os.setxattr(top / "folder", "user.of folder", b"")
    if IS_ROOT:
        os.setxattr(top / "large", "trusted.root", b"only")
        os.mknod(top / "device", stat.S_IFCHR | 0o640, os.makedev(1, 7))
        os.mknod(top / "disk", stat.S_IFBLK | 0o640, os.makedev(259, 70_000))
        os.chown(top / "large", 12345, 54321)
        os.chown(top / "folder", 3_000_000_000, 3_000_000_001)
        os.chown(top / "absolute link", 7, 8, follow_symlinks=False)
    os.chmod(top / "large", 0o4751)
    os.chmod(top / "folder", 0o2705)
    _set_times(top)


def _set_times(top: Path) -> None:
    paths = [
        folder + b"/" + name
        for folder, folders, files in os.walk(os.fsencode(top))
        for name in (*folders, *files)
    ]
    for number, path in enumerate(sorted(paths), 1):  # of a walk, each disk has an order of its own
        at = (1_500_000_000 + number) * 10**9 + 123_456_789
        os.utime(path, ns=(at + 10**18 // 4, at), follow_symlinks=False)
    os.utime(top / "small", ns=(1_700_000_000_000_000_001, -1_500_000_000))
    os.utime(top, ns=(1_700_000_000_000_000_000, 1_600_000_000_000_000_042))


def describe(top: Path, *, times: bool = True, holes: bool = True) -> dict[bytes, dict[str, Any]]:
    """Everything about a tree that a copy of it must have as well, by path."""
    found: dict[bytes, dict[str, Any]] = {}
    links: dict[tuple[int, int], bytes] = {}
    root = os.fsencode(top)
    pending = [b""]
    while pending:
        path = pending.pop()
        where = root + b"/" + path if path else root
        status = os.lstat(where)
        is_link = stat.S_ISLNK(status.st_mode)
        entry: dict[str, Any] = {
            "mode": oct(status.st_mode),
            "owner": (status.st_uid, status.st_gid),
            "xattrs": {
                name: os.getxattr(where, name, follow_symlinks=False)
                for name in os.listxattr(where, follow_symlinks=False)
                if name != "security.selinux"
            },
        }
        if times:
            entry["mtime"] = status.st_mtime_ns
        if is_link:
            entry["target"] = os.readlink(where)
        elif stat.S_ISDIR(status.st_mode):
            pending += [path + b"/" + name if path else name for name in sorted(os.listdir(where))]
        elif stat.S_ISREG(status.st_mode):
            content = Path(os.fsdecode(where)).read_bytes()
            entry["size"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
            if holes and path not in (b"zeros", b"mixed"):  # zeros that become holes
                entry["holes"] = status.st_blocks * 512 < status.st_size // 2
        else:
            entry["rdev"] = status.st_rdev
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            entry["same as"] = links.setdefault((status.st_dev, status.st_ino), path)
        found[path] = entry
    first: dict[bytes, bytes] = {}  # which of the names came first depends on the order of the walk
    for path, entry in sorted(found.items()):
        if "same as" in entry:
            entry["same as"] = first.setdefault(entry["same as"], path)
    return found
