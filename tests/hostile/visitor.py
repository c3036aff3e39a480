"""Visits hostile stores in a process with bounded memory: opens, walks, reads, checks, exports, writes.

    python -m tests.hostile.visitor FOLDER...    one JSON object a line for each: {step: {...}}

Each step ends in time, or an alarm ends the process and the line is missing. Never decides what is right.
"""

import contextlib
import io
import json
import logging
import os
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vfs
from tests.hostile.crafting import fresh
from vfs.backing.shapes import is_name
from vfs.cli import main
from vfs.errors import OperationError, StoreError, VfsError

ADDRESS_BYTES = 3 << 30
"""Of address space: mapped files count too, so it is wider than what memory is asserted on."""

STEP_SECONDS = 120
MOST_ENTRIES = 1000
MOST_BYTES = 64 << 20
PIECE = 1 << 20


class Endless(AssertionError):
    """A walk that should have come to its end."""


def walk(fs: vfs.FileSystem, root: int = 1) -> str:
    """Look at everything, as the kernel would."""
    counts = {"entries": 0, "refused": 0, "bytes": 0}
    folders = [root]
    while folders:
        ino = folders.pop()
        cookie = 0
        try:
            while rows := fs.readdir(ino, cookie, 100):
                cookie = rows[-1][2]
                for name, child, _, _ in rows:
                    if name in (b".", b".."):
                        continue
                    assert is_name(name), name
                    counts["entries"] += 1
                    if counts["entries"] > MOST_ENTRIES:
                        raise Endless(f"more than {MOST_ENTRIES} entries")
                    try:
                        inode = fs.lookup(ino, name)
                        assert inode.ino == child
                        look(fs, inode, counts)
                        if inode.is_directory:
                            folders.append(child)
                    except (OperationError, StoreError):
                        counts["refused"] += 1
        except (OperationError, StoreError):
            counts["refused"] += 1
    return json.dumps(counts)


def look(fs: vfs.FileSystem, inode: Any, counts: dict[str, int]) -> None:
    """Attributes and content of one inode."""
    for value in (inode.mode, inode.uid, inode.gid, inode.nlink, inode.rdev, inode.size):
        assert 0 <= value < 2**63
    for name in fs.list_xattrs(inode.ino):
        assert len(fs.get_xattr(inode.ino, name)) <= 1 << 16
    if stat.S_ISLNK(inode.mode):
        assert b"\0" not in fs.readlink(inode.ino)
    if not inode.is_file:
        return
    for offset in {0, PIECE, max(0, inode.size - 5), fs.seek_data(inode.ino, 0) or 0}:
        if counts["bytes"] < MOST_BYTES:
            counts["bytes"] += len(fs.read(inode.ino, offset, PIECE))
    fs.seek_hole(inode.ino, 0)


def library(store: Path, *, read_only: bool) -> str:
    """Open the store and look at all of it."""
    with vfs.open(store, read_only=read_only, pack_workers=0) as fs:
        said = walk(fs)
        if not read_only:
            with contextlib.suppress(OperationError, StoreError):
                fresh(fs)
                fs.checkpoint()
                fs.flush()
            with contextlib.suppress(OperationError, StoreError):
                fs.collect()
        return said


def trees(store: Path) -> str:
    """Look into every snapshot and clone, and do all that can be done to them."""
    said = []
    with vfs.open(store, pack_workers=0) as fs:
        names = [snapshot.name for snapshot in fs.snapshots()]
        for name in names[:10]:
            with contextlib.suppress(OperationError, StoreError):
                said.append(walk(fs, fs.snapshot_root(name).ino))
        for work in (
            lambda: fs.clone(names[0], 1, b"fresh clone"),
            lambda: fs.clone(f"{names[-1]}:clone", 1, b"another"),
            lambda: fs.write_bytes("/fresh clone/fresh", b"fresh"),
            lambda: fs.create_snapshot("fresh"),
            lambda: fs.rollback(names[-1]),
            lambda: fs.rename_snapshot(names[0], "other"),
            lambda: fs.drop_clone(fs.resolve("/clone").ino),
            lambda: fs.delete_snapshots([snapshot.name for snapshot in fs.snapshots()]),
            lambda: fs.checkpoint(),
            lambda: fs.collect(),
        ):
            with contextlib.suppress(OperationError, StoreError, IndexError):
                work()
    return json.dumps(said)


def command(*arguments: str) -> tuple[int, str]:
    """The command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue() + err.getvalue()


def peak_bytes() -> int:
    """Most memory that the process had since it was last forgotten."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def step(what: Callable[[], Any]) -> dict[str, Any]:
    """Do it, and note how it ended, how much processor it took and how much memory."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = peak_bytes()
    signal.alarm(STEP_SECONDS)
    began = time.process_time()
    found: dict[str, Any] = {"code": 0, "said": "", "trace": ""}
    try:
        result = what()
        found["code"], found["said"] = result if isinstance(result, tuple) else (0, result)
    except VfsError as error:
        found["code"], found["said"] = 1, str(error)
    except BaseException as error:  # whatever it is, it is what the test is about
        found["code"], found["said"], found["trace"] = -1, repr(error), traceback.format_exc()
    signal.alarm(0)
    return found | {"seconds": time.process_time() - began, "memory": peak_bytes() - before}


def visit(folder: Path) -> dict[str, Any]:
    """All steps on the store in that folder; those that write come last."""
    store, target = folder / "store", folder / "target"
    another = shutil.copytree(store, folder / "another") if folder.name.startswith("tree") else None
    path = str(store)
    looks = {
        "folder": str(folder),
        "library": step(lambda: library(store, read_only=True)),
        "info": step(lambda: command("info", path)),
        "fsck": step(lambda: command("fsck", path)),
        "fsck --data": step(lambda: command("fsck", "--data", path)),
        "export": step(lambda: command("export", path, str(target))),
        "export tar": step(lambda: command("export", path, str(folder / "target.tar"))),
        "list": step(lambda: command("snapshot", "list", path)),
        "write": step(lambda: library(store, read_only=False)),
        "repair": step(lambda: command("fsck", "--repair", "--yes", path)),
        "fsck after": step(lambda: command("fsck", path)),
    }
    if another is not None:
        looks["trees"] = step(lambda: trees(another))
        shutil.rmtree(another)
        looks["trees after"] = step(lambda: trees(store))
        looks["fsck at last"] = step(lambda: command("fsck", path))
    return looks


def run() -> None:
    """Visit the folders that are named."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))  # an export must not fill the disk
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    logging.raiseExceptions = True
    os.environ.pop("VFS_DEBUG", None)
    for folder in sys.argv[1:]:
        print(json.dumps(visit(Path(folder))), flush=True)


if __name__ == "__main__":
    run()
