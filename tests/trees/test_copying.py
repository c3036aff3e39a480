"""Copies inside a store: everything is kept, nothing is moved, and what cannot be is said in words."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
from tests.losing import lose
from tests.trees.inside import content, names, told
from tests.trees.material import make_everything
from vfs.errors import Exists, InvalidArgument, NoEntry, NotADirectory, RangeLost
from vfs.inode.extents import ChunkRange
from vfs.limits import MIB

FS = vfs.FileSystem


def build(fs: FS) -> None:
    """/tree with one of everything: some is packed, some lies in the log, some is still in memory."""
    folder = fs.make_directory("/tree/folder", parents=True)
    fs.write_bytes("/tree/packed", random.Random(1).randbytes(300_000))
    fs.flush()
    fs.write_bytes("/tree/logged", random.Random(2).randbytes(100_000))
    merged = fs.write_bytes("/tree/merged", b"one ")
    for number in range(50):  # from frames all over the log: in no one place
        fs.write(merged.ino, merged.size, b"%d " % number)
        fs.write_bytes("/other", b"between")
    fs.write(merged.ino, 5 * MIB, b"end")
    sparse = fs.write_bytes("/tree/folder/sparse", b"begin")
    fs.truncate(sparse.ino, 40 * MIB)
    fs.write(sparse.ino, 20 * MIB + 5, b"middle")
    fs.truncate(fs.write_bytes("/tree/hole", b"").ino, 1 << 40)
    lose(fs, fs.write_bytes("/tree/lost", b"0123456789" * 500), 1000, 2000)
    fs.link(merged.ino, folder.ino, b"another name")
    fs.link(merged.ino, fs.resolve("/tree").ino, b"zzz")
    fs.symlink(folder.ino, b"link", b"../packed")
    for kind in (0o010600, 0o140644, 0o020640, 0o060640):
        fs.mknod(folder.ino, b"%o" % kind, kind, os.makedev(259, 70_000))
    fs.set_xattr(merged.ino, b"user.small", b"value")
    large = fs.write_bytes("/tree/folder/many attributes", b"x" * 5000)
    for number in range(15):
        fs.set_xattr(large.ino, b"user.%d" % number, bytes([number]) * 60_000)
    fs.set_xattr(folder.ino, b"trusted.of folder", b"")
    fs.set_attributes(merged.ino, mode=0o104755, uid=7, gid=8, atime_ns=5 * 10**17, mtime_ns=-3)
    fs.set_attributes(folder.ino, mode=0o042705, uid=9, gid=10, atime_ns=4 * 10**17, mtime_ns=3 * 10**17 + 1)
    fs.set_attributes(fs.resolve("/tree").ino, mode=0o041777, atime_ns=2, mtime_ns=1)


def test_everything_is_kept(fs: FS) -> None:
    build(fs)
    before = told(fs, fs.resolve("/tree").ino)
    copied = vfs.copy_tree(fs, "/tree", "/copy")
    assert told(fs, fs.resolve("/copy").ino) == before == told(fs, fs.resolve("/tree").ino)
    assert names(fs) == [b"copy", b"other", b"tree"]
    assert (copied.files, copied.directories, copied.symlinks, copied.links, copied.specials) == (
        7,
        2,
        1,
        2,
        4,
    )
    with pytest.raises(RangeLost):
        fs.read(fs.resolve("/copy/lost").ino, 0, 5000)
    fs.checkpoint()
    fs.flush()
    fs.collect()
    assert told(fs, fs.resolve("/copy").ino) == before


def test_one_of_everything_that_was_imported(fs: FS, tmp_path: Path) -> None:
    make_everything(tmp_path / "everything", sockets=True)
    vfs.import_tree(fs, tmp_path / "everything", "/in")
    fs.checkpoint()
    for inode in list(fs.table.loaded()):
        inode.used = False
    fs.table.sweep()
    vfs.copy_tree(fs, "/in", "/copy")
    assert told(fs, fs.resolve("/copy").ino) == told(fs, fs.resolve("/in").ino)


def stored(fs: FS) -> int:
    """What log and packs take on the disk."""
    fs.checkpoint()
    info = fs.info()
    return int(info["log_bytes"] + info["pack_bytes"])


@pytest.mark.parametrize("packed", [False, True])
def test_no_content_is_moved(fs: FS, *, packed: bool) -> None:
    data = random.Random(3).randbytes(20 * MIB)
    fs.write_bytes("/file", data)
    if packed:
        fs.flush()
    else:
        fs.sync()
    before, waiting = stored(fs), fs.backlog_bytes
    vfs.copy_tree(fs, "/file", "/copy")
    vfs.copy_tree(fs, "/copy", "/copy of the copy")
    assert stored(fs) - before < 10_000
    assert fs.backlog_bytes <= max(waiting, fs.log.chunk_bytes)
    fs.write(fs.resolve("/copy").ino, 5, b"changed")
    fs.truncate(fs.resolve("/file").ino, 1000)
    fs.flush()
    fs.collect()
    assert fs.read_bytes("/copy") == data[:5] + b"changed" + data[12:]
    assert fs.read_bytes("/file") == data[:1000]
    assert fs.read_bytes("/copy of the copy") == data
    fs.remove("/file")
    fs.remove("/copy")
    fs.collect()
    assert fs.read_bytes("/copy of the copy") == data


def test_a_file_of_many_extents(fs: FS) -> None:
    """More than go into one slice, and far more than into one record."""
    source = fs.write_bytes("/file", b"")
    rng = random.Random(4)
    filler = fs.write_bytes("/filler", rng.randbytes(MIB))
    for number in range(30_000):  # all over, and in an order that lets none of them join
        fs.clone_range(filler.ino, rng.randrange(0, MIB - 50), 50, source.ino, number * 50)
    fs.set_attributes(source.ino, mtime_ns=42)
    vfs.copy_tree(fs, "/file", "/copy")
    made = fs.resolve("/copy")
    assert content(fs, made) == content(fs, fs.resolve("/file"))
    assert (made.size, made.mtime_ns, made.opens, made.nlink) == (source.size, 42, 0, 1)
    assert fs.resolve("/file").opens == 0


def test_where_it_goes(fs: FS) -> None:
    fs.write_bytes("/file", b"content")
    fs.make_directory("/folder")
    fs.symlink(1, b"link", b"file")
    fs.symlink(1, b"way", b"folder")
    vfs.copy_tree(fs, "/file", "/folder")
    vfs.copy_tree(fs, "/link", "/way/")
    vfs.copy_tree(fs, "/folder", "/second/")
    vfs.copy_tree(fs, "/folder", "/second")
    vfs.copy_tree(fs, "way/", "third")
    assert fs.listdir("/folder") == fs.listdir("/third") == [b"file", b"link"]
    assert fs.listdir("/second") == [b"file", b"link", b"folder"]
    assert fs.resolve("/folder/link", follow=False).target == b"file", "a link stays a link"


Wrong = Callable[[FS], object]
WRONG: list[tuple[Wrong, type[Exception], str]] = [
    (lambda fs: vfs.copy_tree(fs, "/missing", "/x"), NoEntry, "there is no /missing"),
    (lambda fs: vfs.copy_tree(fs, "/file/x", "/x"), NoEntry, "there is no /file/x"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/missing/x"), NoEntry, "no folder /missing/"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/file/x"), NoEntry, "no folder /file/"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/x/"), NotADirectory, "/x/ is no folder"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/other"), Exists, "/other is there already"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/dangling"), Exists, "/dangling is there already"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/file", replace=False), Exists, "/file is there already"),
    (lambda fs: vfs.copy_tree(fs, "/d", "/e", replace=True), Exists, "a folder /e/d already"),
    (lambda fs: vfs.copy_tree(fs, "/d", "/d/x"), InvalidArgument, "into itself"),
    (lambda fs: vfs.copy_tree(fs, "/d", "/d"), InvalidArgument, "into itself"),
    (lambda fs: vfs.copy_tree(fs, "/d", "/d/deep/er"), InvalidArgument, "into itself"),
    (lambda fs: vfs.copy_tree(fs, "/", "/d/x"), InvalidArgument, "into itself"),
    (lambda fs: vfs.copy_tree(fs, "/", "/d"), InvalidArgument, "name of its own"),
    (lambda fs: vfs.copy_tree(fs, "/d/..", "/d"), InvalidArgument, "name of its own"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/file", replace=True), InvalidArgument, "onto itself"),
    (lambda fs: vfs.copy_tree(fs, "/file", "/same", replace=True), InvalidArgument, "onto itself"),
]


@pytest.mark.parametrize(("copy", "error", "words"), WRONG)
def test_what_is_refused(fs: FS, copy: Wrong, error: type[Exception], words: str) -> None:
    fs.write_bytes("/file", b"content")
    fs.write_bytes("/other", b"other")
    fs.make_directory("/d/deep", parents=True)
    fs.make_directory("/e/d", parents=True)
    fs.symlink(1, b"dangling", b"nowhere")
    fs.link(fs.resolve("/file").ino, 1, b"same")
    before, lsn = told(fs, 1), fs.log.last_lsn
    with pytest.raises(error, match=words):
        copy(fs)
    assert (told(fs, 1), fs.log.last_lsn) == (before, lsn)


def test_a_file_is_replaced_when_that_is_wanted(fs: FS) -> None:
    fs.write_bytes("/new", b"new content")
    fs.make_directory("/tree")
    old = fs.write_bytes("/old", b"old content")
    fs.link(old.ino, 1, b"second name")
    fs.open(old.ino)
    vfs.copy_tree(fs, "/new", "/old", replace=True)
    assert fs.read_bytes("/old") == b"new content"
    assert fs.read_bytes("/second name") == fs.read(old.ino, 0, 99) == b"old content"
    fs.release(old.ino)
    vfs.copy_tree(fs, "/tree", "/old", replace=True)
    assert fs.listdir("/old") == []
    fs.symlink(1, b"link", b"new")
    vfs.copy_tree(fs, "/tree", "/link", replace=True)
    assert names(fs) == [b"link", b"new", b"old", b"second name", b"tree"]
    vfs.copy_tree(fs, "/second name", "/new", replace=True)
    assert fs.read_bytes("/new") == b"old content"


def test_a_link_to_an_absolute_path(fs: FS) -> None:
    fs.make_directory("/data")
    fs.symlink(1, b"there", b"/mnt/of it/data")
    assert fs.resolve("/there", top=b"/mnt/of it").ino == fs.resolve("/data").ino
    for elsewhere in (b"/mnt", b"/mnt/of", b"/"):
        with pytest.raises(NoEntry):
            fs.resolve("/there", top=elsewhere + b"/x" * (elsewhere == b"/mnt"))


def test_extents_are_where_they_were(fs: FS) -> None:
    fs.write_bytes("/file", random.Random(5).randbytes(50_000))
    vfs.copy_tree(fs, "/file", "/copy")
    plans = [fs.table.file(fs.resolve(path)).plan(0, 50_000) for path in ("/file", "/copy")]
    assert plans[0] == plans[1]
    assert all(type(extent) is ChunkRange for extent in plans[0])
